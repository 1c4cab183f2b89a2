"""Queries of users: which are refused, which are answered, and how answers are written."""

from __future__ import annotations

import csv
import io
import json
import unicodedata
from datetime import datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from medsift.errors import ManifestError
from medsift.manifest import RunRecord, open_manifest, query, render, write_manifest
from medsift.manifest.connections import left_behind
from tests.expect import raises_code

REFUSED = [
    "COPY rows TO 'out.csv'",
    "COPY (SELECT 1) TO 'out.csv'",
    "COPY rows FROM 'in.csv'",
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM read_text('/etc/passwd')",
    "SELECT * FROM read_blob('{path}')",
    "SELECT * FROM read_duckdb('{path}')",
    "SELECT * FROM read_parquet('s3://bucket/a.parquet')",
    "SELECT * FROM glob('/etc/*')",
    "SELECT * FROM sniff_csv('/etc/passwd')",
    "INSERT INTO runs (run_id) VALUES ('x')",
    "WITH x AS (INSERT INTO runs (run_id) VALUES ('x') RETURNING run_id) SELECT * FROM x",
    "UPDATE runs SET name = 'x'",
    "DELETE FROM runs",
    "TRUNCATE runs",
    "MERGE INTO runs t USING (SELECT 'a' r) u ON t.run_id = u.r WHEN MATCHED THEN DELETE",
    "CREATE TABLE t (a INTEGER)",
    "CREATE TEMP TABLE t (a INTEGER)",
    "CREATE VIEW v AS SELECT 1",
    "CREATE MACRO f(x) AS x",
    "CREATE SECRET (TYPE s3)",
    "DROP TABLE runs",
    "ALTER TABLE runs ADD COLUMN b INTEGER",
    "COMMENT ON TABLE runs IS 'x'",
    "SET threads = 1",
    "SET enable_external_access = true",
    "RESET lock_configuration",
    "SET VARIABLE a = 1",
    "USE memory",
    "PRAGMA threads = 1",
    "PRAGMA enable_profiling",
    "ATTACH 'other.duckdb'",
    "ATTACH ':memory:' AS m",
    "DETACH manifest",
    "INSTALL httpfs",
    "LOAD httpfs",
    "UPDATE EXTENSIONS",
    "EXPORT DATABASE 'folder'",
    "IMPORT DATABASE 'folder'",
    "CALL pragma_version()",
    "CHECKPOINT",
    "VACUUM",
    "BEGIN",
    "PREPARE p AS SELECT 1",
    "EXPLAIN ANALYZE DELETE FROM runs",
    "SELECT 1; SELECT 2",
    "",
    "-- nothing",
]
ANSWERED = [
    "SELECT 1",
    "FROM runs",
    "VALUES (1)",
    "WITH a AS (SELECT 1 AS x) SELECT * FROM a",
    "DESCRIBE why",
    "SHOW TABLES",
    "SUMMARIZE runs",
    "EXPLAIN SELECT * FROM why",
    "PIVOT stages ON stage USING sum(kept)",
    "SELECT 'drop table; copy' AS words;",
]


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    path = tmp_path_factory.mktemp("query") / "m.duckdb"
    stages = pa.table({"ordinal": [0], "stage": ["ingest"], "rows_in": [3], "kept": [2],
                       "dropped": [1], "failed": [0]})  # fmt: skip
    write_manifest(path, {"stages": stages}, RunRecord("a", "test", datetime(2026, 1, 1)))
    return path


@pytest.mark.parametrize("sql", REFUSED)
def test_statements_that_do_more_than_read_the_manifest_get_one_line(manifest, sql):
    before = manifest.read_bytes()
    with pytest.raises(ManifestError) as caught:
        query(manifest, sql.format(path=manifest))
    assert caught.value.code in ("query_refused", "query_invalid")
    assert "\n" not in str(caught.value)
    assert manifest.read_bytes() == before
    assert sorted(entry.name for entry in manifest.parent.iterdir()) == [
        ".m.duckdb.lock",
        "m.duckdb",
    ]


@pytest.mark.parametrize("sql", ANSWERED)
def test_reading_statements_are_answered(manifest, sql):
    assert query(manifest, sql).num_columns > 0


def test_names_of_the_calling_program_are_not_tables(manifest):
    secret = pa.table({"a": [1]})
    with raises_code("query_invalid"):
        query(manifest, "SELECT * FROM secret")
    assert secret.num_rows == 1


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("SELECT * FROM funel", "did you mean funnel?"),
        ("SELECT * FROM zzzzz", "there are runs, stages"),
        ("SELECT stag FROM stages", '"stage"'),
        ("SELEC 1", 'syntax error at or near "SELEC"'),
    ],
)
def test_mistakes_are_explained_with_the_nearest_name(manifest, sql, words):
    with raises_code("query_invalid") as caught:
        query(manifest, sql)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_not_a_manifest_is_said_to_be_none(tmp_path):
    import duckdb

    (tmp_path / "text").write_text("hello")
    with duckdb.connect(str(tmp_path / "other")) as con:
        con.execute("CREATE TABLE t (a INTEGER)")
    for name, code in (
        ("none", "manifest_missing"),
        ("text", "manifest_damaged"),
        ("other", "manifest_invalid"),
        (".", "manifest_missing"),
    ):
        with raises_code(code, path=str(tmp_path / name)) as caught:
            query(tmp_path / name, "SELECT 1")
        assert "\n" not in str(caught.value)


def test_a_locked_connection_stays_locked(manifest):
    import duckdb

    with open_manifest(manifest) as con:
        for sql in ("SET enable_external_access = true", "SET disabled_filesystems = ''"):
            with pytest.raises(duckdb.Error, match="locked"):
                con.execute(sql)
        with pytest.raises(duckdb.Error):
            con.execute("INSTALL httpfs")


def test_an_answer_larger_than_memory_says_so(manifest):
    with raises_code("query_too_large") as caught:
        query(manifest, "SELECT i, sha256(i::VARCHAR) FROM range(3000000) r (i) ORDER BY 2", "64MB")
    assert "\n" not in str(caught.value)


def test_a_statement_past_its_time_is_stopped(manifest):
    with raises_code("query_too_slow", seconds=0.2):
        query(manifest, "SELECT count(*) FROM range(1000000000000)", seconds=0.2)
    assert not left_behind()


def test_a_statement_that_is_not_text_is_refused(manifest):
    with raises_code("query_invalid", character=8):
        query(manifest, "select '\udcff'")


def test_what_a_terminal_would_obey_is_written_as_escapes():
    table = pa.table({"a\x1b[0m": ["\x1b[31mred", "\x9bx", "plain ü"]})
    for format, width in (("table", None), ("csv", 80), ("json", None)):
        out = io.BytesIO()
        render(table, format, out, width)
        text = out.getvalue().decode()
        assert not [char for char in text if char != "\n" and unicodedata.category(char) == "Cc"]
        assert "plain ü" in text
    out = io.BytesIO()
    render(table, "json", out)
    assert [line["a\x1b[0m"] for line in json.loads(out.getvalue())] == table[0].to_pylist()
    out = io.BytesIO()
    render(table, "csv", out)
    assert "\x1b[31mred" in out.getvalue().decode()


def test_every_type_of_value_is_written(manifest):
    table = query(manifest, "FROM test_all_types()")
    for format in ("table", "csv", "json"):
        out = io.BytesIO()
        render(table, format, out)
        assert out.getvalue()
    with raises_code("query_invalid"):
        render(table, "parquet", io.BytesIO())


TABLE = pa.table(
    {
        "name": ['a "b", c', None],
        "n": [1234, 5],
        "share": [0.5, None],
        "list": [[{"role": "user", "content": "ü\n[red]x[/red]"}], []],
        "at": pa.array([datetime(2026, 1, 1), None], pa.timestamp("us")),
    }
)


def rendered(format: str) -> bytes:
    out = io.BytesIO()
    render(TABLE, format, out)
    return out.getvalue()


def test_table_is_aligned_text_with_a_count():
    text = rendered("table").decode()
    assert text.splitlines()[0].split() == ["name", "n", "share", "list", "at"]
    assert "[red]x[/red]" in text
    assert text.endswith("2 rows\n")


def test_csv_json_and_parquet_load_back():
    lines = list(csv.DictReader(io.StringIO(rendered("csv").decode())))
    assert [line["name"] for line in lines] == ['a "b", c', ""]
    assert json.loads(lines[0]["list"]) == TABLE["list"][0].as_py()
    loaded = json.loads(rendered("json"))
    assert [line["n"] for line in loaded] == [1234, 5]
    assert loaded[0]["list"] == TABLE["list"][0].as_py()
    assert pq.read_table(io.BytesIO(rendered("parquet"))).equals(TABLE)


def test_an_empty_answer_is_still_valid():
    for format in ("table", "csv", "json", "parquet"):
        out = io.BytesIO()
        render(TABLE.slice(0, 0), format, out)
        assert out.getvalue()
        if format == "json":
            assert json.loads(out.getvalue()) == []


def test_an_unknown_format_names_the_allowed_ones():
    with raises_code("format_unknown", format="xml"):
        rendered("xml")
