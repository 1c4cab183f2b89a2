"""Recorded replies: found again as they were, and every defect of a file is one clear line."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evaluation.generators import RecordedGenerator, Request
from evaluation.records import ITEMS
from tests.expect import raises_code


def table_of(*ids):
    rows = [
        {"benchmark": "b", "item_id": one, "question": "?", "gold": "yes", "answer_type": "closed"}
        for one in ids
    ]
    return pa.Table.from_pylist(rows, schema=ITEMS)


ASKED = table_of("1", "2")


def line(item_id, reply="yes", **more):
    return {"benchmark": "b", "item_id": item_id, "reply": reply, **more}


GOOD = (line("1"), line("2"))


@pytest.fixture
def write(tmp_path):
    """A file of replies: records, or lines as they stand."""

    def written(*lines, name="replies.jsonl"):
        path = tmp_path / name
        texts = [one if isinstance(one, str) else json.dumps(one) for one in lines]
        path.write_text("\n".join([*texts, ""]), encoding="utf-8")
        return path

    return written


def build(path, items=ASKED):
    return RecordedGenerator(path=path).build(items)


def replies(path, *asked, items=ASKED):
    requests = [Request("b", one, variant, (("user", "?"),)) for one, variant in asked]
    return build(path, items).generate(requests)


def test_a_reply_is_found_by_item_and_variant(write):
    path = write(line("2", "two"), line("1", "one", variant=None), line("1", "no", variant="typos"))
    found = replies(path, ("1", "typos"), ("2", "original"), ("1", "original"))
    assert [one.text for one in found] == ["no", "two", "one"]
    assert all(one.error is None for one in found)


@pytest.mark.parametrize("text", ["", " ", "x" * 100_000, "是的", 'a\n"b"', "\u2028"])
def test_replies_come_as_they_are(write, text):
    assert replies(write(line("1", text), line("2")), ("1", "original"))[0].text == text


def test_a_variant_that_is_missing_is_a_reply_without_text(write):
    [found] = replies(write(*GOOD), ("1", "noise@2"))
    assert (found.text, found.error) == (None, "no reply to noise@2 is recorded")


def test_no_reply_may_be_recorded(write):
    [found] = replies(write(line("1", None), line("2")), ("1", "original"))
    assert (found.text, found.error) == (None, "recorded without a reply")


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view()])
def test_parquet_is_read_as_json_lines_are(write, tmp_path, kind):
    records = [line("1", "a"), line("2", "b"), line("2", "c", variant="blank")]
    columns = {name: [one.get(name) for one in records] for name in (*records[0], "variant")}
    table = pa.table({name: pa.array(values, kind) for name, values in columns.items()})
    path = tmp_path / "replies.parquet"
    asked = [("1", "original"), ("2", "original"), ("2", "blank"), ("1", "blank")]
    expected = replies(write(*records), *asked)
    pq.write_table(table, path)
    assert replies(path, *asked) == expected
    coded = table["benchmark"].cast(pa.string()).dictionary_encode()
    pq.write_table(table.set_column(0, "benchmark", coded), path)
    assert replies(path, *asked) == expected
    pq.write_table(table.slice(0, 2).drop_columns("variant"), path)
    assert replies(path, *asked)[:2] == expected[:2]


DEFECTS = {
    "malformed": (["{", *GOOD, "nonsense"], {"faults": 2, "line": 1, "fault": "malformed"}),
    "cut": ([*GOOD, '{"benchmark": "b", "ite'], {"faults": 1, "line": 3, "fault": "malformed"}),
    "no object": ([*GOOD, [1]], {"line": 3, "fault": "no_object"}),
    "missing field": (
        [{"benchmark": "b", "reply": "x"}, *GOOD],
        {"line": 1, "fault": "missing"},
    ),
    "other field": ([line("1"), line("2", varient="typos")], {"line": 2, "fault": "unknown"}),
    "number": ([line(1), line("2")], {"faults": 1, "line": 1, "fault": "no_text"}),
    "list": ([line("1"), line("2", ["x"])], {"line": 2, "fault": "no_text"}),
    "half a character": ([line("1"), line("2", "\ud83d")], {"line": 2, "fault": "half_character"}),
    "null id": ([*GOOD, line(None)], {"column": "item_id", "records": 1, "first": 3}),
    "empty": ([], {"records": 0}),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_file_that_is_no_record_is_refused_with_its_first_line(write, defect):
    lines, values = DEFECTS[defect]
    path = write(*lines)
    with raises_code("replies_unreadable", path=str(path), **values) as caught:
        build(path)
    assert "\n" not in str(caught.value)


MISMATCHES = {
    "unknown": ([*GOOD, line("8"), line("9")], {"unknown": 2, "first_unknown": "b 8"}),
    "other benchmark": (
        [*GOOD, line("1") | {"benchmark": "c"}],
        {"unknown": 1, "first_unknown": "c 1"},
    ),
    "missing": ([line("2")], {"missing": 1, "first": "b 1"}),
    "only a variant": ([line("1", variant="blank"), line("2")], {"missing": 1, "first": "b 1"}),
    "twice": (
        [*GOOD, line("2"), line("1"), line("1")],
        {"twice": 2, "first": "b 1 original"},
    ),
    "twice by name": (
        [*GOOD, line("2", variant="original")],
        {"twice": 1, "first": "b 2 original"},
    ),
    "unknown variant": ([*GOOD, line("1", variant="noise@9")], {"variant": "noise@9"}),
}


@pytest.mark.parametrize("mismatch", MISMATCHES)
def test_replies_that_are_not_those_of_the_items_are_refused(write, mismatch):
    lines, values = MISMATCHES[mismatch]
    path = write(*lines)
    with raises_code("replies_unreadable", path=str(path), **values) as caught:
        build(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("columns", "values"),
    [
        (
            {"benchmark": ["b"], "reply": ["x"]},
            {"columns": ["benchmark", "reply"]},
        ),
        (
            {"benchmark": ["b"], "item_id": ["1"], "reply": ["x"], "score": [1]},
            {"columns": ["benchmark", "item_id", "reply", "score"]},
        ),
        (
            {"benchmark": ["b"], "item_id": [1], "reply": ["x"]},
            {"column": "item_id", "type": "int64"},
        ),
        (
            {"benchmark": [None], "item_id": ["1"], "reply": ["x"]},
            {"column": "benchmark", "records": 1},
        ),
    ],
)
def test_parquet_of_other_columns_is_refused(tmp_path, columns, values):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table(columns), path)
    with raises_code("replies_unreadable", **values):
        build(path)


def test_files_that_cannot_be_read_are_refused(write, tmp_path):
    unreadable = [tmp_path / "none.jsonl", tmp_path / "none.parquet", write(*GOOD, name="a.csv")]
    (tmp_path / "a.parquet").write_bytes(b"PAR1 not")
    (tmp_path / "b.jsonl").write_bytes(b'{"benchmark": "\xff"}')
    for path in [*unreadable, tmp_path / "a.parquet", tmp_path / "b.jsonl"]:
        with raises_code("replies_unreadable", path=str(path)) as caught:
            build(path)
        assert "\n" not in str(caught.value)
    with raises_code("replies_unreadable", path=str(unreadable[0])):
        RecordedGenerator(path=unreadable[0]).fingerprint()


def test_a_byte_order_mark_and_blank_lines_are_nothing(write):
    path = write("\ufeff" + json.dumps(line("1")), "", json.dumps(line("2")), "  ")
    assert [one.text for one in replies(path, ("1", "original"))] == ["yes"]


def test_the_fingerprint_is_that_of_the_replies(write):
    first = RecordedGenerator(path=write(*GOOD, name="a.jsonl"))
    same = RecordedGenerator(path=write(*GOOD, name="b c.jsonl"), label="x")
    other = RecordedGenerator(path=write(line("1", "no"), line("2"), name="c.jsonl"))
    assert first.fingerprint() == same.fingerprint() != other.fingerprint()
    assert (first.name, other.name, same.name, same.own_name()) == ("a", "c", "x", "b-c")
