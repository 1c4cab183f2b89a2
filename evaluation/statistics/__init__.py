"""Give every figure its error: intervals by cluster, paired comparison, power, calibration."""

from __future__ import annotations

from evaluation.statistics.bootstrap import Resampling
from evaluation.statistics.breakdown import FACETS, METRICS, breakdown
from evaluation.statistics.calibration import (
    Bin,
    Calibration,
    calibration,
    option_confidence,
)
from evaluation.statistics.clusters import cluster_ids
from evaluation.statistics.difference import Difference, difference
from evaluation.statistics.interval import Estimate, interval, intervals, remark
from evaluation.statistics.paired import (
    Comparison,
    McNemar,
    mcnemar,
    non_inferiority,
    paired,
    superiority,
)
from evaluation.statistics.power import PlannedComparison
from evaluation.statistics.seeds import seeded_interval

__all__ = [
    "FACETS",
    "METRICS",
    "Bin",
    "Calibration",
    "Comparison",
    "Difference",
    "Estimate",
    "McNemar",
    "PlannedComparison",
    "Resampling",
    "breakdown",
    "calibration",
    "cluster_ids",
    "difference",
    "interval",
    "intervals",
    "mcnemar",
    "non_inferiority",
    "option_confidence",
    "paired",
    "remark",
    "seeded_interval",
    "superiority",
]
