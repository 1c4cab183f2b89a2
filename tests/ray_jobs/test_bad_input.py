"""Bad input, end to end: a ledger entry with its reason, or one line and the promised status."""

from __future__ import annotations

import io
import json
import resource
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from curation.phantoms import scorecard
from curation.recipe import load_recipe
from curation.sources.reader import Reader
from curation.stages import STAGES
from medsift.errors import RecipeError
from medsift.images.blob_store import BlobStore
from medsift.manifest import read
from ray_jobs.cli import run
from ray_jobs.commands.demo import FATES
from tests.expect import raises_code

QUESTIONS = ("Which organ is shown?", "Is there a fracture?", "What plane is this?")
ROWS = [
    {"question": question, "answer": f"finding {place}"} for place, question in enumerate(QUESTIONS)
]
WHY = "SELECT * FROM why ORDER BY try_cast(regexp_extract(row_id, '[0-9]+$') AS int)"
TOLERANT = {"failures": {"tolerance": 1.0}}


def fates(run_dir: Path) -> list[tuple[str, str | None]]:
    """(action, reason) of every row, in the order of the input."""
    return [(line["action"], line["reason"]) for line in why(run_dir)]


def why(run_dir: Path) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = read(run_dir / "manifest.duckdb", WHY).to_pylist()
    return lines


def ask(run_dir: Path, sql: str) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = read(run_dir / "manifest.duckdb", sql).to_pylist()
    return lines


def check_balanced(run_dir: Path) -> None:
    wrong = ask(run_dir, "SELECT * FROM funnel WHERE rows_in <> kept + dropped + failed")
    assert wrong == []
    [line] = ask(run_dir, "SELECT (SELECT rows_in FROM funnel WHERE ordinal = 0) AS rows")
    assert len(why(run_dir)) == line["rows"]


def check_refused(said, code: int, *words: str) -> None:
    """The status, one line on stderr that holds the words, nothing on stdout, no traceback."""
    assert said.code == code, said.err
    assert said.out == ""
    assert "Traceback" not in said.err
    for word in words:
        assert word in said.error


# What is planted in phantoms.

PLANTED_REASONS = {
    "truncated_file": ("failed", "image_truncated"),
    "empty_file": ("failed", "image_empty"),
    "not_an_image": ("failed", "not_an_image"),
    "decompression_bomb": ("failed", "image_too_large"),
    "missing_image": ("failed", "image_missing"),
    "blank_image": ("dropped", "image_blank"),
    "empty_answer": ("dropped", "empty_answer"),
    "whitespace_answer": ("dropped", "blank_answer"),
    "mirrored": ("kept", None),
    "other_patient": ("kept", None),
}


def truth(planted, kind: str | None = None) -> list[dict[str, Any]]:
    lines = pq.read_table(planted.truth).to_pylist()
    return [line for line in lines if kind is None or line["kind"] == kind]


@pytest.mark.parametrize("kind", PLANTED_REASONS)
def test_each_planted_defect_has_its_fate_and_reason(kind, planted, planted_run):
    found = fates(planted_run)
    lines = truth(planted, kind)
    assert lines
    assert [found[line["row_index"]] for line in lines] == [PLANTED_REASONS[kind]] * len(lines)


def test_planted_copies_are_dropped_for_a_kept_row(planted, planted_run):
    lines = why(planted_run)
    by_id = {line["row_id"]: line for line in lines}
    for kind in ("exact_row", "copy_jpeg", "copy_resize", "copy_brightness", "paraphrase"):
        for planted_line in truth(planted, kind):
            row = lines[planted_line["row_index"]]
            original = lines[planted_line["original_row_index"]]
            gone = row if row["action"] == "dropped" else original
            assert gone["stage"] == "dedup", (kind, row, original)
            assert by_id[gone["witness"]]["action"] == "kept"


def test_the_scorecard_of_the_planted_set_is_whole(planted, planted_run):
    [line] = ask(planted_run, "SELECT run_id FROM runs")
    fate = read(planted_run / "manifest.duckdb", FATES.format(run_id=line["run_id"]))
    card = {
        line["kind"]: line for line in scorecard(pq.read_table(planted.truth), fate).to_pylist()
    }
    assert card["duplicates"]["precision"] >= 0.99
    missed = {kind for kind, line in card.items() if line["found"] < line["planted"]}
    # Burned-in text is read only where the recipe asks for it; crops and rotations are the
    # copies of which a few may be missed.
    assert missed <= {"burned_in_name", "copy_crop", "copy_rotation", "duplicates"}


def test_planted_contradictions_leaks_and_repairs_are_in_their_views(planted, planted_run):
    row_ids = [line["row_id"] for line in why(planted_run)]
    conflicts = {line["row_id"] for line in ask(planted_run, "SELECT row_id FROM conflicts")}
    leaks = {line["row_id"] for line in ask(planted_run, "SELECT row_id FROM leaks")}
    for line in truth(planted, "conflict"):
        assert {row_ids[line["row_index"]], row_ids[line["original_row_index"]]} <= conflicts
    for kind in ("leak_same_image", "leak_copy"):
        for line in truth(planted, kind):
            assert {row_ids[line["row_index"]], row_ids[line["original_row_index"]]} & leaks
    [control] = truth(planted, "control_characters")
    sql = f"SELECT notes, question FROM samples WHERE row_id = '{row_ids[control['row_index']]}'"
    [sample] = ask(planted_run, sql)
    assert "question: control characters removed" in sample["notes"]
    assert "answer: control characters removed" in sample["notes"]
    assert "\x07" not in sample["question"]
    for line in truth(planted, "wrong_extension"):
        sql = f"SELECT notes FROM samples WHERE row_id = '{row_ids[line['row_index']]}'"
        [sample] = ask(planted_run, sql)
        assert any("named .jpg" in note for note in sample["notes"]), sample


def test_every_planted_row_is_accounted_for(planted, planted_run):
    check_balanced(planted_run)
    assert len(why(planted_run)) == planted.rows


# Rows that cannot be read: one run over many tiny sources, and a table of what becomes of each row.

KEPT, FAILED, DROPPED = "kept", "failed", "dropped"
GOOD = b'{"question": "Which organ is seen here?", "answer": "the lung"}'
MALFORMED = (
    (GOOD, (KEPT, None)),
    (b'{"question": "Is it', (FAILED, "malformed_json")),
    (b'["a", "list"]', (FAILED, "not_an_object")),
    (b"not json at all", (FAILED, "malformed_json")),
    (b'{"question": "caf\xe9?", "answer": "no"}', (FAILED, "not_utf8")),
    (b"[" * 100_000, (FAILED, "malformed_json")),
    (b'{"answer": "no question"}', (FAILED, "missing_question")),
    (b'{"question": "What is missing?"}', (DROPPED, "empty_answer")),
    (b'{"question": "Zero bytes\\u0000 inside?", "answer": "one\\ud800"}', (KEPT, None)),
)
MIXED = (3, True, 1.50, "three", None, ["a", "b"], {"a": 1}, 10**30)
PICTURES = (
    ("folder.png", None),
    ("text.png", "not_an_image"),
    ("loop.png", None),
    ("absent.png", "image_missing"),
    ("../outside.png", None),
    ("/etc/hostname", None),
    ("a\x00b.png", None),
    ("x" * 5000 + ".png", None),
    ("file://[x", None),
    ("[" * 3000 + "]" * 3000, None),
    ('["\\ud800.png"]', None),
)
OPTIONS = ("A", "spleen", "kidney", "E", "1")


def numbered(source: str, answers: Sequence[Any], **more: Any) -> list[dict[str, Any]]:
    """Rows whose questions differ from those of every other source."""
    return [
        {"question": f"What is {source} number {place}?", "answer": answer, **more}
        for place, answer in enumerate(answers)
    ]


def as_json(rows: Sequence[Mapping[str, Any]]) -> bytes:
    return "".join(f"{json.dumps(row)}\n" for row in rows).encode()


@pytest.fixture(scope="module")
def odd_run(tmp_path_factory: pytest.TempPathFactory, vectors: Path) -> tuple[Path, str]:
    """The directory and the stderr of a run over sources that are odd in every way."""
    folder = tmp_path_factory.mktemp("odd")
    for name, content in {
        "malformed.jsonl": b"\n".join(line for line, _ in MALFORMED) + b"\n",
        "mixed.jsonl": as_json(numbered("mixed", MIXED)),
        "latin.csv": b"question,answer\nWhat is latin?,a caf\xe9\nWhere is it?,here\n",
        "ids.jsonl": as_json([*(rows := numbered("ids", "abc", id="same")), rows[0]]),
        "parts/train.jsonl": as_json(numbered("train", "a")),
        "parts/validate.jsonl": as_json(numbered("validate", "b")),
        "parts/test.jsonl": as_json(numbered("test", "c")),
        "mapped.jsonl": as_json(numbered("mapped", "a", split="train_sft")),
        "pictures.jsonl": as_json(
            [{**row, "image": name} for (name, _), [row] in _one_each("pictures", PICTURES)]
        ),
        "rootless.jsonl": as_json(numbered("rootless", "ab", image="a.png")),
        "unread.jsonl": as_json(numbered("unread", "abc", image_path="a.png", history="cough")),
        "options.jsonl": as_json(numbered("options", OPTIONS, options=["liver", "spleen"])),
        "text.png": b"no picture",
    }.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
    (folder / "folder.png").mkdir()
    (folder / "loop.png").symlink_to(folder / "loop.png")
    image = {"columns": {"images": "image"}}
    more: dict[str, dict[str, Any]] = {
        "latin": {"path": str(folder / "latin.csv")},
        "ids": {"columns": {"id": "id"}},
        "parts": {"path": str(folder / "parts" / "*.jsonl")},
        "pictures": image,
        "rootless": image | {"image_root": str(folder / "nowhere")},
    }
    names = ("malformed", "mixed", "latin", "ids", "parts", "mapped", "pictures", "rootless")
    settings = {
        "name": "odd",
        "sources": [
            {"name": name, "reader": "table", "path": str(folder / f"{name}.jsonl")}
            | more.get(name, {})
            for name in (*names, "unread", "options")
        ],
        "encoder": {"kind": "embedded"},
        "ingest": {"splits": {"train_sft": "train"}},
        "cache": str(vectors),
        **TOLERANT,
    }
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    said = io.StringIO()
    with redirect_stderr(said):
        assert run(["curate", str(path), "--local", "--run-dir", str(folder / "run")]) == 0
    return folder / "run", said.getvalue()


def _one_each(source: str, pairs: Sequence[tuple[str, Any]]) -> Iterator[tuple[Any, list[Any]]]:
    rows = numbered(source, [str(place) for place in range(len(pairs))])
    yield from zip(pairs, [[row] for row in rows], strict=True)


FATES_OF_SOURCES = {
    "malformed": [fate for _, fate in MALFORMED],
    "mixed": [(KEPT, None)] * 4 + [(DROPPED, "empty_answer")] + [(KEPT, None)] * 3,
    "latin": [(FAILED, "not_utf8"), (KEPT, None)],
    "parts": [(KEPT, None)] * 3,
    "mapped": [(KEPT, None)],
    "pictures": [(FAILED, reason) for _, reason in PICTURES],
    "rootless": [(FAILED, "image_missing")] * 2,
    "unread": [(KEPT, None)] * 3,
    "options": [(KEPT, None)] * 5,
}


@pytest.mark.parametrize("source", FATES_OF_SOURCES)
def test_every_row_of_an_odd_source_has_its_fate(source, odd_run):
    lines = of_source(odd_run[0], source)
    fates = [(line["action"], line["reason"]) for line in lines]
    for fate, wanted in zip(fates, FATES_OF_SOURCES[source], strict=True):
        # Several reasons serve for a path that leads nowhere, as the system words it.
        assert fate[0] == wanted[0]
        assert wanted[1] is None or fate[1] == wanted[1]
    assert all(line["explanation"] for line in lines)


def of_source(run_dir: Path, source: str) -> list[dict[str, Any]]:
    return [line for line in why(run_dir) if line["row_id"].startswith(f"{source}:")]


def samples_of(run_dir: Path, source: str) -> dict[str, dict[str, Any]]:
    """The samples of a source, by the number of their row."""
    sql = f"SELECT * FROM samples WHERE source = '{source}' ORDER BY row_id"
    return {line["row_id"].rpartition(":")[2]: line for line in ask(run_dir, sql)}


def test_a_run_over_odd_sources_is_balanced(odd_run):
    check_balanced(odd_run[0])


def test_mixed_types_in_a_column_become_text_with_a_note(odd_run):
    samples = samples_of(odd_run[0], "mixed")
    assert {place: line["answer"] for place, line in samples.items()} == {
        "0": "3",
        "1": "true",
        "2": "1.5",
        "3": "three",
        "5": '["a", "b"]',
        "6": '{"a": 1}',
        "7": str(10**30),
    }
    assert "answer: integer read as text" in samples["0"]["notes"]
    assert "answer: boolean read as text" in samples["1"]["notes"]
    assert "answer: number read as text" in samples["2"]["notes"]
    assert not samples["3"]["notes"]


def test_rows_that_repeat_an_id_keep_their_own_fates(odd_run):
    lines = of_source(odd_run[0], "ids")
    assert sorted(line["action"] for line in lines) == ["dropped", "kept", "kept", "kept"]
    assert "exact_copy" in {line["reason"] for line in lines}
    assert len({line["row_id"] for line in lines}) == 4


def test_rows_of_test_files_are_not_in_the_pool(odd_run):
    run_dir, said = odd_run
    splits = {key: line["split"] for key, line in _by_file(run_dir).items()}
    assert splits == {
        "train.jsonl": "train",
        "validate.jsonl": "validation",
        "test.jsonl": "test",
    }
    sql = "SELECT row_id FROM selections WHERE selection = 'kept' AND row_id LIKE 'parts:%'"
    assert [line["row_id"] for line in ask(run_dir, sql)] == ["parts:train.jsonl:0"]
    assert "validation: 1" in said


def _by_file(run_dir: Path) -> dict[str, dict[str, Any]]:
    lines = ask(run_dir, "SELECT * FROM samples WHERE source = 'parts'")
    return {line["row_id"].split(":")[1]: line for line in lines}


def test_a_split_that_the_recipe_maps_has_a_known_name(odd_run):
    [sample] = samples_of(odd_run[0], "mapped").values()
    assert sample["split"] == "train"


def test_columns_not_read_are_named_once_and_stay_in_the_manifest(odd_run):
    run_dir, said = odd_run
    assert said.count("image_path (looks like pictures)") == 1
    assert "history" in said
    assert said.count("NOT ONE of its 3 samples has a picture") == 1
    notes = [
        line["note"]
        for line in ask(run_dir, "SELECT * FROM measures WHERE stage = 'ingest'")
        if line["note"] and "history" in line["note"]
    ]
    assert notes == ["history, image_path (looks like pictures)"]
    report = (run_dir / "report.html").read_text()
    assert "image_path (looks like pictures)" in report


def test_answers_that_are_none_of_the_options_are_counted(odd_run):
    run_dir, said = odd_run
    assert "answer: none of the options: rows 2" in said
    assert "answer: a number beside options" in said
    samples = samples_of(run_dir, "options")
    assert [bool(line["notes"]) for line in samples.values()] == [False, False, True, True, True]


# Recipes and input that are refused, looked at without a run.


def test_credentials_in_a_recipe_are_refused_and_never_repeated(recipe):
    with raises_code("recipe_invalid", paths=["sources.0.path"]) as caught:
        load_recipe(recipe(source={"path": "s3://AKIAKEY:verysecret@bucket/rows.jsonl"}))
    assert "verysecret" not in str(caught.value)


@pytest.mark.parametrize("named", [".", "absent.yaml"])
def test_what_is_no_recipe_is_named(named, tmp_path):
    with pytest.raises(RecipeError) as caught:
        load_recipe(tmp_path / named)
    assert caught.value.code in ("recipe_missing", "recipe_unreadable")
    assert str(tmp_path / named) in str(caught.value)


ARRAY = b'[{"question": "never closed"' * 3


@pytest.mark.parametrize(
    ("name", "content", "source", "status", "code"),
    [
        ("rows.jsonl", GOOD, {"columns": {"question": "qestion"}}, 3, "source_column_unknown"),
        ("rows.jsonl", GOOD, {"columns": {"question": "upper(question"}}, 2, "expression_invalid"),
        ("rows.jsonl", GOOD, {"columns": {"Images": "question"}}, 2, "target_misspelled"),
        ("rows.jsonl", b"", {}, 3, "file_empty"),
        ("rows.jsonl", b"\n  \n\n", {}, 3, "source_empty"),
        ("rows.json", b"[]", {}, 3, "source_empty"),
        ("folder.jsonl", None, {}, 3, "source_empty"),
        ("small.jsonl", GOOD, {"path": "smal.jsonl"}, 3, "source_missing"),
        ("noise.parquet", ARRAY, {}, 3, "file_broken"),
        ("noise.jsonl.gz", ARRAY, {}, 3, "file_broken"),
        ("noise.json", ARRAY, {}, 3, "file_broken"),
    ],
)
def test_input_that_cannot_be_read_is_refused_before_the_run(
    name, content, source, status, code, recipe, tmp_path
):
    if content is None:
        (tmp_path / name).mkdir()
    else:
        (tmp_path / name).write_bytes(content)
    path = tmp_path / source.get("path", name)
    [reader] = load_recipe(recipe(source={**source, "path": str(path)})).sources
    with raises_code(code) as caught:
        read_all(reader, BlobStore(tmp_path / "blobs"))
    assert caught.value.exit_code == status


def read_all(reader: Reader, blobs: BlobStore) -> None:
    """Check a source and read it, as the first stage of a run does."""
    reader.check()
    for shard in reader.shards():
        list(reader.read(shard, blobs))


# End to end: the three statuses of a refusal.


def test_a_setting_that_cannot_be_ends_in_status_2_before_anything_runs(recipe, medsift, tmp_path):
    run_dir, setting = tmp_path / "run", "dedup.sampel.question=0.9"
    said = medsift("curate", recipe(ROWS), "--local", "--run-dir", run_dir, "--set", setting)
    check_refused(said, 2, "did you mean 'sample'")
    assert said.error_code == "recipe_invalid"
    assert not run_dir.exists()


def test_a_split_of_another_name_ends_in_status_3_before_any_work(recipe, medsift, tmp_path):
    names = ["train_sft", "train_sft", "test_prefs"]
    rows = [{**row, "split": name} for row, name in zip(ROWS, names, strict=True)]
    said = medsift("curate", recipe(rows), "--local", "--run-dir", tmp_path / "run")
    check_refused(said, 3, "'train_sft' (2)", "'test_prefs' (1)", "ingest.splits")
    assert [path.name[:6] for path in (tmp_path / "run" / "stages").iterdir()] == ["ingest"]


def test_more_failures_than_tolerated_end_in_status_4_with_a_manifest(recipe, medsift, tmp_path):
    path = recipe([*ROWS, {"answer": "an answer alone"}])
    go = ("curate", path, "--local", "--run-dir", tmp_path / "run")
    said = medsift(*go, "--log-json")
    assert said.code == 4
    last = json.loads(said.out.splitlines()[-1])
    assert (last["event"], last["kind"], last["exit_code"]) == ("error", "LedgerError", 4)
    assert "1 of 4 rows failed" in last["message"]
    assert last["code"] == said.error_code
    assert [status["status"] for status in ask(tmp_path / "run", "SELECT status FROM runs")] != [
        "balanced"
    ]
    assert fates(tmp_path / "run")[3] == ("failed", "missing_question")
    said = medsift(*go, "--set", "failures.tolerance=0.25")
    assert said.code == 0
    assert said.err.count("reused") == len(STAGES) - 1  # no filter
    assert medsift("report", tmp_path / "run").code == 0


def test_a_run_that_drops_every_row_is_balanced(recipe, medsift, tmp_path):
    path = recipe([{"question": "Is it?", "answer": ""}, {"question": "Is it?", "answer": "  "}])
    said = medsift("curate", path, "--local", "--run-dir", tmp_path / "run")
    assert said.code == 0, said.err
    assert fates(tmp_path / "run") == [("dropped", "empty_answer"), ("dropped", "blank_answer")]
    check_balanced(tmp_path / "run")
    assert ask(tmp_path / "run", "SELECT * FROM selected_samples") == []
    assert medsift("report", tmp_path / "run").code == 0


# Places that refuse.


def test_a_run_directory_that_cannot_be_made_is_one_line(recipe, medsift, tmp_path):
    (tmp_path / "file").write_text("")
    path = recipe(ROWS)
    for place in (tmp_path / "file", tmp_path / "file" / "below", Path("/proc/no-such-place")):
        said = medsift("curate", path, "--local", "--run-dir", place)
        assert said.code in (2, 3)
        check_refused(said, said.code, str(place))


def test_a_cache_that_cannot_be_made_is_one_line(recipe, medsift, tmp_path):
    (tmp_path / "file").write_text("")
    path = recipe(ROWS, cache=str(tmp_path / "file" / "cache"))
    said = medsift("curate", path, "--local", "--run-dir", tmp_path / "run")
    check_refused(said, 3, str(tmp_path / "file" / "cache"))


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A file system of its own, made small or large, read-only or not, by mounting it again."""
    disk = tmp_path / "disk"
    disk.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)], capture_output=True
    )
    if made.returncode:
        pytest.skip("mounting a small disk needs root")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def resize(disk: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(disk)], check=True)


@pytest.mark.nightly
@pytest.mark.slow
def test_a_full_disk_is_one_line_and_the_run_goes_on_once_there_is_room(
    small_disk, phantom_recipe, medsift, tmp_path
):
    path = phantom_recipe()
    go = ("curate", path, "--local", "--run-dir", small_disk / "run")
    assert medsift("curate", path, "--local", "--run-dir", tmp_path / "whole").code == 0
    # Too small for ingest, pictures, vectors, texts, the manifest's log, the manifest, the report.
    for size in ("4k", "40k", "500k", "800k", "1m", "2m", "6m"):
        resize(small_disk, f"size={size}")
        check_refused(medsift(*go), 3, str(small_disk))
    resize(small_disk, "size=64m")
    said = medsift(*go)
    assert said.code == 0, said.err
    assert said.err.count("reused") == len(STAGES) - 1  # no filter
    assert selections(small_disk / "run") == selections(tmp_path / "whole")
    leftovers = [item.name for item in (small_disk / "run").rglob("*.partial")]
    assert leftovers == []


def test_a_read_only_disk_is_one_line(small_disk, recipe, medsift):
    resize(small_disk, "ro")
    said = medsift("curate", recipe(ROWS), "--local", "--run-dir", small_disk / "run")
    assert said.code in (2, 3)
    check_refused(said, said.code, str(small_disk))


def test_a_limit_on_file_size_is_one_line_and_the_run_goes_on_without_it(
    recipe, command, medsift, tmp_path
):
    path = recipe(ROWS, cache=str(tmp_path / "cache"))
    go = ("curate", path, "--local", "--run-dir", tmp_path / "run")
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))  # noqa: E731
    said = command(*go, preexec_fn=limit)
    check_refused(said, 3, str(tmp_path))
    said = medsift(*go)
    assert said.code == 0, said.err


def selections(run_dir: Path) -> list[bytes]:
    found = sorted(run_dir.glob("stages/select-*/selections/*.parquet"))
    return [part.read_bytes() for part in found]
