"""Write a judge's grades as tables, and compare them with the scores that the run has already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import pyarrow as pa

from curation.construct.asking import Asked
from curation.construct.choose import why_none
from curation.construct.grades import mean_grades
from curation.selection.quality import is_higher_better
from medsift.manifest import read
from medsift.manifest.schema import arrow_schema
from medsift.statistics.cohen_kappa import cohen_kappa

RULES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "image_quality": ("image_quality",),
        "relevance": ("alignment", "multimodal_gain"),
        "correctness": ("label_noise",),
        "completeness": ("text_quality",),
        "clarity": ("text_quality",),
        "judged": ("quality",),
    }
)
"""Scorers that measure what a grade is about, as far as a rule can."""
GOOD: Final = 4.0
"""Least grade that is called good."""
SCORES: Final = """
SELECT s.sample_id, s.scorer, s.percentile,
       coalesce(p.patient_id, p.images[1].image_id, s.sample_id) AS cluster
FROM scores s JOIN (
    SELECT sample_id, min(patient_id) AS patient_id, any_value(images) AS images
    FROM samples WHERE run_id = $run GROUP BY sample_id
) p USING (sample_id)
WHERE s.run_id = $run AND s.scorer IN $scorers AND s.percentile IS NOT NULL
ORDER BY s.scorer, s.sample_id
"""


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far a judge's grades on a dimension agree with a scorer of the run."""

    dimension: str
    rule: str
    samples: int
    images: int
    good: float
    agreement: float
    kappa: float | None
    kappa_low: float | None
    kappa_high: float | None

    def __str__(self) -> str:
        kappa = (
            "kappa undefined: one of them calls all the same"
            if self.kappa is None
            else f"kappa {self.kappa:+.2f} [{self.kappa_low:+.2f}, {self.kappa_high:+.2f}]"
        )
        return (
            f"{self.dimension} against {self.rule}: {kappa}, {self.agreement:.0%} agree on "
            f"{self.samples:,} samples of {self.images:,} pictures; {self.good:.0%} graded good"
        )


def judgement(asked: Asked) -> dict[str, Any]:
    """Return the mean grades of a sample, and what became of it."""
    readings = [one.parts.answer for one in asked.attempts if one.accepted]
    line = {"sample_id": asked.task.sample_id, "action": "kept", "reason": None}
    line |= mean_grades(readings, asked.task.pictures)
    if not readings:
        reason = why_none(asked.attempts)
        failed = reason in ("no_reply", "refused")
        line |= {"action": "failed" if failed else "dropped", "reason": reason}
    return line


def agreements(manifest: Path, run_id: str, judged: Sequence[Mapping[str, Any]]) -> list[Agreement]:
    """Return how far the grades agree with each scorer that the run has.

    The rule calls as many samples good as the judge does, those with the best percentiles (more
    where percentiles are equal), so that no threshold has to be chosen for it.
    """
    names = sorted({name for rules in RULES.values() for name in rules})
    table = read(manifest, SCORES, {"run": run_id, "scorers": names})
    grades = {one["sample_id"]: one for one in judged}
    of_rule: dict[str, list[tuple[str, float, str]]] = {}
    for line in table.to_pylist():
        place = (line["sample_id"], line["percentile"], line["cluster"])
        of_rule.setdefault(line["scorer"], []).append(place)
    found = []
    for dimension, rules in RULES.items():
        for rule in rules:
            both = [
                (grades[name][dimension], percentile, cluster)
                for name, percentile, cluster in of_rule.get(rule, ())
                if name in grades and grades[name].get(dimension) is not None
            ]
            if both:
                found.append(_agreement(dimension, rule, both))
    return found


def judgements_table(
    construct_id: str,
    judged: Sequence[Mapping[str, Any]],
    rows: Mapping[str, Mapping[str, Any]],
) -> pa.Table:
    """Return the grades of all samples, or why there are none."""
    lines = [
        {"construct_id": construct_id, "row_id": rows[one["sample_id"]]["row_id"]} | dict(one)
        for one in judged
    ]
    return pa.Table.from_pylist(lines, schema=arrow_schema("judgements"))


def agreement_table(construct_id: str, found: Sequence[Agreement]) -> pa.Table:
    """Return agreements as lines of the manifest."""
    lines = [{"construct_id": construct_id} | asdict(one) for one in found]
    return pa.Table.from_pylist(lines, schema=arrow_schema("judge_agreement"))


def _agreement(dimension: str, rule: str, both: Sequence[tuple[float, float, str]]) -> Agreement:
    graded = np.array([grade for grade, _, _ in both]) >= GOOD
    measured = np.array([percentile for _, percentile, _ in both], np.float64)
    if not is_higher_better(rule):
        measured = 1.0 - measured
    count = int(graded.sum())
    least = np.sort(measured)[-count] if count else np.inf
    kappa = cohen_kappa(graded, measured >= least, [cluster for _, _, cluster in both])
    return Agreement(
        dimension,
        rule,
        kappa.rows,
        kappa.clusters,
        float(graded.mean()),
        kappa.agreement,
        kappa.value,
        kappa.low,
        kappa.high,
    )
