"""SQL of a recipe is refused when it takes too much memory, wherever it stands."""

from __future__ import annotations

import pyarrow as pa
import pytest

from curation.dedup.priority import survival_order
from curation.filters import SqlCondition
from curation.selection.target import _meeting
from curation.sources.column_mapping import Mapper
from curation.sources.record_batches import Batch
from medsift import records
from tests.expect import raises_code

LARGE = "(SELECT count(DISTINCT x) FROM range(3000000) numbers(x)) > 0"
ROWS = 3


def samples() -> pa.Table:
    lines = [{"row_id": f"r{at}", "sample_id": f"s{at}", "question": "q"} for at in range(ROWS)]
    return pa.Table.from_pylist(lines, schema=records.SAMPLES)


def map_columns(expression: str) -> None:
    table = pa.table({"question": ["q"] * ROWS, "answer": ["a"] * ROWS})
    mapper = Mapper({"question": f"({expression})::VARCHAR"})
    mapper.check([table.schema])
    mapper.map(Batch(range(ROWS), table))


PLACES = {
    "columns": map_columns,
    "filters": lambda text: SqlCondition(name="one", drop_where=text).drops(samples()),
    "priority": lambda text: survival_order(samples(), [text]),
    "targets": lambda text: _meeting(text, samples()),
}


def test_a_condition_that_needs_too_much_memory_is_refused(monkeypatch):
    condition = SqlCondition(name="one", drop_where=LARGE)
    assert len(condition.drops(samples())) == ROWS
    monkeypatch.setattr("curation.filters.sql_condition.BATCH_MEMORY", 20 << 20)
    with raises_code("expression_too_costly"):
        condition.drops(samples())


def test_values_that_are_too_large_together_are_refused(monkeypatch):
    monkeypatch.setattr("curation.sources.column_mapping.BATCH_MEMORY", 1_000)
    map_columns("repeat(question, 100)")
    with raises_code("expression_too_costly"):
        map_columns("repeat(question, 1000)")


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
@pytest.mark.parametrize(
    "text",
    [
        "(SELECT count(*) FROM read_text('/etc/passwd')) > 0",
        "(SELECT count(*) FROM glob('/etc/*')) > 0",
        "(SELECT count(*) FROM read_csv('http://127.0.0.1:9/x')) > 0",
        "true) FROM samples; COPY (SELECT 1) TO '{folder}/out.csv'; SELECT (true",
        "true) FROM samples; INSTALL httpfs; SELECT (true",
        "getenv('HOME') = 'x'",
    ],
)
def test_an_expression_reaches_no_file_network_or_environment(place, text, tmp_path):
    with pytest.raises(Exception, match=r".") as caught:
        place(text.replace("{folder}", str(tmp_path)))
    assert getattr(caught.value, "code", "").endswith(("_invalid", "_failed", "_unknown"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["upper(" * 900 + "question" + ")" * 900, "(" * 5_000])
def test_an_expression_of_any_depth_is_one_line(text):
    with raises_code("expression_invalid") as caught:
        map_columns(text)
    assert len(str(caught.value)) < 1_000
