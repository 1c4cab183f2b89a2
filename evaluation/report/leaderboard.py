"""Rank models on a benchmark, as far as the intervals allow."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from evaluation.records import ORIGINAL
from evaluation.report.data import ACCURACY, Evaluation
from medsift.manifest.any_version import Line
from medsift.pages.number_format import listed
from medsift.statistics.breakdown import ALL
from medsift.statistics.interval import remark

# Metrics that are shown elsewhere on the page.
ELSEWHERE: Final = (ACCURACY, "unparsed", "ece", "ece_by_chance")
MEASURES: Final = {
    "exact_match": "exact match",
    "token_f1": "token F1",
    "token_precision": "token precision",
    "token_recall": "token recall",
    "bleu_1": "BLEU-1",
    "rouge_l": "ROUGE-L",
    "contains": "contains the answer",
    "judge": "judge",
}
"""Metrics of open answers, in the order in which they are shown, and how."""

ALIKE: Final[Mapping[str, Callable[[Evaluation], Any]]] = {
    "the scoring protocols differ": lambda one: one.row["protocol"],
    "the items or pictures differ (content hash)": lambda one: one.row["content_hash"],
    "the numbers of scored replies differ": lambda one: (one.figure() or {}).get("n"),
}
"""Facts that must agree before models are compared, by the words for a disagreement."""


def measures(evaluations: Sequence[Evaluation]) -> list[tuple[str, str]]:
    """Return further metrics of the originals that some model has: name and words."""
    found = {
        str(line["metric"])
        for one in evaluations
        for line in one.metrics
        if line["variant"] == ORIGINAL and line["facet"] == ALL and line["value"] is not None
    }
    names = [*MEASURES, *sorted(found - set(MEASURES))]
    return [
        (name, MEASURES.get(name, name.replace("_", " ")))
        for name in names
        if name in found and name not in ELSEWHERE
    ]


def cautions(evaluations: Sequence[Evaluation]) -> list[str]:
    """Return what a reader must know about the intervals, and for which models."""
    found: dict[str, list[str]] = {}
    for one in evaluations:
        line = one.figure()
        if line is not None and (words := remark(line["n"], line["clusters"])):
            found.setdefault(words, []).append(one.name)
    return [
        words if len(names) == len(evaluations) else f"{listed(names)}: {words}"
        for words, names in found.items()
    ]


def unlike(evaluations: Sequence[Evaluation]) -> list[str]:
    """Return why the models of a benchmark cannot be compared; nothing where they can."""
    scored = [one for one in evaluations if _scored(one.figure())]
    return [words for words, of in ALIKE.items() if len({of(one) for one in scored}) > 1]


def verdict(evaluations: Sequence[Evaluation]) -> str | None:
    """Return a sentence about the first of the models, highest accuracy first; None for one.

    No model is called best unless its interval is above every other one.
    """
    scored = [one for one in evaluations if _scored(one.figure())]
    if len(scored) < 2:
        return None
    reasons = unlike(scored)
    if reasons:
        return f"No best is named: {listed(reasons)}."
    first, *others = scored
    low = (first.figure() or {}).get("low")
    highs = [(one.name, (one.figure() or {}).get("high")) for one in others]
    # An interval that is not known may meet every other.
    near = [name for name, high in highs if low is None or high is None or low <= high]
    if not near:
        return f"{first.name} is ahead: its interval lies above those of all others."
    return (
        f"No best is named: the interval of {first.name}, the highest, overlaps that of "
        f"{listed(near)}. A paired comparison on the same items (medsift compare-models) can tell "
        "apart what intervals cannot."
    )


def _scored(line: Line | None) -> bool:
    return line is not None and line["value"] is not None
