"""Write the study page: one HTML file that needs no network."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from evaluation.report import page
from evaluation.report.format import FEW, signed_ends
from evaluation.report.page import TEMPLATES
from evaluation.report.study.data import Group, StudyPageData, choose, read_page_data
from evaluation.report.study.figures import score_against_budget, training_curves
from evaluation.study_scores import FULL, UNTRAINED
from evaluation.study_text import FEW_SEEDS, rival_of, sentence, signed, summary
from medsift.manifest.any_version import Line, opened
from medsift.pages.chart_style import as_json
from medsift.pages.html_page import render, write_page

GOOD: Final = ("non-inferior", "superior")
BAD: Final = ("inferior", "worse")


def write_study_page(
    manifest: Path, output: Path, run_id: str | None = None, study: str | None = None
) -> Path:
    """Write the page about a study as a single HTML file and return its path.

    It is made from the manifest alone, carries what it needs, and has a content policy that lets
    the browser fetch nothing. It replaces an older file at `output` at once or not at all.

    Args:
        manifest: The DuckDB file.
        output: Where the page goes.
        run_id: The run; the newest that has a study when None.
        study: Id or name of the study; the newest when None.

    Raises:
        ManifestError: The manifest cannot be read, or holds no such study.
        StorageError: `output` cannot be written.
    """
    with opened(manifest) as connection:
        data = read_page_data(connection, *choose(connection, run_id, study))
    write_page(output, _page(data))
    return output


def _page(data: StudyPageData) -> str:
    drawn = {
        f"budget-{place}": score_against_budget(benchmark, data.groups)
        for place, benchmark in enumerate(data.benchmarks)
    } | {"curves": training_curves(data)}
    figures = {name: as_json(*figure) for name, figure in drawn.items() if figure is not None}
    content = {
        "data": data,
        "study": data.study,
        "figures": figures,
        "budgets": budgets(data.groups),
        "trained": trained(data),
        "few_below": FEW,
        "few_seeds": len(data.study["seeds"] or ()) < FEW_SEEDS,
        "FULL": FULL,
        "RIVAL": rival_of([line for one in data.benchmarks for line in one.whole]),
        "UNTRAINED": UNTRAINED,
    }
    sheets = [TEMPLATES / "evaluation.css", TEMPLATES / "study.css"]
    return render(TEMPLATES / "study.html", content, FILTERS, sheets, draws=bool(figures))


def budgets(groups: Sequence[Group]) -> dict[str, list[Group]]:
    """Return the budgets with the arms that have them, each followed by full data."""
    full = [group for group in groups if group.arm == FULL]
    names = dict.fromkeys(group.budget for group in groups if group.arm not in (FULL, UNTRAINED))
    return {
        name: [group for group in groups if group.budget == name and group not in full] + full
        for name in names
    }


def trained(data: StudyPageData) -> list[Line]:
    """Return how the trials of each arm and budget were trained: a row each, means over seeds."""
    by_group: dict[tuple[str, str, int], list[Line]] = {}
    for trial in data.trials:
        if trial["arm"] != UNTRAINED:
            by_group.setdefault((trial["arm"], trial["budget"], trial["samples"]), []).append(trial)
    return [
        {
            "arm": arm,
            "budget": budget,
            "samples": samples,
            "seeds": sorted(one["seed"] for one in trials if one["status"] != "failed"),
            **{
                name: _mean(trials, name) for name in ("steps", "epochs", "seen", "loss", "seconds")
            },
        }
        for (arm, budget, samples), trials in by_group.items()
    ]


def badge(verdict: str) -> str:
    """Return the colour of a verdict."""
    return "good" if verdict in GOOD else "bad" if verdict in BAD else ""


def difference_ends(line: Line | None) -> str:
    """Return the interval of a comparison, in points; empty where there is none."""
    if line is None or line["diff_low"] is None:
        return ""
    return signed_ends({"low": line["diff_low"], "high": line["diff_high"]})


def apart(line: Line | None) -> bool:
    """Return whether the interval of a comparison leaves out 0."""
    if line is None or line["diff_low"] is None:
        return False
    return bool(line["diff_low"] * line["diff_high"] > 0)


def same(study: Line) -> str:
    """Return in words what all trainings have in common."""
    training = json.loads(study["recipe"] or "{}").get("training", {})
    if study["same"] == "steps":
        return f"the same {training.get('steps'):,} steps, however small the set"
    passes = training.get("epochs") or 1
    return f"the same {passes:g} passes over its set, so that a smaller set has fewer steps"


def _mean(trials: Sequence[Line], name: str) -> float | None:
    known = [trial[name] for trial in trials if trial[name] is not None]
    return sum(known) / len(known) if known else None


FILTERS: Final[dict[str, Any]] = page.FILTERS | {
    "signed": signed,
    "difference_ends": difference_ends,
    "apart": apart,
    "badge": badge,
    "same": same,
    "sentence": sentence,
    "summary": summary,
}
