"""Writing: fates, views, several runs, readers, failures."""

from __future__ import annotations

import itertools
import signal
import subprocess
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.stages import STAGES
from medsift import records
from medsift.manifest import (
    SCHEMA_VERSION,
    TABLES,
    VIEWS,
    RunRecord,
    append_tables,
    open_manifest,
    read,
    selected,
    write_manifest,
)
from tests.expect import raises_code

START = datetime(2026, 1, 1)
FATES = st.lists(
    st.sampled_from(["kept", "dropped:dedup", "dropped:split", "failed:ingest", "failed:images"]),
    max_size=25,
)


def run(name: str = "a", day: int = 0) -> RunRecord:
    return RunRecord(name, "test", START + timedelta(days=day), packages={"x": "1"}, seed=3)


def pool(fates: list[str]) -> dict[str, pa.Table]:
    """Tables of a run whose i-th row has the i-th fate (`kept` or `action:stage`)."""
    rows, samples, entries = [], [], []
    for index, fate in enumerate(fates):
        row = records.row_id("s", "f.jsonl", index)
        rows.append({"row_id": row, "source": "s", "file": "f.jsonl", "index": index})
        action, _, stage = fate.partition(":")
        valid = stage not in ("ingest", "images")
        if valid:
            samples.append(sample(index, row))
        if action != "kept":
            entries.append(
                records.decision(row, stage, action, "why", sample=f"id{index}" if valid else None)
            )
    return {
        "rows": pa.Table.from_pylist(rows, schema=records.ROWS),
        "samples": pa.Table.from_pylist(samples, schema=records.SAMPLES),
        "decisions": records.decisions(entries),
        "stages": stages(fates),
    }


def sample(index: int, row: str) -> dict[str, object]:
    return {
        "sample_id": f"id{index}",
        "row_id": row,
        "source": "s",
        "modality": ("ct", "mr")[index % 2],
        "question": "q?",
        "answer": "yes",
        "messages": [{"role": "user", "content": "q?"}, {"role": "assistant", "content": "yes"}],
        "refs": [f"/data/{index}.png"],
        "images": [f"image{index}"],
    }


def stages(fates: list[str]) -> pa.Table:
    lines, left = [], len(fates)
    for ordinal, stage in enumerate(stage.name for stage in STAGES):
        dropped, failed = fates.count(f"dropped:{stage}"), fates.count(f"failed:{stage}")
        line = {"ordinal": ordinal, "stage": stage, "rows_in": left, "seconds": 1.0}
        left -= dropped + failed
        lines.append(line | {"kept": left, "dropped": dropped, "failed": failed, "reused": False})
    return pa.Table.from_pylist(lines)


def selection(name: str, indices: list[int]) -> pa.Table:
    lines = [
        {
            "selection": name,
            "rank": rank,
            "sample_id": f"id{index}",
            "row_id": records.row_id("s", "f.jsonl", index),
            "weight": 1.0,
            "created_at": START,
        }
        for rank, index in enumerate(indices)
    ]
    return pa.Table.from_pylist(lines)


@settings(max_examples=15, deadline=None)
@given(fates=FATES)
def test_every_row_has_one_fate_and_the_funnel_adds_up(tmp_path_factory, fates):
    path = tmp_path_factory.mktemp("m") / "m.duckdb"
    write_manifest(path, pool(fates), run())
    lines = read(path, "SELECT * FROM funnel").to_pylist()
    for line in lines:
        assert line["rows_in"] == line["kept"] + line["dropped"] + line["failed"]
    for before, after in itertools.pairwise(lines):
        assert before["kept"] == after["rows_in"]
    why = read(path, "SELECT row_id, action, stage FROM why").to_pylist()
    found = {
        line["row_id"]: "kept" if line["action"] == "kept" else f"{line['action']}:{line['stage']}"
        for line in why
    }
    expected = {records.row_id("s", "f.jsonl", index): fate for index, fate in enumerate(fates)}
    assert len(why) == len(fates)
    assert found == expected
    kept = {line["stage"] for line in why if line["action"] == "kept"}
    assert kept <= {"select"}


def test_order_and_files_of_the_input_do_not_change_the_tables(tmp_path):
    tables = pool(["kept", "dropped:dedup", "kept", "failed:ingest", "dropped:split"] * 4)
    shuffled = {}
    for name, table in tables.items():
        order = sorted(range(table.num_rows), key=lambda place: (place * 7) % 20)
        if name == "stages":
            shuffled[name] = table
            continue
        (tmp_path / name).mkdir()
        for part, indices in enumerate((order[:3], order[3:])):
            pq.write_table(table.take(indices), tmp_path / name / f"{part}.parquet")
        shuffled[name] = tmp_path / name
    write_manifest(tmp_path / "a.duckdb", tables, run())
    write_manifest(tmp_path / "b.duckdb", shuffled, run())
    for table in TABLES:
        sql = f"SELECT * FROM {table.name}"
        assert read(tmp_path / "a.duckdb", sql).equals(read(tmp_path / "b.duckdb", sql))


def test_files_may_be_named_by_pattern_list_or_not_at_all(tmp_path):
    tables = pool(["kept"] * 3)
    pq.write_table(tables["rows"], tmp_path / "r0.parquet")
    path = tmp_path / "m.duckdb"
    for given_rows in (tmp_path / "r*.parquet", [tmp_path / "r0.parquet"]):
        write_manifest(path, tables | {"rows": given_rows, "decisions": []}, run())
        assert read(path, "SELECT count(*) n FROM why").to_pylist() == [{"n": 3}]


def test_explanation_is_in_words(tmp_path):
    tables = pool(["kept", "kept", "kept", "kept"])
    entries = [
        records.decision(
            "s:f.jsonl:1", "dedup", "dropped", "image_copy", witness="s:f.jsonl:0", value=0.9912,
            threshold=0.95,
        ),
        records.decision("s:f.jsonl:2", "images", "failed", "truncated", detail="ends early"),
        records.decision(
            "s:f.jsonl:3", "score", "dropped", "contrast", value=1.5, threshold=2.0
        ),
    ]  # fmt: skip
    write_manifest(tmp_path / "m", tables | {"decisions": records.decisions(entries)}, run())
    words = read(tmp_path / "m", "SELECT explanation FROM why ORDER BY row_id")["explanation"]
    assert words.to_pylist() == [
        "kept through select",
        "dropped in dedup: image_copy of row s:f.jsonl:0 (similarity 0.9912 ≥ 0.95)",
        "failed in images: truncated: ends early",
        "dropped in score: contrast (value 1.5 < 2)",
    ]


def test_two_runs_live_in_one_manifest_and_a_repeat_replaces_its_run(tmp_path):
    path = tmp_path / "m.duckdb"
    write_manifest(path, pool(["kept"] * 2), run("a"))
    write_manifest(path, pool(["kept"] * 3), run("b", day=1))
    count = "SELECT run_id, count(*) AS n FROM why GROUP BY ALL ORDER BY ALL"
    assert read(path, count).to_pylist() == [{"run_id": "a", "n": 2}, {"run_id": "b", "n": 3}]
    write_manifest(path, pool(["kept"] * 5), run("a"))
    assert read(path, count).to_pylist() == [{"run_id": "a", "n": 5}, {"run_id": "b", "n": 3}]
    assert read(path, "SELECT count(*) n FROM runs").to_pylist() == [{"n": 2}]


def test_a_reader_keeps_the_old_file_while_a_run_replaces_it(tmp_path):
    path = tmp_path / "m.duckdb"
    write_manifest(path, pool(["kept"] * 2), run())
    reader = open_manifest(path)
    write_manifest(path, pool(["kept"] * 4), run())
    assert reader.execute("SELECT count(*) FROM why").fetchone() == (2,)
    assert read(path, "SELECT count(*) n FROM why").to_pylist() == [{"n": 4}]
    assert reader.execute("SELECT count(*) FROM why").fetchone() == (2,)
    reader.close()


def test_images_become_pairs_of_id_and_reference_and_one_line_a_picture(tmp_path):
    lines = [
        {"image_id": "p", "byte_hash": "1", "ref": "/b.png", "width": 2},
        {"image_id": "p", "byte_hash": "2", "ref": "/a.jpg", "width": 2},
        {"image_id": None, "byte_hash": "3", "ref": "/bad", "error": "truncated"},
    ]
    images = pa.Table.from_pylist(lines, schema=records.IMAGES)
    write_manifest(tmp_path / "m", pool(["kept"]) | {"images": images}, run())
    assert read(tmp_path / "m", "SELECT image_id, ref, files FROM images").to_pylist() == [
        {"image_id": "p", "ref": "/a.jpg", "files": 2}
    ]
    pictures = read(tmp_path / "m", "SELECT images FROM samples")["images"].to_pylist()
    assert pictures == [[{"image_id": "image0", "ref": "/data/0.png"}]]


def test_coverage_counts_candidates_and_shows_empty_strata(tmp_path):
    tables = pool(["kept", "kept", "dropped:dedup", "dropped:select", "failed:ingest"])
    write_manifest(tmp_path / "m", tables | {"selections": selection("all", [0])}, run())
    lines = read(
        tmp_path / "m", "SELECT stratum, pool, selected, weight, share FROM coverage ORDER BY 1"
    ).to_pylist()
    assert lines == [
        {
            "stratum": "ct / unknown / unknown",
            "pool": 1,
            "selected": 1,
            "weight": 1.0,
            "share": 1.0,
        },
        {
            "stratum": "mr / unknown / unknown",
            "pool": 2,
            "selected": 0,
            "weight": 0.0,
            "share": 0.0,
        },
    ]


def test_the_newest_selection_is_the_one_shown(tmp_path):
    path = tmp_path / "m"
    write_manifest(path, pool(["kept"] * 4) | {"selections": selection("old", [0, 1])}, run())
    newer = selection("new", [3, 2, 1])
    made = pa.array([START + timedelta(hours=1)] * 3, pa.timestamp("us"))
    append_tables(path, "a", {"selections": newer.set_column(5, "created_at", made)})
    shown = read(path, "SELECT DISTINCT selection FROM selected_samples").to_pylist()
    assert shown == [{"selection": "new"}]
    assert selected(path)["sample_id"].to_pylist() == ["id3", "id2", "id1"]
    assert selected(path, "old")["sample_id"].to_pylist() == ["id0", "id1"]
    assert selected(path).column_names == list(
        next(view for view in VIEWS if view.name == "selected_samples").columns
    )
    known = ["new (run a)", "old (run a)"]
    with raises_code("selection_unknown", selection="third", known=known):
        selected(path, "third")


def test_appending_replaces_what_has_the_same_name(tmp_path):
    path = tmp_path / "m"
    write_manifest(path, pool(["kept"] * 3) | {"selections": selection("one", [0, 1, 2])}, run())
    append_tables(path, "a", {"selections": selection("one", [2])})
    assert selected(path)["sample_id"].to_pylist() == ["id2"]
    with raises_code("run_unknown", run_id="zz"):
        append_tables(path, "zz", {"selections": selection("one", [2])})
    with raises_code("manifest_table_invalid", table="rows"):
        append_tables(path, "a", {"rows": pool(["kept"])["rows"]})


def test_every_column_of_every_table_and_view_is_commented(tmp_path):
    write_manifest(tmp_path / "m", {}, run())
    bare = read(
        tmp_path / "m",
        "SELECT table_name, column_name FROM duckdb_columns() "
        "WHERE NOT internal AND comment IS NULL",
    )
    assert bare.to_pylist() == []
    for view in VIEWS:
        assert read(tmp_path / "m", f"FROM {view.name}").column_names == list(view.columns)


def test_wrong_tables_and_columns_are_refused_in_one_line(tmp_path):
    path = tmp_path / "m"
    with raises_code("manifest_table_invalid", table="row"):
        write_manifest(path, {"row": pa.table({"a": [1]})}, run())
    with raises_code("manifest_table_invalid", table="sweep", columns=["threshold"]):
        write_manifest(path, {"sweep": pa.table({"a": [1]})}, run())
    with raises_code("manifest_table_invalid", path=str(path)):
        write_manifest(path, {"sweep": pa.table({"threshold": ["many"]})}, run())
    assert not path.exists()
    assert leftovers(tmp_path) == []


def test_a_file_of_another_layout_is_not_overwritten(tmp_path):
    import duckdb

    path = tmp_path / "m.duckdb"
    path.write_text("notes")
    with raises_code("manifest_damaged", path=str(path)):
        write_manifest(path, {}, run())
    assert path.read_text() == "notes"
    path.unlink()
    with duckdb.connect(str(path)) as con:
        con.execute("CREATE TABLE runs (run_id VARCHAR, schema_version INTEGER)")
        con.execute("INSERT INTO runs VALUES ('x', 99)")
    with raises_code("manifest_version", version=99):
        write_manifest(path, {}, run())


def older(path: Path) -> None:
    """Turn a manifest into one of the first layout: without the tables that came later."""
    import duckdb

    with duckdb.connect(str(path)) as con:
        for table in ("combinations", "correlations", "selection_settings", "curves"):
            con.execute(f"DROP TABLE {table}")
        con.execute("UPDATE runs SET schema_version = 1")


def test_an_older_layout_is_read_as_it_is_and_upgraded_when_written(tmp_path):
    path = tmp_path / "m.duckdb"
    chosen = pa.table({"selection": ["s"], "rank": [0], "sample_id": ["a"], "row_id": ["r"]})
    write_manifest(path, {"selections": chosen}, run("first"))
    older(path)
    assert read(path, "SELECT schema_version FROM runs")["schema_version"].to_pylist() == [1]
    curve = pa.table({"selection": ["s"], "size": [1], "coverage": [0.5]})
    append_tables(path, "first", {"curves": curve})
    assert read(path, "SELECT coverage FROM curves")["coverage"].to_pylist() == [0.5]
    assert read(path, "SELECT schema_version FROM runs")["schema_version"].to_pylist() == [
        SCHEMA_VERSION
    ]


def test_a_run_is_written_beside_those_of_an_older_layout(tmp_path):
    path = tmp_path / "m.duckdb"
    chosen = pa.table({"selection": ["s"], "rank": [0], "sample_id": ["a"], "row_id": ["r"]})
    write_manifest(path, {"selections": chosen}, run("first"))
    older(path)
    write_manifest(path, {}, run("second"))
    lines = read(path, "SELECT run_id, schema_version FROM runs ORDER BY run_id").to_pylist()
    assert lines == [
        {"run_id": name, "schema_version": SCHEMA_VERSION} for name in ("first", "second")
    ]
    assert read(path, "SELECT run_id FROM selections")["run_id"].to_pylist() == ["first"]


def test_the_split_val_of_an_older_run_is_called_validation_when_the_file_is_written(tmp_path):
    path = tmp_path / "m.duckdb"
    rows = {"sample_id": ["a", "b"], "row_id": ["r", "q"], "split": ["val", "train"]}
    write_manifest(path, {"samples": pa.table(rows)}, run("first"))
    write_manifest(path, {}, run("second"))
    splits = "SELECT split FROM samples ORDER BY row_id"
    assert read(path, splits)["split"].to_pylist() == ["train", "validation"]


def test_the_last_selection_of_a_recipe_is_the_newest_and_a_later_one_is_newer(tmp_path):
    path = tmp_path / "m.duckdb"
    samples = pa.table({"sample_id": ["a"], "row_id": ["r"]})
    names = ["z_first", "a_last"]
    chosen = pa.table(
        {"selection": names, "rank": [0, 0], "sample_id": ["a", "a"], "row_id": ["r", "r"]}
    )
    settings = pa.table({"selection": names, "ordinal": [0, 1]})
    tables = {"samples": samples, "selections": chosen, "selection_settings": settings}
    write_manifest(path, tables, run("first"))
    assert selected(path)["selection"].to_pylist() == ["a_last"]
    assert read(path, "SELECT selection FROM selected_samples").num_rows == 1
    later = {
        "selections": chosen.slice(0, 1).set_column(0, "selection", pa.array(["by_hand"])),
        "selection_settings": pa.table(
            {"selection": ["by_hand"], "created_at": [datetime(2030, 1, 1)]}
        ),
    }
    append_tables(path, "first", later)
    newest = read(path, "SELECT selection FROM selected_samples")["selection"].to_pylist()
    assert newest == ["by_hand"] == selected(path)["selection"].to_pylist()


WRITER = """
import sys, pathlib, datetime, pyarrow as pa, resource
sys.path.insert(0, {tests!r})
from medsift.manifest import RunRecord, write_manifest
n = int(sys.argv[2])
ids = [f"s:f:{{i:09d}}" for i in range(n)]
rows = pa.table({{"row_id": ids, "source": ids, "file": ids, "index": range(n)}})
print("go", flush=True)
record = RunRecord("b", "big", datetime.datetime(2026, 1, 2))
if len(sys.argv) > 3:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), int(sys.argv[3])))
write_manifest(pathlib.Path(sys.argv[1]), {{"rows": rows}}, record)
"""


def writer(path: Path, rows: int, *limit: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER.format(tests=str(Path.cwd())), str(path), str(rows)]
        + [str(size) for size in limit],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def leftovers(folder: Path) -> list[str]:
    return [entry.name for entry in folder.iterdir() if ".partial" in entry.name]


def test_killed_in_the_middle_leaves_the_old_file_and_the_next_write_tidies(tmp_path):
    path = tmp_path / "m.duckdb"
    write_manifest(path, pool(["kept"] * 2), run())
    before = path.read_bytes()
    process = writer(path, 1_000_000)
    deadline = time.monotonic() + 60
    while not leftovers(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert leftovers(tmp_path)
    assert path.read_bytes() == before
    write_manifest(path, pool(["kept"] * 3), run("c"))
    assert leftovers(tmp_path) == []
    assert read(path, "SELECT count(*) n FROM why").to_pylist() == [{"n": 5}]


def test_a_disk_that_fills_leaves_the_old_file_and_one_clear_line(tmp_path):
    path = tmp_path / "m.duckdb"
    write_manifest(path, pool(["kept"] * 2), run())
    before = path.read_bytes()
    process = writer(path, 400_000, 2 * 2**20)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "StorageError: cannot write" in errors.splitlines()[-1]
    assert path.read_bytes() == before
    assert leftovers(tmp_path) == []


def test_a_folder_that_cannot_be_written_is_a_storage_error(tmp_path):
    (tmp_path / "file").write_text("")
    with raises_code("disk_refused"):
        write_manifest(tmp_path / "file" / "m.duckdb", {}, run())
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_samples_lie_in_order_of_their_rows_and_selections_point_at_them(tmp_path):
    path = tmp_path / "m"
    for name in ("a", "b", "a"):
        write_manifest(
            path, pool(["kept"] * 30) | {"selections": selection("s", [7, 2])}, run(name)
        )
    lines = read(path, "SELECT run_id, row_id FROM samples ORDER BY place").to_pylist()
    for name in ("a", "b"):
        rows = [line["row_id"] for line in lines if line["run_id"] == name]
        assert rows == sorted(rows)
        assert len(rows) == 30
    strange = "SELECT * FROM selections s JOIN samples p USING (place) WHERE s.row_id <> p.row_id"
    assert read(path, strange).num_rows == 0
    assert selected(path, run_id="b")["sample_id"].to_pylist() == ["id7", "id2"]


@pytest.mark.parametrize("cut", [0.3, 0.6, 0.9])
def test_a_damaged_manifest_says_that_removing_it_helps_and_is_left_as_it_is(tmp_path, cut):
    path = tmp_path / "m.duckdb"
    write_manifest(path, pool(["kept"] * 4000), run("a"))
    whole = path.read_bytes()
    damaged = bytearray(whole)
    for place in range(int(cut * len(whole)), int(cut * len(whole)) + 300_000, 977):
        damaged[place % len(whole)] ^= 0xFF
    for content in (whole[: int(cut * len(whole))], bytes(damaged)):
        path.write_bytes(content)
        with raises_code("manifest_damaged", path=str(path)) as caught:
            write_manifest(path, {}, run("b"))
        assert "remove it" in str(caught.value)
        assert path.read_bytes() == content
