"""Show how a model withstands variants: score, drop and flips of each, and their summary."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from evaluation.perturb.apply import BY_NAME
from evaluation.records import ORIGINAL
from evaluation.report.data import ACCURACY, Evaluation
from evaluation.robustness import FOUR_WAY, variant_order
from medsift.manifest.any_version import Line
from medsift.statistics.breakdown import ALL

ROLES: Final = {
    "original": "As published",
    "invariant": "Who reads the picture answers as before, and the opposite to a negated premise",
    "control": "What the answer rests on is taken away, or as much elsewhere",
    "unknown": "Other variants",
}
SUMS: Final = {
    ("worst_case", ALL): "worst case: the lowest score of an item over all that keep its answer",
    ("rotation_mean", "rotation"): "mean over all orders of the options",
    ("all_rotations_right", "rotation"): "right in every order of the options",
    ("grounding", "mask_region"): (
        "grounding: score with as much hidden elsewhere, less that with the region hidden"
    ),
}
"""Metrics that sum up variants, by metric and variant, and how they are put."""
DIFFERENCES: Final = ("grounding",)


@dataclass(frozen=True, slots=True)
class Step:
    """One variant: its score, and what it does to the answers; None where that is not known."""

    variant: str
    score: Line | None
    drop: Line | None
    flips: Line | None

    @property
    def before(self) -> float | None:
        """The score of the same items as published: a variant cannot be made of every item."""
        known = [line["value"] for line in (self.score, self.drop) if line is not None]
        return None if len(known) < 2 or None in known else sum(known)


@dataclass(frozen=True, slots=True)
class Sum:
    """A metric over several variants, in words; a `difference` has a sign."""

    words: str
    line: Line
    difference: bool


@dataclass(frozen=True, slots=True)
class Profile:
    """One model on one benchmark under variants.

    `groups` are titles with the variants under them. `four_way` has the lines of ``FOUR_WAY``,
    and is empty where there is no paraphrase or no item without its picture.
    """

    groups: list[tuple[str, list[Step]]]
    sums: list[Sum]
    four_way: dict[str, Line]


def profile(evaluation: Evaluation) -> Profile | None:
    """Return the robustness of a model, None where nothing but the originals was asked."""
    scored = {str(row["variant"]) for row in evaluation.metrics if row["metric"] == ACCURACY}
    asked = [ORIGINAL, *sorted(scored - {ORIGINAL}, key=variant_order)]
    if len(asked) < 2:
        return None
    groups: dict[str, list[Step]] = {title: [] for title in ROLES.values()}
    for variant in asked:
        family = BY_NAME.get(variant.partition("@")[0])
        names = ("accuracy", "drop", "flip_rate")
        step = Step(variant, *(evaluation.figure(name, variant) for name in names))
        groups[ROLES[family.role if family else "unknown"]].append(step)
    sums = [
        Sum(words, row, metric in DIFFERENCES)
        for (metric, variant), words in SUMS.items()
        if (row := evaluation.figure(metric, variant)) is not None
    ]
    cells = {name: evaluation.figure(name, ALL) for name in FOUR_WAY}
    return Profile(
        groups=[(title, steps) for title, steps in groups.items() if steps],
        sums=sums,
        four_way={name: row for name, row in cells.items() if row is not None},
    )
