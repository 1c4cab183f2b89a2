"""Every metric by every facet: each line is the interval of its rows alone."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from medsift.manifest.schema import BY_NAME
from medsift.statistics import METRICS, breakdown, cluster_ids, interval
from tests.expect import raises_code

FACETS = ("modality", "task_type", "answer_type")
SCORES = {"accuracy": "score", "f1": "f1"}


def lines(table, *wanted):
    """Lines of a breakdown by facet, value and metric."""
    found = {}
    for line in table.to_pylist():
        found[line["variant"], line["facet"], line["facet_value"], line["metric"]] = line
    return found


def test_lines_have_the_columns_of_the_manifest_in_its_order(predictions):
    found = breakdown(predictions(50), FACETS)
    assert found.schema == METRICS
    # The protocol is one for all lines and is added where they are stored.
    assert ("run_id", *found.column_names, "protocol") == BY_NAME["metrics"].names
    duckdb_names = {pa.string(): "VARCHAR", pa.float64(): "DOUBLE", pa.int64(): "BIGINT"}
    columns = BY_NAME["metrics"].columns
    kinds = [column.type for column in columns[:-1]]
    assert [duckdb_names[field.type] for field in METRICS] == kinds


@pytest.mark.parametrize("rows", [40, 900])
def test_every_line_is_the_interval_of_its_rows_alone(predictions, rows):
    table = predictions(rows)
    found = lines(breakdown(table, FACETS, SCORES))
    for facet in FACETS:
        for value in pc.unique(table[facet]).to_pylist():
            part = table.filter(pc.equal(table[facet], value))
            for metric, column in SCORES.items():
                line = found["original", facet, value, metric]
                scores = part[column].to_numpy(zero_copy_only=False)
                alone = interval(scores, cluster_ids(part))
                got = tuple(line[name] for name in ("value", "low", "high", "n", "clusters"))
                assert got == (alone.value, alone.low, alone.high, alone.n, alone.clusters)
                read = part.filter(part[column].is_valid())["parse_status"]
                rate = np.mean([status == "unparsed" for status in read.to_pylist()] or [np.nan])
                assert line["unparsed_rate"] == (pytest.approx(rate) if alone.n else None)
    assert len(found) == 3 * (1 + 3 + 2 + 2)


def test_unparsed_is_a_metric_with_its_interval(predictions):
    table = predictions(600)
    line = lines(breakdown(table, ()))["original", "all", "all", "unparsed"]
    assert line["value"] == line["unparsed_rate"]
    assert line["low"] < line["value"] < line["high"]


def test_a_metric_that_no_row_of_a_cell_has_is_null(predictions):
    line = lines(breakdown(predictions(90), FACETS, SCORES))[
        "original", "answer_type", "closed", "f1"
    ]
    assert line["n"] == 0
    assert [line[name] for name in ("value", "low", "high", "unparsed_rate")] == [None] * 4


def test_a_cell_that_only_another_variant_has_is_null(predictions):
    table = predictions(90)
    changed = predictions(90, variant="no_image")
    changed = changed.filter(pc.not_equal(changed["modality"], "mr"))
    found = lines(breakdown(pa.concat_tables([table, changed]), ("modality",)))
    line = found["no_image", "modality", "mr", "accuracy"]
    assert (line["value"], line["low"], line["high"], line["n"]) == (None, None, None, 0)
    assert found["original", "modality", "mr", "accuracy"]["n"] > 0


def test_another_benchmark_has_no_lines_for_values_it_never_had(predictions):
    other = predictions(60, benchmark="slake")
    other = other.set_column(
        other.schema.get_field_index("modality"), "modality", pa.nulls(60, pa.string())
    )
    found = breakdown(pa.concat_tables([predictions(60), other]), ("modality",))
    slake = found.filter(pc.equal(found["benchmark"], "slake"))
    assert pc.unique(slake["facet"]).to_pylist() == ["all"]


def test_rows_without_the_tag_have_a_line_of_their_own(predictions):
    table = predictions(60)
    untagged = pa.array([None if i % 4 == 0 else "x" for i in range(60)], pa.string())
    found = breakdown(table.append_column("site", untagged), ("site",)).to_pylist()
    sites = [
        (line["facet_value"], line["n"])
        for line in found
        if (line["facet"], line["metric"]) == ("site", "accuracy")
    ]
    assert sites == [("x", 45), (None, 15)]


def test_a_combination_of_tags_is_a_facet(predictions):
    table = predictions(200)
    found = breakdown(table, [("modality", "task_type")])
    cells = found.filter(pc.equal(found["facet"], "modality / task_type"))
    accuracy = cells.filter(pc.equal(cells["metric"], "accuracy"))
    assert accuracy["facet_value"].to_pylist() == [
        f"{modality} / {task}"
        for modality in ("ct", "mr", "xray")
        for task in ("count", "presence")
    ]
    assert pc.sum(accuracy["n"]).as_py() == 200


def test_the_order_and_the_chunks_of_rows_change_no_bit(predictions):
    table = pa.concat_tables([predictions(300), predictions(200, 1, variant="blur")])
    order = np.random.default_rng(5).permutation(500)
    wanted = breakdown(table, FACETS, SCORES)
    assert breakdown(table.take(order).combine_chunks(), FACETS, SCORES) == wanted


def test_evaluations_do_not_mix(predictions):
    first, second = predictions(100), predictions(100, seed=4)
    renamed = second.set_column(0, "evaluation_id", pa.array(["e2"] * 100))
    together = breakdown(pa.concat_tables([first, renamed]), FACETS)
    apart = [breakdown(table, FACETS) for table in (first, renamed)]
    assert together == pa.concat_tables(apart).combine_chunks()


def test_no_predictions_make_no_lines(predictions):
    assert breakdown(predictions(10).slice(0, 0), FACETS, SCORES).num_rows == 0


@pytest.mark.parametrize(
    ("change", "code", "values"),
    [
        (lambda t: t.drop(["score"]), "predictions_incomplete", {"missing": ["score"]}),
        (lambda t: t.drop(["modality"]), "predictions_incomplete", {"missing": ["modality"]}),
        (
            lambda t: t.set_column(9, "score", pa.array([7.0] * t.num_rows)),
            "statistic_input_invalid",
            {"name": "score", "value": 7.0},
        ),
        (
            lambda t: t.set_column(8, "parse_status", pa.nulls(t.num_rows, pa.string())),
            "predictions_incomplete",
            {"unscored": 20},
        ),
    ],
)
def test_bad_input_is_refused_by_value(predictions, change, code, values):
    with raises_code(code, **values):
        breakdown(change(predictions(20)), FACETS)


def test_a_metric_of_the_name_that_is_always_reported_is_refused(predictions):
    with raises_code("metric_unknown", metric="unparsed"):
        breakdown(predictions(20), FACETS, {"unparsed": "score"})
