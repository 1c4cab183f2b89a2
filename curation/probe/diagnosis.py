"""Say whether a pool is redundant, noisy or imbalanced, and which method that calls for.

The bounds between levels, and the values to compare with, are those of the phantom pools of the
factorial in docs/study.md, whose redundancy, wrong answers and imbalance are known. A pool of
pictures from hospitals may differ from them; what a finding calls for is worth a try, and the
probe's own table is the judge.
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

    `planted` names the levels of the phantom pools, and `seen` the mean of the figure in them.
    """

    medium: float
    high: float
    planted: tuple[str, ...]
    seen: tuple[float, ...]

    def level(self, value: float) -> str:
        """Return the level of a value; a falling scale has its bounds in falling order."""
        sign = 1.0 if self.high > self.medium else -1.0
        if sign * value >= sign * self.high:
            return HIGH
        return MEDIUM if sign * value >= sign * self.medium else LOW


REDUNDANCY: Final = Scale(1.5, 3.0, ("once", "3 times", "10 times"), (1.0, 2.0, 5.0))
NOISE: Final = Scale(0.1, 0.2, ("0 %", "10 %", "30 %"), (0.05, 0.15, 0.30))
EVENNESS: Final = Scale(0.8, 0.7, ("1:1", "1:20"), (0.9, 0.6))
CALLS: Final = {
    ("redundancy", LOW): "deduplication alone saves little",
    ("redundancy", MEDIUM): "deduplicate before anything else",
    ("redundancy", HIGH): "deduplicate before anything else",
    ("noise", LOW): "quality need not be weighed",
    ("noise", MEDIUM): "weigh quality by label_noise",
    ("noise", HIGH): "weigh quality by label_noise",
    ("imbalance", LOW): "quotas by size do",
    ("imbalance", MEDIUM): "give strata equal quotas",
    ("imbalance", HIGH): "give strata equal quotas",
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
        f"after deduplication, {value:.1f} rows each ({_seen(REDUNDANCY, '{:.1f}')}), and "
        f"{100 * SMALL_SHARE:g} % of them cover {100 * figures.coverage:.0f} % of the rest; "
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
        f"({_seen(NOISE, '{:.0%}')}; hard questions look alike, so it is an upper bound); "
        f"{CALLS['noise', level]}."
    )
    return Finding("noise", doubts.share, doubts.low, doubts.high, level, sentence)


def _imbalance(figures: PoolFigures) -> Finding:
    if figures.strata == 1:
        sentence = "Imbalance cannot be told: the pool has a single stratum; name tags in `strata`."
        return Finding("imbalance", None, None, None, UNKNOWN, sentence)
    value = figures.evenness
    level = EVENNESS.level(value)
    word = {LOW: "balanced", MEDIUM: "somewhat imbalanced", HIGH: "imbalanced"}[level]
    sentence = (
        f"The pool is {word}: its {figures.strata:,} strata ({figures.smallest:,} to "
        f"{figures.largest:,} samples) are as uneven as {figures.effective_strata:.1f} equal ones, "
        f"{100 * value:.0f} % ({_seen(EVENNESS, '{:.0%}')}); {CALLS['imbalance', level]}."
    )
    return Finding("imbalance", value, None, None, level, sentence)


def _seen(scale: Scale, style: str) -> str:
    """Return what phantom pools of each planted level showed."""
    parts = [
        f"{style.format(value)} with {name}"
        for name, value in zip(scale.planted, scale.seen, strict=True)
    ]
    return "phantom pools show " + ", ".join(parts)
