"""Engines reach nothing but what they were given, and readers of one file share one."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from curation.report import write_report
from curation.run_dir import open_run
from medsift.manifest import RunRecord, append_tables, read, selected_batches, write_manifest
from medsift.manifest.connections import lock, lock_to, start
from medsift.manifest.reading import reading
from tests.expect import raises_code

CANARY = "canary of this machine"


RUN = "0123456789ab"


def record(run_id: str = RUN) -> RunRecord:
    return RunRecord(run_id, run_id, datetime(2026, 1, 1))


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    path = tmp_path / "manifest.duckdb"
    sample = {"row_id": "r1", "sample_id": "s1", "question": "where?", "answer": "left"}
    chosen = {"selection": "kept", "rank": 0, "row_id": "r1", "sample_id": "s1", "weight": 1.0}
    score = {"sample_id": "s1", "scorer": "density", "value": 0.5}
    tables = {"samples": sample, "selections": chosen, "scores": score}
    write_manifest(
        path, {name: pa.Table.from_pylist([line]) for name, line in tables.items()}, record()
    )
    return path


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret.txt"
    path.write_text(CANARY)
    return path


def hostile(path: Path, *statements: str) -> Path:
    with duckdb.connect(str(path)) as con:
        for statement in statements:
            con.execute(statement)
    return path


def test_temporary_tables_go_with_the_connection_that_made_them(manifest):
    with reading(manifest) as con:
        con.execute("CREATE TEMP TABLE left_over AS SELECT 1")
        con.register("given", pa.table({"a": [1]}))
        assert con.execute("SELECT current_setting('TimeZone')").fetchall() == [("UTC",)]
    with reading(manifest) as con:
        for name in ("left_over", "given"):
            with pytest.raises(duckdb.CatalogException, match=name):
                con.execute(f"FROM {name}")


def test_a_file_that_was_replaced_is_read_anew(manifest):
    before = read(manifest, "SELECT count(*) AS n FROM runs")["n"].to_pylist()
    with reading(manifest):
        write_manifest(manifest, {}, record("f" * 12))
        assert read(manifest, "SELECT count(*) AS n FROM runs")["n"].to_pylist() == [before[0] + 1]


def test_a_statement_of_ours_is_locked_as_users_are(manifest, secret):
    for sql in (f"FROM read_text('{secret}')", f"FROM '{secret}'", f"ATTACH '{manifest}' AS b"):
        with reading(manifest) as con, pytest.raises(duckdb.Error):
            con.execute(sql)
    with reading(manifest) as con, pytest.raises(duckdb.Error, match="locked"):
        con.execute("SET enable_external_access = true")


@pytest.mark.parametrize(
    ("table", "code"),
    [
        ("runs", "manifest_invalid"),
        ("samples", "manifest_unreadable"),
        ("selections", "manifest_unreadable"),
    ],
)
def test_views_of_a_strangers_manifest_read_no_file(manifest, secret, table, code):
    hostile(
        manifest,
        f"ALTER TABLE {table} RENAME TO {table}_before",
        f"CREATE VIEW {table} AS SELECT t.* FROM {table}_before t, "
        f"(SELECT content FROM read_text('{secret}')) c",
    )
    with raises_code(code, path=str(manifest)) as caught:
        list(selected_batches(manifest))
    assert "\n" not in str(caught.value)


def test_a_view_of_an_old_manifest_reads_no_file_when_a_run_is_written_next_to_it(manifest, secret):
    hostile(
        manifest,
        "CREATE TABLE scores_before AS FROM scores",
        "DROP TABLE scores",
        f"CREATE VIEW scores AS SELECT * REPLACE ((SELECT content FROM read_text('{secret}')) "
        "AS scorer) FROM scores_before",
    )
    before = manifest.read_bytes()
    with raises_code("manifest_table_invalid"):
        write_manifest(manifest, {}, record("f" * 12))
    with raises_code("manifest_table_invalid"):
        append_tables(manifest, RUN, {"scores": pa.table({"scorer": ["x"]})})
    assert manifest.read_bytes() == before


def test_a_run_id_that_holds_sql_is_a_value(manifest, tmp_path):
    target = tmp_path / "written"
    evil = f"x'; COPY (SELECT 'pwned') TO '{target}'; SELECT stage FROM stages WHERE 'a'='a"
    recipe = {"name": "r", "sources": [{"name": "s", "reader": "table", "path": "a.jsonl"}]}
    recipe["encoder"] = {"kind": "embedded"}
    run = RunRecord(evil, "r", datetime(2027, 1, 1), recipe=recipe)
    stage = {"ordinal": 0, "stage": "../../x", "fingerprint": "f"}
    stage |= dict.fromkeys(("rows_in", "kept", "dropped", "failed"), 0)
    write_manifest(manifest, {"stages": pa.Table.from_pylist([stage])}, run)
    with raises_code("stage_missing"):
        open_run(tmp_path)
    assert not target.exists()


def test_a_report_on_a_strangers_views_is_refused_in_one_line(manifest, secret, tmp_path):
    hostile(
        manifest,
        "CREATE OR REPLACE VIEW why AS SELECT run_id, row_id, "
        f"(SELECT content FROM read_text('{secret}')) AS explanation FROM rows",
    )
    with raises_code("manifest_unreadable", path=str(manifest)) as caught:
        write_report(manifest, RUN, tmp_path / "report.html")
    assert "\n" not in str(caught.value)


def test_an_engine_locked_to_some_files_works_on_them_alone(tmp_path, secret):
    parts = tmp_path / "parts"
    parts.mkdir()
    with duckdb.connect() as con:
        con.execute(f"COPY (SELECT 7 AS n) TO '{parts}/a.parquet'")
    con = start()
    lock_to(con, [tmp_path / "m.duckdb"], [parts])
    con.execute(f"ATTACH '{tmp_path}/m.duckdb' AS m")
    con.execute(f"CREATE TABLE m.t AS FROM '{parts}/a.parquet'")
    assert con.execute("FROM m.t").fetchall() == [(7,)]
    for sql in (
        f"FROM read_text('{secret}')",
        f"COPY (SELECT 1) TO '{tmp_path}/out.csv'",
        f"ATTACH '{tmp_path}/other.duckdb' AS o",
    ):
        with pytest.raises(duckdb.Error):
            con.execute(sql)
    con.close()
    assert not (tmp_path / "out.csv").exists()


def test_a_locked_engine_still_answers_from_what_is_attached(tmp_path):
    with duckdb.connect(str(tmp_path / "m.duckdb")) as con:
        con.execute("CREATE TABLE t AS SELECT 1 AS a")
    con = start()
    con.execute(f"ATTACH '{tmp_path}/m.duckdb' AS m (READ_ONLY)")
    lock(con)
    assert con.execute("FROM m.t").fetchall() == [(1,)]
    with pytest.raises(duckdb.Error):
        con.execute(f"FROM read_text('{tmp_path}/m.duckdb')")
    con.close()
