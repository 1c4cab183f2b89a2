"""A further run is added to a copy of the file: equal tables, and the bytes of others as before."""

from __future__ import annotations

import errno
import os
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from medsift.manifest import TABLES, RunRecord, read, write, write_manifest
from medsift.storage.clone_file import clone_file

BLOCK = 256 << 10


def run(name: str) -> RunRecord:
    return RunRecord(name, "test", datetime(2026, 1, 1) + timedelta(days=ord(name[0])))


def tables(rows: int, seed: int = 0) -> dict[str, pa.Table]:
    """Rows and samples of random text, and a selection of every third."""
    random = np.random.default_rng(seed)
    names = [f"r{row:06d}" for row in range(rows)]
    texts = [random.bytes(60).hex() for _ in names]
    samples = {"sample_id": texts, "row_id": names, "question": texts, "answer": texts}
    chosen = {
        "selection": ["s"] * len(names[::3]),
        "rank": list(range(len(names[::3]))),
        "sample_id": texts[::3],
        "row_id": names[::3],
    }
    return {
        "rows": pa.table(
            {"row_id": names, "source": ["s"] * rows, "file": names, "index": list(range(rows))}
        ),
        "samples": pa.table(samples),
        "selections": pa.table(chosen),
    }


def contents(path: Path) -> dict[str, pa.Table]:
    """Every table by runs, in the order of its rows in the file."""
    number = "row_number() OVER () AS n"
    return {
        table.name: read(
            path,
            f"SELECT * EXCLUDE (n) FROM (SELECT *, {number} FROM {table.name}) ORDER BY run_id, n",
        )
        for table in TABLES
    }


def write_runs(path: Path) -> None:
    for name, rows, seed in (("a", 50, 1), ("b", 30, 2), ("a", 40, 3), ("c", 0, 4)):
        write_manifest(path, tables(rows, seed), run(name))


def test_the_tables_are_those_of_a_file_that_is_built_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_runs(tmp_path / "appended.duckdb")
    monkeypatch.setattr(write, "can_append", lambda *args: False)
    write_runs(tmp_path / "anew.duckdb")
    ours, theirs = contents(tmp_path / "appended.duckdb"), contents(tmp_path / "anew.duckdb")
    place = "samples", "selections"
    for name in ours:
        left, right = (
            table.drop_columns(["place"]) if name in place else table
            for table in (ours[name], theirs[name])
        )
        assert left.equals(right), name
    strange = "SELECT 1 FROM selections s JOIN samples p USING (place) WHERE s.row_id <> p.row_id"
    assert read(tmp_path / "appended.duckdb", strange).num_rows == 0


def test_the_bytes_of_other_runs_stay_where_they_are(tmp_path: Path) -> None:
    path = tmp_path / "m.duckdb"
    write_manifest(path, tables(60_000), run("a"))
    write_manifest(path, tables(10), run("b"))
    before = np.fromfile(path, np.uint8)
    write_manifest(path, tables(10), run("c"))
    after = np.fromfile(path, np.uint8)
    blocks = len(before) // BLOCK
    assert blocks > 20
    left, right = (data[: blocks * BLOCK].reshape(blocks, BLOCK) for data in (before, after))
    assert (left == right).all(axis=1).mean() > 0.8


def test_a_run_that_is_repeated_many_times_does_not_grow_the_file_without_end(
    tmp_path: Path,
) -> None:
    path = tmp_path / "m.duckdb"
    for name in "ab":
        write_manifest(path, tables(20_000), run(name))
    size = path.stat().st_size
    for seed in range(6):
        write_manifest(path, tables(20_000, seed), run("b"))
    assert path.stat().st_size < 3 * size
    counts = read(path, "SELECT run_id, count(*) AS n FROM samples GROUP BY ALL ORDER BY 1")
    assert counts.to_pylist() == [{"run_id": name, "n": 20_000} for name in "ab"]


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE MACRO count_all() AS 7",
        "CREATE OR REPLACE VIEW funnel AS SELECT 'a' AS run_id",
        "CREATE TABLE notes (words VARCHAR)",
    ],
)
def test_what_a_stranger_put_into_a_file_is_not_carried_on(tmp_path: Path, statement: str) -> None:
    path = tmp_path / "m.duckdb"
    write_manifest(path, tables(5), run("a"))
    write_manifest(tmp_path / "clean.duckdb", tables(5), run("a"))
    with duckdb.connect(str(path)) as con:
        con.execute(statement)
    for file in (path, tmp_path / "clean.duckdb"):
        write_manifest(file, tables(5), run("b"))
    layout = (
        "SELECT table_name AS name, sql FROM duckdb_tables() UNION ALL "
        "SELECT view_name, sql FROM duckdb_views() WHERE NOT internal UNION ALL "
        "SELECT function_name, NULL FROM duckdb_functions() WHERE NOT internal ORDER BY ALL"
    )
    assert read(path, layout).equals(read(tmp_path / "clean.duckdb", layout))


@pytest.mark.parametrize("size", [0, 1, 3 << 20])
@pytest.mark.parametrize("refusal", [None, errno.EXDEV, errno.EOPNOTSUPP])
def test_a_cloned_file_has_the_same_bytes_whatever_the_kernel_can_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, refusal: int | None
) -> None:
    data = np.random.default_rng(size).bytes(size)
    (tmp_path / "source").write_bytes(data)
    (tmp_path / "target").write_bytes(b"older and longer" * 3)
    if refusal is not None:
        copied = os.copy_file_range

        def half(source: int, target: int, count: int) -> int:
            if count < size:
                raise OSError(refusal, os.strerror(refusal))
            return copied(source, target, count // 2 + 1)

        monkeypatch.setattr(os, "copy_file_range", half)
    clone_file(tmp_path / "source", tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == data
