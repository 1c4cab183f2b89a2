"""Say whether a pool is redundant, noisy or imbalanced, and which method that calls for.

The bounds of noise and imbalance lie between what phantom pools of seed 0 showed at planted levels
(docs/probe.md says how well they judge other seeds); those of redundancy are a convention:
half as many rows again, and three times as many. What a finding calls for is what gained most at
that level in the factorial (docs/study.md); the probe's own table is the judge.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa

from curation.probe.pool_figures import LEAST_JUDGED, SMALL_SHARE, Doubts, PoolFigures
from medsift.manifest.schema import arrow_schema

LOW, MEDIUM, HIGH, UNKNOWN = "low", "medium", "high", "unknown"


@dataclass(frozen=True, slots=True)
class Scale:
    """How a figure is read: from `medium` and `high` on it counts as such.

    `seen` is what phantom pools of known levels showed, in words.
    """

    medium: float
    high: float
    seen: str

    def level(self, value: float) -> str:
        """Return the level of a value; a falling scale has its bounds in falling order."""
        sign = 1.0 if self.high > self.medium else -1.0
        if sign * value >= sign * self.high:
            return HIGH
        return MEDIUM if sign * value >= sign * self.medium else LOW


REDUNDANCY: Final = Scale(1.5, 3.0, "")
NOISE: Final = Scale(0.1, 0.2, "phantoms with 5, 15 and 34 % wrong show 5, 14 and 25 to 33 %")
EVENNESS: Final = Scale(0.8, 0.73, "phantoms with cells of 1:1 and 1:20 show 85 and 61 %")
CALLS: Final = {
    ("redundancy", LOW): "deduplication alone saves little",
    ("redundancy", MEDIUM): "compare methods with dedup_random, not with random alone",
    ("redundancy", HIGH): "compare methods with dedup_random, not with random alone",
    ("noise", LOW): "the usual quality_weight will do",
    ("noise", MEDIUM): "facility_location with the usual quality_weight gains most at this level",
    ("noise", HIGH): "facility_location with the usual quality_weight still gains; look through "
    "the answers with the lowest label_noise",
    ("imbalance", LOW): "quotas by size will do",
    ("imbalance", MEDIUM): "facility_location gains more by size than with equal quotas",
    ("imbalance", HIGH): "facility_location gains more by size than with equal quotas",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One property of a pool: its figure, the level that it shows, and a plain sentence.

    `low` and `high` are the ends of a 95% interval, None where the figure is a count. `value` is
    None and `level` is "unknown" where nothing can be said.
    """

    figure: str
    value: float | None
    low: float | None
    high: float | None
    level: str
    sentence: str


def diagnose(figures: PoolFigures) -> list[Finding]:
    """Return a finding for redundancy, wrong answers and imbalance, in this order."""
    return [_redundancy(figures), _noise(figures.doubts), _imbalance(figures)]


def diagnosis_table(findings: Sequence[Finding], probe_id: str) -> pa.Table:
    """Return the findings of a probe as the manifest's table `probe_diagnosis`."""
    rows: list[dict[str, Any]] = [
        {
            "probe_id": probe_id,
            "figure": finding.figure,
            "value": finding.value,
            "low": finding.low,
            "high": finding.high,
            "level": finding.level,
            "sentence": finding.sentence,
        }
        for finding in findings
    ]
    return pa.Table.from_pylist(rows, schema=arrow_schema("probe_diagnosis"))


def _redundancy(figures: PoolFigures) -> Finding:
    value = figures.redundancy
    level = REDUNDANCY.level(value)
    word = {LOW: "hardly", MEDIUM: "somewhat", HIGH: "very"}[level]
    sentence = (
        f"The pool is {word} redundant: {figures.rows:,} rows are {figures.samples:,} samples "
        f"after deduplication, {value:.1f} rows each, and "
        f"{100 * SMALL_SHARE:g} % of them cover {100 * figures.coverage:.0f} % of all; "
        f"{CALLS['redundancy', level]}."
    )
    return Finding("redundancy", value, None, None, level, sentence)


def _noise(doubts: Doubts | None) -> Finding:
    if doubts is None:
        sentence = "Wrong answers cannot be counted: the run has no score label_noise."
        return Finding("noise", None, None, None, UNKNOWN, sentence)
    if doubts.share is None:
        sentence = (
            f"Wrong answers cannot be counted: label_noise could judge {doubts.judged:,} closed "
            f"and choice answers, whose question enough other pictures share; {LEAST_JUDGED} are "
            "needed."
        )
        return Finding("noise", None, None, None, UNKNOWN, sentence)
    level = NOISE.level(doubts.share)
    word = {LOW: "few wrong answers", MEDIUM: "wrong answers", HIGH: "many wrong answers"}[level]
    interval, doubt = "", ""
    if doubts.low is not None and doubts.high is not None:
        interval = f" ({100 * doubts.low:.0f} to {100 * doubts.high:.0f} %)"
        if NOISE.level(doubts.low) != NOISE.level(doubts.high):
            doubt = ", though the interval allows another level"
    sentence = (
        f"The pool has {word}{doubt}: of the {doubts.n:,} answers that other pictures judge most "
        f"surely, {100 * doubts.share:.0f} %{interval} are contradicted "
        f"({NOISE.seen}; hard questions look alike, so it is an upper bound); "
        f"{CALLS['noise', level]}."
    )
    return Finding("noise", doubts.share, doubts.low, doubts.high, level, sentence)


def _imbalance(figures: PoolFigures) -> Finding:
    if figures.strata == 1:
        sentence = (
            "Imbalance cannot be measured: the pool has a single stratum; name tags in `strata`."
        )
        return Finding("imbalance", None, None, None, UNKNOWN, sentence)
    value = figures.evenness
    level = EVENNESS.level(value)
    word = {LOW: "balanced", MEDIUM: "somewhat imbalanced", HIGH: "imbalanced"}[level]
    sentence = (
        f"The pool is {word}: its {figures.strata:,} strata ({figures.smallest:,} to "
        f"{figures.largest:,} samples) are as uneven as {figures.effective_strata:.1f} equal ones, "
        f"{100 * value:.0f} % ({EVENNESS.seen}); {CALLS['imbalance', level]}."
    )
    return Finding("imbalance", value, None, None, level, sentence)
