"""Benchmarks from one's own data: a manifest's split, and phantoms."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.phantoms import make_phantoms
from evaluation.benchmarks.published_values import gold_letter
from evaluation.perturb.apply import find_variant
from evaluation.perturb.image_swaps import Donors
from evaluation.perturb.perturbation import Skip
from medsift import records
from medsift.manifest import RunRecord, write_manifest
from medsift.options import split_options
from tests.expect import raises_code

START = datetime(2026, 1, 1)


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory):
    return make_phantoms(tmp_path_factory.mktemp("phantoms") / "set", images=40, seed=2)


def test_phantoms_ask_every_sound_row_of_the_split_and_no_other(phantoms, load):
    found = load(kind="phantoms", path=str(phantoms.root))
    rows = [json.loads(line) for line in phantoms.samples.read_text("utf-8").splitlines()]
    spoiled = set(pq.read_table(phantoms.truth)["row_index"].to_pylist())
    expected = {
        row["id"]: row
        for index, row in enumerate(rows)
        if row["split"] == "test" and index not in spoiled
    }
    items = {item["item_id"]: item for item in found.items.to_pylist()}
    assert items.keys() == expected.keys()
    assert found.unusable == {}
    for key, item in items.items():
        row = expected[key]
        assert (item["gold"], item["answer_type"]) == (row["answer"], row["answer_type"])
        assert item["patient_id"] == row["patient_id"]
        if item["options"]:
            assert len(item["options"]) >= 3
            assert "(A)" not in item["question"]
            assert row["question"].startswith(item["question"])
            assert all(f") {option}" in row["question"] for option in item["options"])
        else:
            assert item["question"] == row["question"]
    assert {item["answer_type"] for item in items.values()} == {"closed", "open", "choice"}


def test_phantoms_ask_only_for_the_wanted_kinds_of_answer(phantoms, load):
    every = load(kind="phantoms", path=str(phantoms.root)).items.to_pylist()
    wanted = load(kind="phantoms", path=str(phantoms.root), answer_types=["open"]).items.to_pylist()
    assert wanted == [item for item in every if item["answer_type"] == "open"]
    assert 0 < len(wanted) < len(every)


def test_without_the_modality_a_swapped_picture_may_be_of_another_one(phantoms, load):
    known, hidden = (
        load(kind="phantoms", path=str(phantoms.root), modality_known=stated).items.to_pylist()
        for stated in (True, False)
    )
    modality = {item["images"][0]: item["modality"] for item in known}
    assert None not in modality.values()
    assert {item["modality"] for item in hidden} == {None}

    def crossed(items):
        donors = Donors.among(items)
        swapped = [(item, find_variant("swapped_image").change(item, 0, donors)) for item in items]
        shown = [(old, new) for old, new in swapped if not isinstance(new, Skip)]
        assert shown
        return [modality[old["images"][0]] != modality[new["images"][0]] for old, new in shown]

    assert not any(crossed(known))
    assert any(crossed(hidden))


def test_another_split_of_phantoms_has_another_name(phantoms, load):
    assert load(kind="phantoms", path=str(phantoms.root), split="train").name == "phantoms_train"
    with raises_code("benchmark_unreadable", items=0):
        load(kind="phantoms", path=str(phantoms.root), split="none")


def sample(index, picture, **changes):
    question = changes.pop("question", "Is there a mass?")
    answer = changes.pop("answer", "yes")
    turns = changes.pop("turns", 1)
    pair = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return {
        "sample_id": f"id{index}",
        "row_id": records.row_id("s", "f.jsonl", index),
        "source": "s",
        "split": "test",
        "modality": "ct",
        "answer_type": "closed",
        "question": question,
        "answer": answer,
        "messages": pair * turns,
        "refs": [str(picture)],
        "images": ["pixels"],
    } | changes


@pytest.fixture
def manifest(tmp_path, picture_bytes):
    """A manifest of these samples, those in `dropped` removed by dedup."""
    picture = tmp_path / "a.png"
    picture.write_bytes(picture_bytes())

    def written(*changes, dropped=(), name="a", day=0):
        samples = [sample(index, picture, **one) for index, one in enumerate(changes)]
        rows = [
            {"row_id": one["row_id"], "source": "s", "file": "f.jsonl", "index": at}
            for at, one in enumerate(samples)
        ]
        entries = [
            records.decision(samples[at]["row_id"], stage, "dropped", "why")
            for at, stage in dropped
        ]
        write_manifest(
            tmp_path / "manifest.duckdb",
            {
                "rows": pa.Table.from_pylist(rows, schema=records.ROWS),
                "samples": pa.Table.from_pylist(samples, schema=records.SAMPLES),
                "decisions": records.decisions(entries),
            },
            RunRecord(name, "test", START + timedelta(days=day), packages={}, seed=0),
        )
        return str(tmp_path / "manifest.duckdb")

    return written


def test_a_manifests_split_is_what_curation_kept_of_it(manifest, load):
    path = manifest(
        {},
        {"split": "train"},
        {},
        {"patient_id": "p", "body_part": "head"},
        {"refs": [], "images": []},
        dropped=[(0, "dedup"), (2, "select")],
    )
    found = load(kind="manifest", path=path)
    items = found.items.to_pylist()
    assert (found.name, found.rows, found.images) == ("manifest_test", 3, 1)
    assert [item["item_id"][-1] for item in items] == ["2", "3", "4"]
    assert (items[1]["patient_id"], items[1]["body_part"]) == ("p", "head")
    assert items[1]["image_id"] == "pixels"
    assert (items[2]["images"], items[2]["image_id"]) == ([], None)
    assert json.loads(items[0]["extra"]) == {"sample_id": "id2", "source": "s"}


def test_lettered_options_are_taken_out_of_the_question(manifest, load):
    inline = {"question": "Which organ? (A) liver (B) lung", "answer": "B"}
    listed = {
        "question": "Which organ?\nA. liver\nB. lung",
        "answer": "lung",
        "extra": json.dumps({"options": ["liver", "lung"], "qid": 3}),
    }
    none = {"question": "Which organ? (A) liver (B) lung", "answer": "C"}
    path = manifest(*({**one, "answer_type": "choice"} for one in (inline, listed, none)))
    found = load(kind="manifest", path=path)
    for item in found.items.to_pylist():
        assert item["question"] == "Which organ?"
        assert (item["options"], item["gold"]) == (["liver", "lung"], "B")
    assert found.unusable == {"its gold is none of the options": 1}


def test_conversations_of_several_turns_are_counted(manifest, load):
    found = load(kind="manifest", path=manifest({}, {"turns": 2}))
    assert (found.rows, found.unusable) == (1, {"a conversation of several turns": 1})


def test_the_newest_run_is_meant_unless_another_is_named(manifest, load):
    manifest({}, {}, name="old")
    path = manifest({}, name="new", day=1)
    assert load(kind="manifest", path=path).rows == 1
    assert load(kind="manifest", path=path, run_id="old").rows == 2
    with raises_code("run_unknown", run="x", known=["new", "old"]):
        load(kind="manifest", path=path, run_id="x")


def test_a_missing_split_picture_or_manifest_is_one_line(manifest, load, tmp_path):
    path = manifest({}, {"refs": [str(tmp_path / "gone.png")]})
    with raises_code("benchmark_incomplete", missing=1, items=2) as error:
        load(kind="manifest", path=path)
    assert error.value.values["first"].endswith("gone.png")
    with raises_code("split_unknown", split="validation", known=["test"]):
        load(kind="manifest", path=path, split="dev")
    with raises_code("manifest_missing"):
        load(kind="manifest", path=str(tmp_path / "none.duckdb"))


def test_a_run_directory_names_its_manifest(manifest, load):
    path = manifest({}, {})
    by_file, by_folder = (load(kind="manifest", path=p) for p in (path, str(Path(path).parent)))
    assert by_folder.items.equals(by_file.items)
    assert (by_folder.files, by_folder.content_hash) == (by_file.files, by_file.content_hash)


def test_a_run_directory_without_a_manifest_is_one_line(load, tmp_path):
    with raises_code("manifest_missing") as error:
        load(kind="manifest", path=str(tmp_path))
    assert str(tmp_path / "manifest.duckdb") in str(error.value)


def test_a_label_names_the_results(manifest, load):
    assert load(kind="manifest", path=manifest({}), label="ours").name == "ours"


@pytest.mark.parametrize(
    ("text", "stem", "options"),
    [
        ("Which? (A) a b (B) c", "Which?", ["a b", "c"]),
        ("Which?\nA. a\nB. b\nC. c", "Which?", ["a", "b", "c"]),
        ("Which? A) a B) b", "Which?", ["a", "b"]),
        ("Which?\nA: a\nB: b", "Which?", ["a", "b"]),
        ("Is vitamin A. low?", "Is vitamin A. low?", []),
        ("Grade (B) or (C)?", "Grade (B) or (C)?", []),
        ("No options", "No options", []),
    ],
)
def test_options_are_split_off_a_question(text, stem, options):
    assert split_options(text) == (stem, options)


@pytest.mark.parametrize(
    ("gold", "letter"),
    [("b", "B"), (" B ", "B"), ("Fundus imaging", "A"), ("fundus imaging.", "A"), ("D", None)],
)
def test_a_gold_is_a_letter_or_the_words_of_an_option(gold, letter):
    assert gold_letter(gold, ["Fundus imaging.", "CT", "MRI"]) == letter
