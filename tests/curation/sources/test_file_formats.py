"""Shapes of JSON, separators of CSV and limits of a record: read as meant, or the true cause."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.sources.jsonfiles import ArraySplitter, lines
from curation.sources.reader import Shard
from curation.sources.table import TableReader
from medsift.errors import InputError
from medsift.images.blob_store import BlobStore
from tests.expect import raises_code

PAIRS = [{"question": f"q{at}", "answer": f"a{at}"} for at in range(3)]
CHAT = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
COCO = {"info": {"year": 1}, "images": [{"id": 1}], "annotations": PAIRS, "categories": []}


def rows_of(path, **settings):
    reader = TableReader(name="s", path=str(path), **settings)
    blobs = BlobStore(Path(path).parent / "blobs")
    return pa.concat_tables(
        table for shard in reader.shards() for table in reader.read(shard, blobs)
    ).to_pylist()


def pairs_of(rows):
    return [row["error"] or tuple(turn["content"] for turn in row["messages"]) for row in rows]


EXPECTED = [(pair["question"], pair["answer"]) for pair in PAIRS]


def written(path, data):
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


@pytest.mark.parametrize("name", ["d.json", "d.jsonl", "d.json.gz"])
@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("orient", ["columns", "list"])
def test_columns_of_json_are_read_as_rows(tmp_path, name, indent, orient):
    frame = pd.DataFrame(PAIRS)
    value = json.loads(frame.to_json()) if orient == "columns" else frame.to_dict("list")
    data = json.dumps(value, indent=indent).encode()
    path = written(tmp_path / name, gzip.compress(data) if name.endswith("gz") else data)
    rows = rows_of(path)
    assert pairs_of(rows) == EXPECTED
    assert [row["index"] for row in rows] == [0, 1, 2]


@pytest.mark.parametrize("orient", ["index", "split", "table"])
def test_other_orients_are_refused_by_what_they_are(tmp_path, orient):
    path = written(tmp_path / "d.json", pd.DataFrame(PAIRS).to_json(orient=orient))
    with raises_code("json_shape_unknown", file="d.json"):
        rows_of(path)


@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize(
    ("value", "key", "keys"),
    [
        ({"data": PAIRS}, "data", ["data"]),
        ({"version": "1", "data": PAIRS}, "data", ["data"]),
        (COCO, "annotations", ["images", "annotations"]),
    ],
)
def test_records_under_a_key_are_asked_for_and_read(tmp_path, value, key, keys, indent):
    path = written(tmp_path / "d.json", json.dumps(value, indent=indent))
    with raises_code("json_shape_unknown", file="d.json", keys=keys) as caught:
        rows_of(path)
    assert "\n" not in str(caught.value)
    assert pairs_of(rows_of(path, records=key)) == EXPECTED
    with raises_code("file_broken", file=path.name, format="json", row=0, key="nothing"):
        rows_of(path, records="nothing")


@pytest.mark.parametrize("name", ["d.json", "d.jsonl"])
@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize(
    "record",
    [
        {"messages": CHAT, "images": ["a.png", "b.png"]},
        {"messages": CHAT, "boxes": [{"x": 1}, {"x": 2}]},
        {"question": "q", "answer": "a", "regions": [{"x": 1}]},
    ],
)
def test_a_file_of_one_record_is_one_row(tmp_path, name, indent, record):
    path = written(tmp_path / name, json.dumps(record, indent=indent))
    assert pairs_of(rows_of(path, columns={"images": "NULL"})) == [("q", "a")]


def test_an_array_named_as_lines_is_an_array(tmp_path):
    for indent in (None, 1):
        path = written(tmp_path / "a.jsonl", json.dumps(PAIRS, indent=indent))
        assert pairs_of(rows_of(path)) == EXPECTED
    mixed = written(tmp_path / "b.jsonl", b'["a"]\n' + json.dumps(PAIRS[0]).encode())
    assert pairs_of(rows_of(mixed)) == ["not_an_object", EXPECTED[0]]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("{'question': 'q', 'answer': 'a'}\n", "double quotes"),
        ('{"question": "q"},\n{"question": "r"},\n', "ends with a comma"),
        ("// export\n# more\n", "no comments"),
        (json.dumps(PAIRS[0], indent=2) + "\n" + json.dumps(PAIRS[1], indent=2), "several lines"),
        (json.dumps(PAIRS).encode("utf-16"), "UTF-16"),
        ("\n".join(map(json.dumps, PAIRS)).encode("utf-16-le"), "UTF-16"),
        (json.dumps(PAIRS).encode("utf-32"), "UTF-32"),
        ('{"a": {"x": 1}, "b": {"y": 2}}', "by key"),
        ('{"question": ["a"], "answer": ["b", "c"]}', "different lengths"),
        ("question: q\nanswer: a\n", "malformed_json"),
    ],
)
@pytest.mark.parametrize("name", ["d.json", "d.jsonl"])
def test_json_that_holds_no_records_is_refused_by_its_cause(tmp_path, data, words, name):
    with pytest.raises(InputError) as caught:
        rows_of(written(tmp_path / name, data))
    codes = ("json_shape_unknown", "encoding_unknown", "records_unreadable")
    assert caught.value.code in codes
    assert words in str(caught.value)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_line_that_ends_with_a_comma_fails_alone_and_says_so(tmp_path):
    data = '{"question": "q", "answer": "a"},\n{"question": "r", "answer": "b"}\n'
    first, second = rows_of(written(tmp_path / "d.jsonl", data))
    assert (first["error"], second["error"]) == ("malformed_json", None)
    assert "comma" in first["detail"]


@settings(deadline=None, max_examples=80)
@given(
    st.lists(st.text(max_size=30), max_size=6),
    st.integers(1, 17),
    st.sampled_from([None, "data", 'a"b\\']),
    st.integers(8, 60),
)
def test_long_elements_are_left_out_the_same_however_their_bytes_arrive(texts, block, key, most):
    items = [{"t": text} for text in texts]
    before = {"x": [{"data": [1]}], "y": {"data": [2]}, "z": "data"}
    value = items if key is None else {**before, key: items, "after": [3]}
    data = json.dumps(value, ensure_ascii=False).encode()
    splitter = ArraySplitter("x", most, key)
    found = []
    for start in range(0, len(data), block):
        found += splitter.feed(data[start : start + block])
    splitter.finish(len(found))
    short = [json.dumps(item, ensure_ascii=False).encode() for item in items]
    # White space between elements counts: one byte follows a comma.
    expected = [one if len(one) + (at > 0) <= most else None for at, one in enumerate(short)]
    assert found == expected


@settings(deadline=None, max_examples=60)
@given(st.lists(st.binary(max_size=40), max_size=8), st.integers(1, 30))
def test_lines_beyond_the_limit_fail_alone(content, most):
    data = b"\n".join(line.replace(b"\n", b"") for line in content)
    shard = Shard("x", "x", 0, len(data), 0)
    found = list(lines(io.BytesIO(data), shard, most))
    bom = b"\xef\xbb\xbf"
    expected = [
        (at, (line.removeprefix(bom) if at == 0 else line) if len(line) <= most else None)
        for at, line in enumerate(data.split(b"\n"))
        if len(line) > most or (line.removeprefix(bom) if at == 0 else line).strip(b" \t\r\n")
    ]
    assert found == expected


@pytest.mark.parametrize("name", ["d.jsonl", "d.json"])
def test_a_record_beyond_the_limit_fails_alone(tmp_path, name):
    items = [PAIRS[0], {"question": "q" * 5000, "answer": "a"}, PAIRS[1]]
    data = json.dumps(items) if name == "d.json" else "\n".join(map(json.dumps, items))
    rows = rows_of(written(tmp_path / name, data), line_bytes=1000)
    assert pairs_of(rows) == [EXPECTED[0], "record_too_long", EXPECTED[1]]


def as_csv(separator, rows=EXPECTED, head=("question", "answer")):
    return "".join(separator.join(cells) + "\n" for cells in (head, *rows))


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_the_separator_is_read_from_the_file(tmp_path, separator):
    assert pairs_of(rows_of(written(tmp_path / "d.csv", as_csv(separator)))) == EXPECTED
    texts = [("one, two; three", "3,5"), ("is it | is it not, or", "4,5")]
    rows = [(f'"{question}"', f'"{answer}"') for question, answer in texts]
    assert pairs_of(rows_of(written(tmp_path / "d.csv", as_csv(separator, rows)))) == texts


def test_a_decimal_comma_stays_in_its_cell(tmp_path):
    data = as_csv(";", [("How large?", "3,5"), ("How far, then?", "4,25")])
    assert pairs_of(rows_of(written(tmp_path / "d.csv", data))) == [
        ("How large?", "3,5"),
        ("How far, then?", "4,25"),
    ]


@pytest.mark.parametrize(
    "data",
    [
        "sep=;\n" + as_csv(";"),
        "SEP=|\r\n" + as_csv("|"),
        "# exported, today\n# by me\n" + as_csv(","),
        "\ufeff" + as_csv(";"),
        as_csv(",", head=("question", "answer", "")),
        as_csv(",", [(*pair, "") for pair in EXPECTED]),
        as_csv(
            ",",
            [(str(at), *pair, "") for at, pair in enumerate(EXPECTED)],
            head=("", "question", "answer", ""),
        ),
        as_csv(
            ";",
            [(str(at), *pair) for at, pair in enumerate(EXPECTED)],
            head=("#id", "question", "answer"),
        ),
    ],
)
def test_what_spreadsheets_write_is_read(tmp_path, data):
    assert pairs_of(rows_of(written(tmp_path / "d.csv", data))) == EXPECTED


def test_a_separator_that_cannot_be_told_is_asked_for(tmp_path):
    path = written(tmp_path / "d.csv", "question;answer\nq\na;b;c\nx;y;z\n")
    with raises_code("separator_unclear"):
        rows_of(path)
    with raises_code("records_unreadable", path=str(path), file="d.csv", row=0):
        rows_of(path, separator=";")
    other = written(tmp_path / "e.csv", as_csv("^"))
    assert pairs_of(rows_of(other, separator="^")) == EXPECTED


def test_csv_that_is_utf_16_or_has_an_endless_line_is_one_line(tmp_path):
    with raises_code("encoding_unknown", file="d.csv"):
        rows_of(written(tmp_path / "d.csv", as_csv(",").encode("utf-16")))
    with raises_code("line_too_long", file="d.csv"):
        rows_of(written(tmp_path / "d.csv", as_csv(",") + "q" * 5000), line_bytes=1000)
