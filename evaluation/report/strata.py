"""Accuracy by modality and task, and by every other facet."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from evaluation.records import ORIGINAL
from evaluation.report.data import ACCURACY, Evaluation
from medsift.manifest.any_version import Line
from medsift.statistics.breakdown import ALL, FACETS

JOINT: Final = " / "
SIDES: Final = ("modality", "task_type")
HEAT: Final = JOINT.join(SIDES)
MAX_VALUES: Final = 40
"""Values of a facet on the page, the largest first."""


@dataclass(frozen=True, slots=True)
class HeatMap:
    """Accuracy by modality (rows) and task type (columns), the largest first.

    `cells` has a line or None for each; `rows` and `columns` are names with the line of the whole
    modality or task type, where it is known. `unnamed` is of items that lack one of the two.
    """

    rows: list[tuple[str, Line | None]]
    columns: list[tuple[str, Line | None]]
    cells: list[list[Line | None]]
    unnamed: Line | None


@dataclass(frozen=True, slots=True)
class Facet:
    """Accuracy by the values of one facet, the largest first; `hidden` are not shown."""

    name: str
    lines: list[Line]
    hidden: int


def heat_map(evaluation: Evaluation) -> HeatMap | None:
    """Return the heat map of one model on one benchmark, None where no cell is named."""
    given = {line["facet_value"]: line for line in evaluation.facet(HEAT)}
    whole = [{line["facet_value"]: line for line in evaluation.facet(name)} for name in SIDES]
    cells = {_split(name, *whole): line for name, line in given.items() if name is not None}
    if not cells:
        return None
    rows, columns = (
        _largest_first({pair[at] for pair in cells}, lines) for at, lines in enumerate(whole)
    )
    table = [[cells.get((row, column)) for column, _ in columns] for row, _ in rows]
    return HeatMap(rows, columns, table, given.get(None))


def facets(evaluation: Evaluation) -> list[Facet]:
    """Return every facet but the heat map's own, known ones first."""
    named = {
        str(line["facet"])
        for line in evaluation.metrics
        if line["metric"] == ACCURACY and line["variant"] == ORIGINAL
    } - {ALL, HEAT}
    ordered = [*(name for name in FACETS if name in named), *sorted(named - set(FACETS))]
    listed = []
    for name in ordered:
        rows = sorted(
            evaluation.facet(name), key=lambda row: (*_size(row), str(row["facet_value"]))
        )
        listed.append(Facet(name, rows[:MAX_VALUES], max(len(rows) - MAX_VALUES, 0)))
    return listed


def _size(line: Line | None) -> tuple[bool, int]:
    """Order by size, larger first and unnamed last."""
    unnamed = line is None or line["facet_value"] is None
    return (unnamed, 0 if line is None else -line["n"])


def _largest_first(
    names: Collection[str], lines: Mapping[str, Line]
) -> list[tuple[str, Line | None]]:
    return [
        (name, lines.get(name))
        for name in sorted(names, key=lambda name: (*_size(lines.get(name)), name))
    ]


def _split(value: str, modalities: Collection[str], tasks: Collection[str]) -> tuple[str, str]:
    """Split a joined value into modality and task type, also where one contains the joint."""
    parts = value.split(JOINT)
    pairs = [(JOINT.join(parts[:at]), JOINT.join(parts[at:])) for at in range(1, len(parts))]
    known = [pair for pair in pairs if pair[0] in modalities and pair[1] in tasks]
    return (known or pairs or [(value, "")])[0]
