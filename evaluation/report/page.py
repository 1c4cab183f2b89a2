"""Write the evaluation page: one HTML file that needs no network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from evaluation.report.data import EvaluationPageData, choose, read_page_data
from evaluation.report.format import FEW, ends, few, left_out, points, signed_ends
from evaluation.report.leaderboard import cautions, measures, verdict
from evaluation.report.profile import profile
from evaluation.report.reliability import filled, reliability
from evaluation.report.strata import facets, heat_map
from evaluation.report.worst import Worst, read_worst
from medsift.manifest.any_version import Line, opened
from medsift.pages.chart_style import as_json
from medsift.pages.html_page import render, write_page
from medsift.pages.number_format import indented, listed, percent, versions

TEMPLATES: Final = Path(__file__).parent / "templates"
ALIKE: Final = ("benchmark", "items", "images", "content_hash", "protocol", "seed")
NAMED: Final = 2
"""So many models or benchmarks are named in the title; more are counted."""


def write_evaluation_page(
    manifest: Path,
    output: Path,
    run_id: str | None = None,
    evaluations: Sequence[str] | None = None,
) -> Path:
    """Write the page about evaluations as a single HTML file and return its path.

    It is made from the manifest alone, and shows the pictures of the worst items where they still
    are. It carries what it needs, and a content policy that lets the browser fetch nothing. It
    replaces an older file at `output` at once or not at all.

    Args:
        manifest: The DuckDB file.
        output: Where the page goes.
        run_id: The run; the newest that has evaluations when None.
        evaluations: Ids of the run's evaluations to show; all of them when None.

    Raises:
        ManifestError: The manifest cannot be read, or holds no such run or evaluation.
        StorageError: `output` cannot be written.
    """
    with opened(manifest) as connection:
        run, chosen = choose(connection, run_id, evaluations)
        data = read_page_data(connection, run, chosen)
        worst = read_worst(connection, run, chosen)
    write_page(output, _page(data, worst))
    return output


def _page(data: EvaluationPageData, worst: Mapping[tuple[str, str], Worst]) -> str:
    diagrams = [diagram for one in data.benchmarks if (diagram := reliability(one)) is not None]
    figures = {f"reliability-{place}": as_json(*one.figure) for place, one in enumerate(diagrams)}
    rows = [one.row for one in data.evaluations]
    models, names = _distinct(rows, "model"), [one.name for one in data.benchmarks]
    contaminated: dict[str, list[str]] = {}
    for row in rows:
        if row["contaminated"]:
            contaminated.setdefault(str(row["model"]), []).append(str(row["benchmark"]))
    content = {
        "data": data,
        "worst": worst,
        "title": f"{_some(models, 'models')} on {_some(names, 'benchmarks')}",
        # One row a benchmark; more where models were not asked alike.
        "asked_of": list({tuple(row[name] for name in ALIKE): row for row in rows}.values()),
        "protocols": _distinct(rows, "protocol"),
        "asked": _total(rows, "asked"),
        "unanswered": _total(rows, "unanswered"),
        "contaminated": contaminated,
        # One row an evaluation: its settings are the same for all benchmarks.
        "settled": list({one.row["evaluation_id"]: one for one in data.evaluations}.values()),
        "diagrams": diagrams,
        "figures": figures,
        "few_below": FEW,
    }
    sheets = [TEMPLATES / "evaluation.css"]
    return render(TEMPLATES / "evaluation.html", content, FILTERS, sheets, draws=bool(figures))


def heat(value: float) -> str:
    """Return how deep the colour of a cell is: text must stay readable on the deepest."""
    return f"{55 * value:.1f}%"


def _some(names: list[str], what: str) -> str:
    return listed(names) if len(names) <= NAMED else f"{len(names)} {what}"


def _total(rows: Sequence[Line], column: str) -> int | None:
    """Return the sum of a column, None where one of its values is not known."""
    values = [row[column] for row in rows]
    return None if None in values else sum(values)


def _distinct(rows: Sequence[Line], column: str) -> list[str]:
    values = dict.fromkeys(row[column] for row in rows)
    return ["not recorded" if value is None else str(value) for value in values]


FILTERS: Final[dict[str, Any]] = {
    "percent": percent,
    "points": points,
    "ends": ends,
    "signed_ends": signed_ends,
    "few": few,
    "heat": heat,
    "left_out": left_out,
    "indented": indented,
    "versions": versions,
    "listed": listed,
    "cautions": cautions,
    "measures": measures,
    "verdict": verdict,
    "heat_map": heat_map,
    "facets": facets,
    "profile": profile,
    "filled": filled,
}
