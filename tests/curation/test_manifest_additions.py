"""A run written again keeps what was added to it, whatever stands next to it in the file."""

from __future__ import annotations

from datetime import datetime, timedelta

import pyarrow as pa
import pytest

from medsift.manifest import TABLES, RunRecord, append_tables, read, selected, write_manifest

START = datetime(2026, 1, 1)
MADE = datetime(2026, 1, 3)
GROWING = [table for table in TABLES if table.replaced_by is not None]
VALUES = {
    "VARCHAR": "x",
    "VARCHAR[]": ["x"],
    "TIMESTAMP": MADE,
    "BOOLEAN": True,
    "DOUBLE[]": [0.5],
    "BIGINT[]": [1],
}


def run(name="a", day=0):
    return RunRecord(name, "test", START + timedelta(days=day))


def samples(count):
    ids = range(count)
    return pa.table({"sample_id": [f"id{i}" for i in ids], "row_id": [f"r{i}" for i in ids]})


def selection(name, picks):
    lines = [
        {"selection": name, "rank": rank, "sample_id": f"id{i}", "row_id": f"r{i}", "weight": 1.0}
        for rank, i in enumerate(picks)
    ]
    return pa.Table.from_pylist(lines)


def settings(name, ordinal, fingerprint, made=None):
    line = {"selection": name, "ordinal": ordinal, "fingerprint": fingerprint, "created_at": made}
    kinds = pa.schema(
        [("selection", "string"), ("ordinal", "int32"), ("fingerprint", "string"),
         ("created_at", pa.timestamp("us"))]
    )  # fmt: skip
    return pa.Table.from_pylist([line], schema=kinds)


def own(count=6, fingerprint="f1"):
    """What the run itself writes: its samples and one selection."""
    return {
        "samples": samples(count),
        "selections": selection("own", [1, 0]),
        "selection_settings": settings("own", 1, fingerprint),
    }


def lines_of(table):
    """Three lines with a value in every column, each with another key."""
    return pa.Table.from_pylist(
        [
            {
                column.name: f"{column.name}{place}"
                if column.name in table.replaced_by
                else VALUES.get(column.type, place)
                for column in table.columns
            }
            for place in range(3)
        ]
    )


def content(path, table, run_id="a"):
    sql = f"SELECT * EXCLUDE (run_id) FROM {table} WHERE run_id = '{run_id}' ORDER BY ALL"
    return read(path, sql).to_pylist()


@pytest.mark.parametrize("table", GROWING, ids=lambda table: table.name)
def test_every_table_that_grows_keeps_what_was_added(tmp_path, table):
    path = tmp_path / "m.duckdb"
    write_manifest(path, {"samples": samples(3)}, run())
    append_tables(path, "a", {table.name: lines_of(table)})
    before = content(path, table.name)
    assert len(before) == 3
    write_manifest(path, {"samples": samples(3)}, run(day=1))
    assert content(path, table.name) == before


def test_a_selection_made_by_hand_is_still_whole_and_the_newest(tmp_path):
    path = tmp_path / "m.duckdb"
    write_manifest(path, own(), run())
    hand = {
        "selections": selection("hand", [5, 2, 3]),
        "selection_settings": settings("hand", 2, "f2", MADE),
    }
    append_tables(path, "a", hand)
    write_manifest(path, {"samples": samples(4)}, run("b", day=1))
    # Of several runs, the repeated one's samples get other places in the file.
    write_manifest(path, own(), run(day=9))
    assert selected(path, run_id="a")["sample_id"].to_pylist() == ["id5", "id2", "id3"]
    shown = "SELECT selection, sample_id FROM selected_samples WHERE run_id = 'a' ORDER BY rank"
    assert read(path, shown)["selection"].to_pylist() == ["hand"] * 3
    assert selected(path, "own", "a")["sample_id"].to_pylist() == ["id1", "id0"]


def test_a_selection_that_comes_out_otherwise_is_new(tmp_path):
    path = tmp_path / "m.duckdb"
    write_manifest(path, own(), run())
    append_tables(
        path,
        "a",
        {
            "selections": selection("hand", [5]),
            "selection_settings": settings("hand", 2, "f2", MADE),
        },
    )
    write_manifest(path, own(fingerprint="other"), run(day=9))
    assert selected(path)["selection"].to_pylist() == ["own", "own"]


def test_what_the_run_writes_itself_replaces_what_had_its_name(tmp_path):
    path = tmp_path / "m.duckdb"
    write_manifest(path, own(), run())
    append_tables(path, "a", {"selections": selection("own", [4]), "scores": score("theirs", 0.1)})
    write_manifest(path, own() | {"scores": score("ours", 0.9)}, run())
    assert selected(path, "own")["sample_id"].to_pylist() == ["id1", "id0"]
    found = {line["scorer"]: line["value"] for line in content(path, "scores")}
    assert found == {"ours": 0.9, "theirs": 0.1}


def score(name, value):
    return pa.table({"sample_id": ["id0"], "scorer": [name], "value": [value]})


def test_additions_of_other_runs_are_not_touched(tmp_path):
    path = tmp_path / "m.duckdb"
    write_manifest(path, own(), run())
    write_manifest(path, own(), run("b", day=1))
    append_tables(path, "b", {"selections": selection("hand", [2])})
    write_manifest(path, own(), run(day=2))
    names = "SELECT DISTINCT run_id, selection FROM selections ORDER BY ALL"
    found = [tuple(line.values()) for line in read(path, names).to_pylist()]
    assert found == [("a", "own"), ("b", "hand"), ("b", "own")]
