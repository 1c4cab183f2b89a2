from __future__ import annotations

import csv
import gzip
import io
import json
import pickle
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from curation.sources import SourceConfig
from curation.sources.table import TableReader
from medsift import records
from medsift.images.blob_store import BlobStore
from tests.expect import raises_code

RECORDS = [{"question": f"q{at}?", "answer": f"a{at}", "modality": "ct"} for at in range(57)]


def rows_of(reader, folder):
    blobs = BlobStore(Path(folder) / "blobs")
    tables = [table for shard in reader.shards() for table in reader.read(shard, blobs)]
    assert all(table.schema.equals(records.ROWS) for table in tables)
    return pa.concat_tables(tables).to_pylist()


def lines(items):
    return b"".join(json.dumps(item).encode() + b"\n" for item in items)


def write(path, data):
    path.write_bytes(data)
    return str(path)


def as_csv(items, delimiter=","):
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(items[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(items)
    return text.getvalue().encode()


def as_parquet(items):
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(items), sink, row_group_size=10)
    return sink.getvalue()


WRITERS = {
    "t.jsonl": lines,
    "t.json": lambda items: json.dumps(items, indent=1).encode(),
    "t.csv": as_csv,
    "t.tsv": lambda items: as_csv(items, "\t"),
    "t.jsonl.gz": lambda items: gzip.compress(lines(items)),
    "t.json.gz": lambda items: gzip.compress(json.dumps(items).encode()),
    "t.csv.gz": lambda items: gzip.compress(as_csv(items)),
    "t.parquet": as_parquet,
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_yields_the_same_rows(tmp_path, name):
    path = write(tmp_path / name, WRITERS[name](RECORDS))
    rows = rows_of(TableReader(name="s", path=path), tmp_path)
    assert [row["index"] for row in rows] == list(range(57))
    assert rows[3]["row_id"] == f"s:{name}:3"
    assert [row["messages"][0]["content"] for row in rows] == [r["question"] for r in RECORDS]
    assert [row["messages"][1]["content"] for row in rows] == [r["answer"] for r in RECORDS]
    assert {row["modality"] for row in rows} == {"ct"}
    assert {row["error"] for row in rows} == {None}


def test_folders_and_globs_read_each_file_under_its_own_name(tmp_path):
    (tmp_path / "in" / "deep").mkdir(parents=True)
    write(tmp_path / "in" / "a.jsonl", lines(RECORDS[:2]))
    write(tmp_path / "in" / "deep" / "b.csv", as_csv(RECORDS[:3]))
    write(tmp_path / "in" / "notes.md", b"no table")
    folder = rows_of(TableReader(name="s", path=str(tmp_path / "in")), tmp_path)
    assert {row["file"] for row in folder} == {"a.jsonl", "deep/b.csv"}
    assert len(folder) == 5
    found = rows_of(TableReader(name="s", path=str(tmp_path / "in" / "**" / "*.csv")), tmp_path)
    assert {row["file"] for row in found} == {"deep/b.csv"}
    url = TableReader(name="s", path=(tmp_path / "in" / "a.jsonl").as_uri())
    assert len(rows_of(url, tmp_path)) == 2


MESSY = [b"", b"   ", b"{", b"[1]", b'"x"', b'{"question": "q", "answer": "\xff"}', b"\r"]
GOOD = [b'{"question":"q1","answer":"yes"}', '{"question":"ü","answer":3}'.encode()]


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.sampled_from(MESSY + GOOD * 3), max_size=30),
    st.integers(20, 400),
    st.booleans(),
    st.booleans(),
)
def test_shards_of_any_size_read_what_the_whole_file_holds(
    tmp_path_factory, content, size, ends, bom
):
    folder = tmp_path_factory.mktemp("shards")
    data = b"\n".join([GOOD[0], *content]) + (b"\n" if ends else b"")
    path = write(folder / "x.jsonl", (b"\xef\xbb\xbf" if bom else b"") + data)
    whole = rows_of(TableReader(name="s", path=path), folder)
    cut = rows_of(TableReader(name="s", path=path, shard_bytes=size), folder)
    assert cut == whole
    expected = [at for at, line in enumerate([GOOD[0], *content]) if line.strip()]
    assert [row["index"] for row in whole] == expected


@pytest.mark.parametrize("size", [1, 300, 10**9])
def test_parquet_is_cut_by_row_groups(tmp_path, size):
    path = write(tmp_path / "t.parquet", as_parquet(RECORDS))
    reader = TableReader(name="s", path=path, shard_bytes=size)
    assert len(reader.shards()) == {1: 6, 300: 6, 10**9: 1}[size] or size == 300
    assert [row["index"] for row in rows_of(reader, tmp_path)] == list(range(57))


def test_bad_lines_become_rows_with_a_reason(tmp_path):
    data = b"\n".join([GOOD[0], b"", b"{bad", b'{"question": "\xff"}', b"[1]", b"null", GOOD[0]])
    rows = rows_of(TableReader(name="s", path=write(tmp_path / "x.jsonl", data)), tmp_path)
    assert [(row["index"], row["error"]) for row in rows] == [
        (0, None),
        (2, "malformed_json"),
        (3, "not_utf8"),
        (4, "not_an_object"),
        (5, "not_an_object"),
        (6, None),
    ]
    assert all(row["detail"] for row in rows if row["error"])


def test_a_bad_element_of_an_array_costs_one_row(tmp_path):
    data = (
        b'[{"question":"a","answer":"b"}, {"question": nope}, 7, {"question":"]}\\"","answer":"c"}]'
    )
    rows = rows_of(TableReader(name="s", path=write(tmp_path / "x.json", data)), tmp_path)
    assert [row["error"] for row in rows] == [None, "malformed_json", "not_an_object", None]
    assert rows[3]["messages"][0]["content"] == ']}"'


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.dictionaries(st.text(max_size=3), st.text(max_size=12), max_size=3), max_size=8),
    st.integers(1, 40),
    st.sampled_from([None, 2]),
)
def test_arrays_split_the_same_however_their_bytes_arrive(items, block, indent):
    from curation.sources.jsonfiles import ArraySplitter

    data = json.dumps(items, indent=indent, ensure_ascii=False).encode()
    splitter = ArraySplitter("x")
    found = []
    for start in range(0, len(data), block):
        found += splitter.feed(data[start : start + block])
    splitter.finish(len(found))
    assert [json.loads(element) for element in found] == items


@pytest.mark.parametrize("data", [b'[{"a": 1}, {"a"', b'[{"a": 1]', b'[{"a":1}] more'])
def test_a_broken_array_is_refused_in_one_line(tmp_path, data):
    reader = TableReader(name="s", path=write(tmp_path / "x.json", data))
    with raises_code("file_broken", file="x.json") as caught:
        rows_of(reader, tmp_path)
    assert "\n" not in str(caught.value)


def test_csv_faults_cost_one_row_each(tmp_path):
    data = b'question,answer\nq,a\nq\n\n"multi\nline",a\nq,\xff\nq,"a"b\nq,\n'
    rows = rows_of(TableReader(name="s", path=write(tmp_path / "x.csv", data)), tmp_path)
    assert [(row["index"], row["error"]) for row in rows] == [
        (0, None),
        (1, "malformed_csv"),
        (3, None),
        (4, "not_utf8"),
        (5, "malformed_csv"),
        (6, None),
    ]
    assert rows[2]["messages"][0]["content"] == "multi\nline"
    assert rows[5]["messages"][1]["content"] is None


@pytest.mark.parametrize(
    ("name", "data", "code"),
    [
        ("x.csv", b'question,answer\nq,"never\nq,a\n', "file_broken"),
        ("x.csv", b"question,question\nq,a\n", "csv_header_unreadable"),
        ("x.csv", b"question,answer\n", "source_empty"),
        ("x.jsonl", b"", "file_empty"),
        ("x.jsonl", b"\n \n", "source_empty"),
        ("x.json", b"[]", "source_empty"),
        ("x.parquet", b"not parquet", "file_broken"),
        ("x.jsonl.gz", gzip.compress(lines(RECORDS))[:-20], "file_broken"),
        ("x.jsonl.gz", b"plain", "file_broken"),
        ("x.dat", b"{}", "source_format_unknown"),
    ],
)
def test_unreadable_input_is_one_clear_line(tmp_path, name, data, code):
    with raises_code(code) as caught:
        rows_of(TableReader(name="s", path=write(tmp_path / name, data)), tmp_path)
    assert "\n" not in str(caught.value)


def test_a_path_to_nothing_names_its_neighbour(tmp_path):
    write(tmp_path / "train.jsonl", GOOD[0])
    missing = str(tmp_path / "trian.jsonl")
    with raises_code("source_missing", path=missing) as caught:
        TableReader(name="s", path=missing).shards()
    assert "'train.jsonl'" in str(caught.value)
    (tmp_path / "empty").mkdir()
    with raises_code("source_empty"):
        TableReader(name="s", path=str(tmp_path / "empty")).shards()
    with raises_code("source_empty"):
        TableReader(name="s", path=str(tmp_path / "*.csv")).shards()


def test_expressions_map_columns_tags_and_extras(tmp_path):
    items = [{"Q": "q", "A": " yes ", "kind": "test_x", "meta": {"k": [1, {"d": "deep"}]}, "n": 5}]
    columns = {
        "question": "Q",
        "answer": "trim(A) -- comment",
        "split": "CASE WHEN kind LIKE 'test%' THEN 'test' ELSE 'train' END",
        "body_part": "meta->'k'->1->>'d'",
        "number": "n",
        "license": "'CC0'",
    }
    path = write(tmp_path / "x.jsonl", lines(items))
    (row,) = rows_of(TableReader(name="s", path=path, columns=columns), tmp_path)
    assert row["messages"][1]["content"] == "yes"
    assert (row["split"], row["body_part"], row["license"]) == ("test", "deep", "CC0")
    assert json.loads(row["extra"]) == {"number": "5"}


def test_mixed_types_survive_as_text_with_a_note(tmp_path):
    data = (
        b'{"question":"q","answer":3}\n{"question":"q","answer":"3"}\n'
        b'{"question":"q","answer":2.50}\n{"question":"q","answer":true}\n'
        b'{"question":"q","answer":["a"]}\n{"question":"q","answer":null}\n{"question":"q"}\n'
        b'{"question":"q","answer":"\\ud800x"}\n'
    )
    rows = rows_of(TableReader(name="s", path=write(tmp_path / "x.jsonl", data)), tmp_path)
    found = [row["messages"][1]["content"] for row in rows]
    assert found == ["3", "3", "2.50", "true", '["a"]', None, None, "\ufffdx"]
    assert [row["notes"] for row in rows] == [
        ["answer: integer read as text"],
        [],
        ["answer: number read as text"],
        ["answer: boolean read as text"],
        ["answer: array read as text"],
        *[[]] * 3,
    ]


def test_parquet_keeps_its_types(tmp_path):
    items = [{"question": "q", "answer": at, "tags": ["a", "b"]} for at in (1, None)]
    path = write(tmp_path / "x.parquet", as_parquet(items))
    columns = {"split": "tags[2]", "score": "answer + 1"}
    rows = rows_of(TableReader(name="s", path=path, columns=columns), tmp_path)
    assert [row["messages"][1]["content"] for row in rows] == ["1", None]
    assert [row["notes"] for row in rows] == [["answer: integer read as text"], []]
    assert rows[0]["split"] == "b"
    assert json.loads(rows[0]["extra"]) == {"score": "2"}


def test_an_expression_that_fails_on_a_row_fails_that_row_alone(tmp_path):
    items = [{"question": "q", "answer": "a", "n": "x" if at % 40 == 7 else at} for at in range(99)]
    path = write(tmp_path / "x.jsonl", lines(items))
    rows = rows_of(TableReader(name="s", path=path, columns={"k": "CAST(n AS INT)"}), tmp_path)
    assert [row["index"] for row in rows if row["error"]] == [7, 47, 87]
    assert {row["error"] for row in rows} == {None, "mapping_failed"}
    assert json.loads(rows[8]["extra"]) == {"k": "8"}


def test_a_missing_column_is_named_with_its_neighbour_before_the_run(tmp_path):
    path = write(tmp_path / "x.jsonl", lines(RECORDS))
    with raises_code("source_column_unknown", column="modalty") as caught:
        TableReader(name="s", path=path, columns={"modality": "upper(modalty)"}).shards()
    assert "'modality'" in str(caught.value)
    other = write(tmp_path / "y.jsonl", lines([{"question": "q"}]))
    with raises_code("target_missing", targets=["messages", "answer"]):
        TableReader(name="s", path=other).shards()


def test_a_key_that_some_records_lack_is_null_there(tmp_path):
    items = [{"question": "q", "answer": "a"}, {"question": "q", "answer": "a", "who": "x"}]
    path = write(tmp_path / "x.jsonl", lines(items))
    reader = TableReader(name="s", path=path, columns={"patient_id": "who"}, shard_bytes=1)
    assert [row["patient_id"] for row in rows_of(reader, tmp_path)] == [None, "x"]


@pytest.mark.parametrize(
    "expression",
    [
        "upper(",
        "question, answer",
        "1; DROP TABLE x",
        "count(question)",
        "row_number() OVER ()",
        "(SELECT 1)",
        "random()",
        "now()",
        "unnest([1, 2])",
        "nosuch(question)",
        "*",
        "1) AS a, (2",
        "question FROM read_csv('/etc/passwd')",
    ],
)
def test_sql_that_is_no_expression_over_one_row_is_refused(tmp_path, expression):
    path = write(tmp_path / "x.jsonl", lines(RECORDS))
    with raises_code("expression_invalid") as caught:
        TableReader(name="s", path=path, columns={"k": expression}).shards()
    assert "\n" not in str(caught.value)


def test_expressions_cannot_reach_files(tmp_path):
    path = write(tmp_path / "x.jsonl", lines(RECORDS))
    columns = {"k": "list_transform([question], lambda x: x || '!')", "l": "getenv('HOME')"}
    with raises_code("expression_invalid", target="l"):
        TableReader(name="s", path=path, columns=columns).shards()
    reader = TableReader(name="s", path=path, columns={"k": columns["k"]})
    assert json.loads(rows_of(reader, tmp_path)[0]["extra"]) == {"k": "[q0?!]"}


def test_options_join_the_question_once(tmp_path):
    items = [
        {"question": "Which?", "answer": "CT", "options": ["CT", "MR"]},
        {"question": "Which?", "answer": "B", "options": {"B": "MR", "A": "CT"}},
        {"question": "A) CT or B) MR", "answer": "CT", "options": ["CT or", "MR"]},
        {"question": "Which?", "answer": "CT", "options": "neither"},
    ]
    path = write(tmp_path / "x.jsonl", lines(items))
    rows = rows_of(TableReader(name="s", path=path), tmp_path)
    asked = [row["messages"] and row["messages"][0]["content"] for row in rows]
    assert asked == ["Which?\nA. CT\nB. MR", "Which?\nA. CT\nB. MR", "A) CT or B) MR", None]
    assert json.loads(rows[0]["extra"]) == {"options": ["CT", "MR"]}
    assert rows[3]["error"] == "malformed_messages"


def test_images_come_as_one_many_bytes_or_none(tmp_path):
    items = [
        {"question": "q", "answer": "a", "image": "one.png"},
        {"question": "q", "answer": "a", "image": ["one.png", "sub/two.png"]},
        {"question": "q", "answer": "a", "image": None},
        {"question": "q", "answer": "a", "image": "../secret.png"},
        {"question": "q", "answer": "a", "image": "data:image/png;base64,AAEC"},
    ]
    path = write(tmp_path / "x.jsonl", lines(items))
    rows = rows_of(TableReader(name="s", path=path, image_root=str(tmp_path)), tmp_path)
    root = tmp_path.resolve()
    assert rows[0]["images"] == [str(root / "one.png")]
    assert rows[1]["images"] == [str(root / "one.png"), str(root / "sub" / "two.png")]
    assert rows[2]["images"] == []
    assert rows[3]["error"] == "reference_escapes"
    assert Path(rows[4]["images"][0]).read_bytes() == b"\x00\x01\x02"
    embedded = [{"question": "q", "answer": "a", "image": {"bytes": b"png", "path": "x.png"}}]
    path = write(tmp_path / "x.parquet", as_parquet(embedded))
    (row,) = rows_of(TableReader(name="s", path=path), tmp_path)
    assert Path(row["images"][0]).read_bytes() == b"png"


def test_fingerprints_follow_content_and_settings_not_place(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder / "x.jsonl", lines(RECORDS))
        write(tmp_path / folder / "y.jsonl", lines(RECORDS[:2]))
    root = str(tmp_path)
    one = TableReader(name="s", path=f"{root}/a", image_root=root)
    assert (
        one.fingerprint() == TableReader(name="s", path=f"{root}/b", image_root=root).fingerprint()
    )
    assert one.fingerprint() == one.model_copy(update={"shard_bytes": 7}).fingerprint()
    assert one.fingerprint() != one.model_copy(update={"columns": {"k": "1"}}).fingerprint()
    assert one.fingerprint() != one.model_copy(update={"image_root": f"{root}/a"}).fingerprint()
    before = one.fingerprint()
    write(tmp_path / "a" / "y.jsonl", lines(RECORDS[1:3]))
    assert one.fingerprint() != before


def test_readers_pickle_and_parse_from_a_recipe():
    adapter = TypeAdapter(list[SourceConfig])
    names = ["table", "llava", "messages", "hf", "webdataset", "image_folder"]
    sources = adapter.validate_python([{"reader": n, "name": "s", "path": "p"} for n in names])
    assert [source.reader for source in sources] == names
    assert pickle.loads(pickle.dumps(sources)) == sources
    with pytest.raises(ValidationError) as caught:
        adapter.validate_python([{"reader": "table", "name": "s", "path": "p", "colums": {}}])
    assert caught.value.errors()[0]["loc"][-1] == "colums"
