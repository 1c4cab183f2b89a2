"""One row's data costs that row; a fault of our own code ends the run."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest

from benchmarks import fuzz_rows
from curation import ingest as ingesting
from curation.ingest import IngestConfig, ingest
from curation.sources import build_rows as building
from curation.sources.llava import LlavaReader
from curation.sources.messages import MessagesReader
from curation.sources.row_faults import FOREIGN, UNREADABLE
from curation.sources.table import TableReader
from medsift import records
from tests.curation.sources.every_format import FORMATS, read, rows_of

GOOD = {
    "question": "Which?",
    "answer": "CT",
    "conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}],
}
DEEP = "[" * 3000 + "]" * 3000


@pytest.mark.parametrize(
    "reader", [TableReader, LlavaReader, MessagesReader], ids=lambda reader: reader.__name__
)
@pytest.mark.parametrize(
    "odd",
    [
        {"image": "file://[x"},
        {"image": "s3://[x"},
        {"image": DEEP},
        {"image": "\ud800.png"},
        {"image": '["\\ud800.png"]'},
        {"conversations": DEEP},
        {"conversations": '[{"from": "human\\ud800", "value": "\\udfff"}]'},
        {"images": {"bytes": {"bytes": {"bytes": 5}}}},
        {"\ud800": 1, "image": 7},
        {"image": json.loads('{"path":' * 90 + "1" + "}" * 90)},
    ],
    ids=str,
)
def test_no_json_line_ends_a_run(odd, reader, tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_text("".join(json.dumps(item) + "\n" for item in (GOOD, GOOD | odd, GOOD)))
    rows = rows_of(reader(name="s", path=str(path)), tmp_path)
    assert [row["index"] for row in rows] == [0, 1, 2]
    assert rows[0]["error"] is rows[2]["error"] is None
    result = ingest(pa.Table.from_pylist(rows, schema=records.ROWS), IngestConfig())
    assert result.samples.num_rows + result.decisions.num_rows == 3


@pytest.mark.parametrize("cell", [DEEP, '["\\ud800", "b"]', '{"A":' * 800 + "1" + "}" * 800])
@pytest.mark.parametrize("column", ["options", "messages", "images", "history", "videos"])
@pytest.mark.parametrize("kind", FORMATS)
def test_no_text_inside_a_cell_ends_a_run(kind, column, cell, tmp_path):
    good = {"question": "Which?", "answer": "CT", column: None}
    rows = read(tmp_path, kind, [good, good | {column: cell}, good])
    assert [row["index"] for row in rows] == [0, 1, 2]
    assert rows[0]["error"] is rows[2]["error"] is None


def raising(error):
    def work(*_args, **_kwargs):
        raise error

    return work


@pytest.mark.parametrize("kind", FOREIGN, ids=lambda kind: kind.__name__)
def test_what_a_rows_data_raises_is_named_in_the_ledger(kind, tmp_path, monkeypatch):
    monkeypatch.setattr(building, "choose", raising(kind("of the data")))
    (row,) = read(tmp_path, "jsonl", [{"question": "q", "answer": "a"}])
    assert row["error"] == UNREADABLE
    assert kind.__name__ in row["detail"]


@pytest.mark.parametrize("kind", FOREIGN, ids=lambda kind: kind.__name__)
def test_sorting_a_row_is_guarded_like_reading_it(kind, monkeypatch):
    monkeypatch.setattr(ingesting, "clean", raising(kind("of the data")))
    row = dict.fromkeys(records.ROWS.names) | {"row_id": "s:f:0", "source": "s", "file": "f"}
    turns = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    row |= {"index": 0, "messages": turns, "images": [], "notes": []}
    result = ingest(pa.Table.from_pylist([row], schema=records.ROWS), IngestConfig())
    assert result.decisions["reason"].to_pylist() == [UNREADABLE]


@pytest.mark.parametrize(
    "error", [AssertionError, NameError, NotImplementedError, ImportError, MemoryError, OSError]
)
def test_a_fault_of_ours_is_loud(error, tmp_path, monkeypatch):
    monkeypatch.setattr(building, "choose", raising(error("of ours")))
    with pytest.raises(error):
        read(tmp_path, "jsonl", [{"question": "q", "answer": "a"}])


@pytest.mark.parametrize("seed", [11, 12])
def test_mutated_records_are_each_kept_dropped_or_failed_once(seed, tmp_path):
    tally = fuzz_rows.fuzz(1_500, seed, tmp_path)
    assert sum(tally.fates.values()) == tally.rows >= 1_500
    assert tally.fates["kept"] > 100
    assert len(tally.fates) > 5
