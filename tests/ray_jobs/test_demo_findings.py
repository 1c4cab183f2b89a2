"""The demo's closing lines say what the figures support, and no more."""

from __future__ import annotations

import pyarrow as pa
import pytest

from curation.phantoms.scorecard import SCORECARD
from ray_jobs.demo_findings import defects_finding, tuning_findings

GAIN = {"n": 120, "clusters": 60, "second": 0.30, "first": 0.62}


def scored(*kinds: tuple[str, int, int]) -> pa.Table:
    lines = [
        {"kind": kind, "expected": "dropped", "planted": planted, "found": found}
        | {"recall": found / planted, "removed": found, "precision": None}
        for kind, planted, found in kinds
    ]
    return pa.Table.from_pylist(lines, schema=SCORECARD)


def findings(gain: tuple[float, float], drop: tuple[float, float, float]) -> list[str]:
    low, high = gain
    value, drop_low, drop_high = drop
    return tuning_findings(
        GAIN | {"difference": 0.32, "low": low, "high": high},
        {"value": value, "low": drop_low, "high": drop_high},
    )


def test_planted_rows_are_counted_once_and_the_least_recognised_kind_is_named():
    table = scored(("exact_row", 16, 16), ("paraphrase", 12, 8), ("duplicates", 28, 24))
    line = defects_finding(table)
    assert "24 of 28 rows of 2 kinds" in line
    assert "paraphrase (8 of 12)" in line


def test_no_kind_is_named_when_all_rows_are_recognised():
    assert "least" not in defects_finding(scored(("exact_row", 16, 16), ("duplicates", 16, 16)))


@pytest.mark.parametrize(
    ("interval", "word"),
    [((0.2, 0.4), "better"), ((-0.1, 0.4), "not shown"), ((-0.4, -0.2), "worse")],
)
def test_a_difference_counts_only_where_its_interval_excludes_zero(interval, word):
    tuned, _ = findings(interval, (0.1, 0.05, 0.15))
    assert word in tuned
    assert "30 % right before, 62 % after" in tuned


def test_accuracy_with_another_picture_is_the_accuracy_less_the_drop():
    _, looking = findings((0.2, 0.4), (0.12, -0.02, 0.26))
    assert "50 % right with another question's picture, 62 % with its own" in looking
    assert "not shown" in looking
