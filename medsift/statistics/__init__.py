"""Give every figure its error: intervals by cluster, paired comparison, power, calibration."""

from __future__ import annotations

from medsift.statistics.bootstrap import Resampling
from medsift.statistics.breakdown import FACETS, METRICS, breakdown
from medsift.statistics.calibration import (
    Bin,
    Calibration,
    calibration,
    option_confidence,
)
from medsift.statistics.clusters import cluster_ids
from medsift.statistics.difference import Difference, difference
from medsift.statistics.interval import Estimate, interval, intervals, remark
from medsift.statistics.paired import (
    Comparison,
    McNemar,
    mcnemar,
    non_inferiority,
    paired,
    superiority,
)
from medsift.statistics.power import PlannedComparison
from medsift.statistics.seeds import seeded_interval

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
