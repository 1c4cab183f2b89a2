"""Define a comparison of selections, and print it as aligned text."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import chain, product
from typing import Any, Final

from medsift.manifest.any_version import Line
from medsift.pages.number_format import NO_VALUE, percent
from medsift.text import escaped

PROFILE_LABELS: Final = {
    "method": "method",
    "budget": "budget",
    "samples": "samples",
    "weight": "input rows represented",
    "strata": "strata with a sample",
    "coverage": "coverage",
    "objective": "objective",
    "tokens": "tokens, estimated",
    "text_only": "text-only samples",
    "images": "images",
    "per_image_mean": "samples an image, mean",
    "per_image_max": "samples an image, most",
    "question_mean": "question, mean characters",
    "question_median": "question, median",
    "question_p90": "question, 90th percentile",
    "answer_mean": "answer, mean characters",
    "answer_median": "answer, median",
    "answer_p90": "answer, 90th percentile",
}
"""Keys of a profile, in the order in which they are shown, with their labels."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Selections of one run; lists follow the order of `names`.

    Attributes:
        run_id: The run.
        names: The selections.
        profiles: One line for each selection: method, budget, samples, weight (input rows
            represented), strata (with a sample), text_only, tokens (estimated, text alone),
            images (different ones), per_image_mean and per_image_max (samples an image), coverage
            and objective (null where the method has none), and lengths of question and answer in
            characters (mean, median, p90).
        overlaps: One line for each pair (a, b): rows and images in both, in each, and their
            Jaccard index.
        strata: One line for each stratum: pool, and lists selected and share (of the stratum).
        scores: One line for each scorer, with a list of cells (n, mean, median, percentile: the
            mean percentile within strata), null where a selection has no score.
    """

    run_id: str
    names: list[str]
    profiles: list[Line]
    overlaps: list[Line]
    strata: list[Line]
    scores: list[Line]

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-able values."""
        return asdict(self)

    def __str__(self) -> str:
        """Return the comparison as aligned text."""
        return comparison_table(self)


def comparison_table(comparison: Comparison, width: int | None = None) -> str:
    """Return overlap, profiles, scores and strata as text; as wide as needed without `width`."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    out = io.StringIO()
    console = Console(file=out, width=width or 1_000_000, no_color=True, legacy_windows=False)
    for part in (_overlaps, _profiles, _scores, _strata):
        title, head, lines = part(comparison)
        if not lines:
            continue
        grid = Table(title=Text(title), title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
        for position, name in enumerate(head):
            grid.add_column(Text(name), justify="right" if position else "left", overflow="fold")
        for line in lines:
            grid.add_row(*(Text(escaped(cell)) for cell in line))
        console.print(grid)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()).strip("\n") + "\n"


Grid = tuple[str, Sequence[str], list[list[str]]]


def _overlaps(comparison: Comparison) -> Grid:
    rows = []
    for pair, what in product(comparison.overlaps, ("rows", "images")):
        figures = number(pair[what]), number(pair[f"{what}_jaccard"])
        rows.append([f"{what} of {pair['a']} and {pair['b']}", *figures])
    return "Overlap", ["", "in both", "Jaccard"], rows


def _profiles(comparison: Comparison) -> Grid:
    rows = [
        [label, *(number(profile[key]) for profile in comparison.profiles)]
        for key, label in PROFILE_LABELS.items()
        if any(profile[key] is not None for profile in comparison.profiles)
    ]
    return "Selections", ["", *comparison.names], rows


def _scores(comparison: Comparison) -> Grid:
    parts = ("mean", "percentile")
    rows = []
    for score in comparison.scores:
        cells = product(score["cells"], parts)
        rows.append([score["scorer"], *(number((cell or {}).get(part)) for cell, part in cells)])
    return "Scores", ["scorer", *_headings(comparison, parts)], rows


def _strata(comparison: Comparison) -> Grid:
    rows = []
    for stratum in comparison.strata:
        pairs = zip(map(number, stratum["selected"]), map(percent, stratum["share"]), strict=True)
        rows.append([stratum["stratum"], number(stratum["pool"]), *chain.from_iterable(pairs)])
    return "Strata", ["stratum", "pool", *_headings(comparison, ("selected", "share"))], rows


def _headings(comparison: Comparison, parts: Sequence[str]) -> list[str]:
    return [f"{name} {part}" for name in comparison.names for part in parts]


def number(value: Any) -> str:
    """Return a number with thousands separators, or four digits of a fraction; text as it is."""
    if value is None:
        return NO_VALUE
    if isinstance(value, float):
        return f"{value:,.0f}" if value.is_integer() else f"{value:,.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
