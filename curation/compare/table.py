"""A comparison as aligned text for a terminal."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any, Final

from curation.compare.comparison import Comparison
from medsift.pages.number_format import NO_VALUE, percent
from medsift.terminal import escaped

FACTS: Final = {
    "method": "method",
    "budget": "budget",
    "samples": "samples",
    "weight": "input rows stood for",
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
"""What a profile says, in the order in which it is shown, and how."""


class PrintedComparison(Comparison):
    """A comparison that prints itself as aligned text."""

    __slots__ = ()

    def __str__(self) -> str:
        """Return the text."""
        return comparison_table(self)


def comparison_table(comparison: Comparison, width: int | None = None) -> str:
    """Four tables: overlap, profiles, scores, strata. As wide as needed when `width` is None."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    out = io.StringIO()
    console = Console(file=out, width=width or 1_000_000, no_color=True, legacy_windows=False)
    for title, head, lines in (
        _overlaps(comparison),
        _profiles(comparison),
        _scores(comparison),
        _strata(comparison),
    ):
        if not lines:
            continue
        grid = Table(title=Text(title), title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
        for place, name in enumerate(head):
            grid.add_column(Text(name), justify="right" if place else "left", overflow="fold")
        for line in lines:
            grid.add_row(*(Text(escaped(cell)) for cell in line))
        console.print(grid)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()).strip("\n") + "\n"


Grid = tuple[str, Sequence[str], list[list[str]]]


def _overlaps(comparison: Comparison) -> Grid:
    head = ["", "in both", "Jaccard"]
    lines = []
    for pair in comparison.overlaps:
        for what in ("rows", "images"):
            name = f"{what} of {pair['a']} and {pair['b']}"
            lines.append([name, *map(number, (pair[what], pair[f"{what}_jaccard"]))])
    return "Overlap", head, lines


def _profiles(comparison: Comparison) -> Grid:
    known = [key for key in FACTS if any(line[key] is not None for line in comparison.profiles)]
    lines = [[FACTS[key], *(number(line[key]) for line in comparison.profiles)] for key in known]
    return "Selections", ["", *comparison.names], lines


def _scores(comparison: Comparison) -> Grid:
    head = ["scorer", *_each(comparison.names, "mean", "percentile")]
    lines = [
        [line["scorer"], *_each(line["cells"], _of("mean"), _of("percentile"))]
        for line in comparison.scores
    ]
    return "Scores", head, lines


def _strata(comparison: Comparison) -> Grid:
    head = ["stratum", "pool", *_each(comparison.names, "selected", "share")]
    lines = [
        [
            line["stratum"],
            number(line["pool"]),
            *chain.from_iterable(
                (number(count), percent(share))
                for count, share in zip(line["selected"], line["share"], strict=True)
            ),
        ]
        for line in comparison.strata
    ]
    return "Strata", head, lines


def _of(key: str) -> Callable[[dict[str, Any] | None], str]:
    return lambda cell: number(None if cell is None else cell[key])


def _each(items: Sequence[Any], *parts: str | Callable[[Any], str]) -> list[str]:
    """Every item in every part: a word behind its name, or a function of it."""
    return [part(item) if callable(part) else f"{item} {part}" for item in items for part in parts]


def number(value: Any) -> str:
    """A number for readers: thousands apart, four digits of a fraction; text as it is."""
    if value is None:
        return NO_VALUE
    if isinstance(value, float):
        return f"{value:,.0f}" if value.is_integer() else f"{value:,.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
