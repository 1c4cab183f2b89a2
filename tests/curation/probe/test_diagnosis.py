"""The diagnosis of a pool: levels at their bounds, and sentences that say what is not known."""

from __future__ import annotations

from dataclasses import replace

import pytest

from curation.probe.diagnosis import EVENNESS, NOISE, REDUNDANCY, diagnose, diagnosis_table
from curation.probe.pool_figures import Doubts, PoolFigures
from medsift.manifest.schema import arrow_schema

POOL = PoolFigures(
    rows=1000,
    samples=1000,
    coverage=0.6,
    doubts=Doubts(0.0, 0.0, 0.02, 200, 800),
    strata=10,
    effective_strata=10.0,
    largest=100,
    smallest=100,
)


def levels(figures: PoolFigures) -> list[str]:
    return [finding.level for finding in diagnose(figures)]


def test_a_clean_pool_is_low_in_everything() -> None:
    assert levels(POOL) == ["low", "low", "low"]


@pytest.mark.parametrize(("bound", "level"), [("medium", "medium"), ("high", "high")])
def test_each_figure_moves_its_own_level_at_its_bound(bound, level) -> None:
    rows = round(1000 * getattr(REDUNDANCY, bound))
    share = getattr(NOISE, bound)
    assert levels(replace(POOL, rows=rows)) == [level, "low", "low"]
    noisy = replace(POOL, doubts=Doubts(share, share - 0.01, share + 0.01, 200, 800))
    assert levels(noisy) == ["low", level, "low"]
    even = 10 * getattr(EVENNESS, bound)
    assert levels(replace(POOL, effective_strata=even)) == ["low", "low", level]


def test_an_interval_across_a_bound_is_said_to_allow_another_level() -> None:
    wide = replace(POOL, doubts=Doubts(NOISE.medium, 0.0, 2 * NOISE.medium, 200, 800))
    sharp = replace(POOL, doubts=Doubts(0.0, 0.0, 0.01, 200, 800))
    assert "allows another level" in diagnose(wide)[1].sentence
    assert "allows another level" not in diagnose(sharp)[1].sentence


@pytest.mark.parametrize("doubts", [None, Doubts(None, None, None, 0, 40)])
def test_what_cannot_be_told_is_unknown_and_has_no_value(doubts) -> None:
    findings = diagnose(replace(POOL, doubts=doubts, strata=1, effective_strata=1.0))
    assert [finding.level for finding in findings] == ["low", "unknown", "unknown"]
    assert [finding.value for finding in findings[1:]] == [None, None]


def test_the_table_is_the_manifests() -> None:
    table = diagnosis_table(diagnose(POOL), "abc")
    assert table.schema.equals(arrow_schema("probe_diagnosis"))
    assert table["figure"].to_pylist() == ["redundancy", "noise", "imbalance"]
    assert set(table["probe_id"].to_pylist()) == {"abc"}
