"""Show how a model withstands variants: score, drop and flips of each, and their summary."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from evaluation.perturb.apply import BY_NAME
from evaluation.records import ORIGINAL
from evaluation.report.data import ACCURACY, Evaluation
from evaluation.robustness import FOUR_WAY
from evaluation.statistics.breakdown import ALL
from medsift.manifest.any_version import Line

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
    """The robustness of a model, None where nothing but the originals was asked."""
    asked = _variants(evaluation)
    if len(asked) < 2:
        return None
    steps: dict[str, list[Step]] = {title: [] for title in ROLES.values()}
    for name in asked:
        figures = (evaluation.figure(metric, name) for metric in (ACCURACY, "drop", "flip_rate"))
        steps[_title(name)].append(Step(name, *figures))
    sums = {key: evaluation.figure(*key) for key in SUMS}
    cells = {name: evaluation.figure(name, ALL) for name in FOUR_WAY}
    return Profile(
        groups=[(title, some) for title, some in steps.items() if some],
        sums=[
            Sum(SUMS[key], line, key[0] in DIFFERENCES)
            for key, line in sums.items()
            if line is not None
        ],
        four_way={name: line for name, line in cells.items() if line is not None},
    )


def _variants(evaluation: Evaluation) -> list[str]:
    """Variants that have a score, the original first, then as families and levels go."""
    scored = {str(line["variant"]) for line in evaluation.metrics if line["metric"] == ACCURACY}
    return [ORIGINAL, *sorted(scored - {ORIGINAL}, key=_order)]


def _order(variant: str) -> tuple[int, int, str]:
    family, _, level = variant.partition("@")
    place = list(BY_NAME).index(family) if family in BY_NAME else len(BY_NAME)
    return (place, int(level) if level.isdecimal() else 0, variant)


def _title(variant: str) -> str:
    family = BY_NAME.get(variant.partition("@")[0])
    return ROLES[family.role if family else "unknown"]
