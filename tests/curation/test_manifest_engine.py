"""Engines are lent again as if they were new, and never to two at once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa
import pytest

from curation.manifest import engine as engines
from curation.manifest.engine import engine

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

MARK = "ATTACH ':memory:' AS mark"
"""What stays with an engine until it is detached."""


def marked(con: DuckDBPyConnection) -> bool:
    found = con.execute("SELECT database_name FROM duckdb_databases()").fetchall()
    return ("mark",) in found


def test_an_engine_is_lent_again_without_what_was_temporary_in_it():
    with engine() as con:
        con.execute(MARK)
        con.execute("CREATE TEMP TABLE left_over AS SELECT 1")
        con.register("given", pa.table({"a": [1]}))
        con.execute("SET TimeZone = 'Asia/Tokyo'; USE mark")
    with engine() as con:
        assert marked(con)
        con.execute("DETACH mark")
        assert con.execute("SELECT current_setting('TimeZone')").fetchall() == [("UTC",)]
        for name in ("left_over", "given"):
            with pytest.raises(duckdb.CatalogException, match=name):
                con.execute(f"FROM {name}")


def test_two_at_once_read_the_same_file(tmp_path: Path):
    file = tmp_path / "a.duckdb"
    with duckdb.connect(file) as con:
        con.execute("CREATE TABLE t AS SELECT 7 AS n")
    with engine() as one, engine() as other:
        for con in (one, other):
            con.execute(f"ATTACH '{file}' AS same (READ_ONLY)")
            assert con.execute("FROM same.t").fetchall() == [(7,)]
        for con in (one, other):
            con.execute("DETACH same")


def test_an_engine_is_given_up_after_an_error():
    def fail() -> None:
        with engine() as con:
            con.execute(MARK)
            con.execute("FROM nowhere")

    with pytest.raises(duckdb.CatalogException, match="nowhere"):
        fail()
    with engine() as con:
        assert not marked(con)


@pytest.mark.parametrize("written", [False, True])
def test_a_folder_goes_with_who_named_it_and_a_written_one_takes_its_engine(
    written: bool, tmp_path: Path
):
    folder = tmp_path / "spill"
    with engine(folder) as con:
        con.execute(MARK)
        if written:
            _spill(con)
        assert folder.exists() == written
    with engine() as con:
        assert con.execute("SELECT current_setting('temp_directory')").fetchall() == [("",)]
        assert marked(con) != written
        if not written:
            con.execute("DETACH mark")


@pytest.mark.parametrize("large", [False, True])
def test_a_large_file_takes_its_engine_and_the_memory_with_it(
    large: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    file = tmp_path / "a.duckdb"
    file.write_bytes(bytes(9))
    monkeypatch.setattr(engines, "KEPT_BYTES", 8 if large else 9)
    with engine(file=file) as con:
        con.execute(MARK)
    with engine() as con:
        assert marked(con) != large
        if not large:
            con.execute("DETACH mark")


def _spill(con: DuckDBPyConnection) -> None:
    """Sort more than fits into memory."""
    con.execute("SET memory_limit = '40MB'")
    con.execute("CREATE TEMP TABLE t AS SELECT hash(range) AS h FROM range(8_000_000) ORDER BY h")
