"""The page itself: evaluations poured into one HTML file that needs no network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from evaluation.report.data import Evaluation, Facts, choose, read_facts
from evaluation.report.format import FEW, ends, few, left_out, listed, percent, points, signed_ends
from evaluation.report.leaderboard import cautions, measures, verdict
from evaluation.report.profile import profile
from evaluation.report.reliability import filled, reliability
from evaluation.report.strata import facets, heat_map
from evaluation.report.worst import Worst, read_worst
from medsift.manifest.any_version import Line, opened
from medsift.pages.chart_style import as_json
from medsift.pages.html_page import render, write_page
from medsift.pages.number_format import indented, versions

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
        facts = read_facts(connection, run, chosen)
        worst = read_worst(connection, run, chosen)
    write_page(output, _page(facts, worst))
    return output


def _page(facts: Facts, worst: Mapping[tuple[str, str], Worst]) -> str:
    diagrams = [found for bench in facts.benches if (found := reliability(bench)) is not None]
    figures = {f"reliability-{place}": as_json(*one.figure) for place, one in enumerate(diagrams)}
    content = {
        "facts": facts,
        "worst": worst,
        "title": title(facts),
        "asked_of": asked_of(facts),
        "protocols": _distinct(facts, "protocol"),
        "asked": _total(facts, "asked"),
        "unanswered": _total(facts, "unanswered"),
        "contaminated": contaminated(facts),
        "settled": settled(facts),
        "diagrams": diagrams,
        "figures": figures,
        "few_below": FEW,
    }
    return render(
        TEMPLATES / "evaluation.html",
        content,
        FILTERS,
        styles=[TEMPLATES / "evaluation.css"],
        draws=bool(figures),
    )


def title(facts: Facts) -> str:
    """Which models answered which benchmarks, counted where they are many."""
    benches = [bench.name for bench in facts.benches]
    return f"{_some(_distinct(facts, 'model'), 'models')} on {_some(benches, 'benchmarks')}"


def contaminated(facts: Facts) -> dict[str, list[str]]:
    """Models trained despite leaks that were known or not looked for, and what they answered."""
    found: dict[str, list[str]] = {}
    for one in facts.evaluations:
        if one.facts["contaminated"]:
            found.setdefault(str(one.facts["model"]), []).append(str(one.facts["benchmark"]))
    return found


def asked_of(facts: Facts) -> list[Line]:
    """What was asked of models: a line a benchmark, more where they were not asked alike."""
    kinds = {tuple(one.facts[name] for name in ALIKE): one.facts for one in facts.evaluations}
    return list(kinds.values())


def settled(facts: Facts) -> list[Evaluation]:
    """One line an evaluation: its settings are the same for all benchmarks."""
    return list({one.facts["evaluation_id"]: one for one in facts.evaluations}.values())


def heat(value: float) -> str:
    """How deep the colour of a cell is: its text must stay readable on the deepest."""
    return f"{55 * value:.1f}%"


def _some(names: list[str], what: str) -> str:
    return listed(names) if len(names) <= NAMED else f"{len(names)} {what}"


def _total(facts: Facts, column: str) -> int | None:
    """The sum of a column, None where one of its values is not known."""
    values = [one.facts[column] for one in facts.evaluations]
    return None if None in values else sum(values)


def _distinct(facts: Facts, column: str) -> list[str]:
    values = dict.fromkeys(one.facts[column] for one in facts.evaluations)
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
