"""A manifest written anew for a withdrawal: one run, its records, and no byte of another."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from medsift import records
from medsift.manifest import RunRecord, append_tables, keep_only, read, write_manifest

START = datetime(2026, 1, 1)


def write_run(manifest: Path, run: str, rows: list[str], day: int) -> None:
    """Write kept rows, each with a picture of its own, and a selection `all` of them."""
    samples = [
        {"sample_id": f"id-{row}", "row_id": row, "source": "s", "question": f"secret of {row}",
         "answer": "a", "messages": [], "refs": [f"/{row}.png"], "images": [f"image-{row}"]}
        for row in rows
    ]  # fmt: skip
    facts = [{"image_id": f"image-{row}", "byte_hash": "", "ref": f"/{row}.png"} for row in rows]
    tables = {
        "rows": pa.Table.from_pylist(
            [{"row_id": row, "source": "s", "file": "f", "index": 0} for row in rows]
        ),
        "samples": pa.Table.from_pylist(samples, schema=records.SAMPLES),
        "images": pa.Table.from_pylist(facts, schema=records.IMAGES),
        "selections": selection("all", rows, START + timedelta(days=day)),
    }
    write_manifest(manifest, tables, RunRecord(run, "t", START + timedelta(days=day)))


def selection(name: str, rows: list[str], created: datetime) -> pa.Table:
    return pa.Table.from_pylist(
        [{"selection": name, "rank": rank, "sample_id": f"id-{row}", "row_id": row,
          "created_at": created} for rank, row in enumerate(rows)]
    )  # fmt: skip


def line(rows: int) -> pa.Table:
    return pa.Table.from_pylist(
        [{"withdrawal_id": "w", "created_at": START, "kind": "rows", "rows": rows,
          "from_run": "old", "digests": ["d"] * rows}]
    )  # fmt: skip


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """A run of rows a, b and c with exports and trainings, and one without b."""
    path = tmp_path / "manifest.duckdb"
    write_run(path, "old", ["a", "b", "c"], 1)
    late = START + timedelta(days=2)
    append_tables(path, "old", {"selections": selection("without", ["a", "c"], late)})
    append_tables(path, "old", {"selections": selection("made_again", ["a"], late)})
    exports = [("all", "/all", 3, 2), ("without", "/without", 2, 3), ("made_again", "/again", 1, 1)]
    append_tables(path, "old", {"exports": pa.Table.from_pylist(
        [{"selection": name, "format": "parquet", "path": where, "rows": rows,
          "created_at": START + timedelta(days=day)} for name, where, rows, day in exports]
    )})  # fmt: skip
    append_tables(path, "old", {"trainings": pa.Table.from_pylist(
        [{"training_id": f"t-{name}", "selection": name, "adapter": f"/adapter-{name}",
          "created_at": START + timedelta(days=4)} for name in ("all", "without")]
    )})  # fmt: skip
    append_tables(path, "old", {"training_drops": pa.Table.from_pylist(
        [{"training_id": "t-all", "sample_id": f"id-{row}", "row_id": row, "reason": "too_long"}
         for row in "ab"]
    )})  # fmt: skip
    write_run(path, "new", ["a", "c"], 5)
    return path


def test_what_had_withdrawn_rows_is_listed_with_their_number(manifest):
    keep_only(manifest, "new", line(1), ["b"])
    uses = read(manifest, "SELECT kind, name, path, rows FROM withdrawal_uses").to_pylist()
    assert {(use["kind"], use["name"], use["path"]): use["rows"] for use in uses} == {
        ("selection", "all", None): 1,
        ("export", "all", "/all"): 1,
        # Its selection was replaced after the export: nobody knows what it had.
        ("export", "made_again", "/again"): None,
        ("training", "t-all", "/adapter-all"): 1,
    }


def test_one_run_stays_with_what_was_made_of_the_others(manifest):
    keep_only(manifest, "new", line(1), ["b"])
    assert read(manifest, "SELECT run_id FROM runs")["run_id"].to_pylist() == ["new"]
    runs = read(manifest, "SELECT DISTINCT run_id FROM trainings UNION FROM (SELECT run_id FROM "
                "exports) UNION SELECT run_id FROM withdrawals")  # fmt: skip
    assert runs["run_id"].to_pylist() == ["new"]
    assert sorted(read(manifest, "SELECT path FROM exports")["path"].to_pylist()) == [
        "/again",
        "/all",
        "/without",
    ]
    drops = read(manifest, "SELECT row_id FROM training_drops")["row_id"].to_pylist()
    assert drops == ["a"], "lines about withdrawn rows are not carried over"
    [record] = read(manifest, "SELECT * FROM withdrawals").to_pylist()
    assert (record["rows"], record["images"], record["digests"]) == (1, 1, ["d"])
    rows = read(manifest, "SELECT row_id, question FROM selected_samples ORDER BY 1").to_pylist()
    assert [row["question"] for row in rows] == ["secret of a", "secret of c"]


def test_no_byte_of_a_withdrawn_row_is_left_in_the_file(manifest):
    assert b"secret of b" in manifest.read_bytes()
    keep_only(manifest, "new", line(1), ["b"])
    left = manifest.read_bytes()
    assert b"secret of a" in left
    assert b"secret of b" not in left
    assert b"image-b" not in left


def test_a_later_run_and_a_later_withdrawal_keep_the_record(manifest):
    keep_only(manifest, "new", line(1), ["b"])
    write_run(manifest, "newer", ["a"], 6)
    second = line(1).set_column(0, "withdrawal_id", pa.array(["v"]))
    keep_only(manifest, "newer", second, ["c"])
    known = read(manifest, "SELECT run_id, withdrawal_id FROM withdrawals ORDER BY 2").to_pylist()
    assert known == [{"run_id": "newer", "withdrawal_id": name} for name in ("v", "w")]
