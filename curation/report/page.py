"""Write the report: facts, figures and pictures in one HTML file that needs no network."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from curation.compare.table import PROFILE_LABELS
from curation.compare.table import number as plain_number
from curation.report.construct_section import read_constructions
from curation.report.data import ReportFacts, read_facts
from curation.report.figures import ALL, QUALITY_TITLES, draw
from curation.report.gallery import read_gallery
from curation.report.probe_section import read_decided, read_probe
from curation.report.review import read_reviews
from curation.unread import STAGE, census_of
from medsift.manifest import resolve_run
from medsift.manifest.any_version import Line, opened
from medsift.pages.chart_style import ACCENT, COLOURS, SKY, as_json
from medsift.pages.html_page import render, write_page
from medsift.pages.number_format import indented, versions

TEMPLATE: Final = Path(__file__).parent / "templates" / "report.html"
SWEEP_SHOWN: Final = (0.80, 0.85, 0.90, 0.95, 0.99)


def write_report(manifest: Path, run_id: str | None, output: Path) -> Path:
    """Write the report of one run as a single HTML file and return its path.

    The page carries its own plotly.js, styles and thumbnails, and a content policy that lets the
    browser fetch nothing. It replaces an older file at `output` at once or not at all.

    Args:
        manifest: The DuckDB file.
        run_id: The run to report on; the newest when None.
        output: Where the page goes.

    Raises:
        ManifestError: The manifest cannot be read, or holds no such run.
        StorageError: `output` cannot be written.
    """
    run = resolve_run(manifest, run_id)
    with opened(manifest) as con:
        facts = read_facts(con, run)
        pictures = {"gallery": read_gallery(con, run), "reviews": read_reviews(con, run)}
        probe, decided = read_probe(con, run, output.parent), read_decided(con, run)
        made = read_constructions(con, run)
    content = _content(facts) | pictures | {"facts": facts, "probe": probe, "decided": decided}
    content["constructions"] = made
    content["figures"] |= {one.figure: as_json(*one.lengths) for one in made if one.lengths}
    if probe is not None:
        content["figures"]["probe"] = as_json(*probe.figure)
    write_page(output, render(TEMPLATE, content, {"plain_number": plain_number}))
    return output


def _content(facts: ReportFacts) -> dict[str, Any]:
    """Return what the template shows next to the facts themselves."""
    encoder = json.loads(facts.run["recipe"] or "{}").get("encoder", {})
    census = census_of([line for line in facts.measures if line["stage"] == STAGE])
    # Colours that the style sheet changes with the theme.
    themed = {ACCENT: "var(--accent)", SKY: "var(--sky)"}
    groups: list[str] = next((list(score.counts) for score in facts.scores if score.counts), [])
    comparison = facts.selections.comparison
    return {
        "figures": draw(facts),
        "totals": totals(facts),
        "sweep_table": sweep_table(facts.sweep),
        "measured": {line["name"]: line for line in facts.measures if line["threshold"] is None},
        "unread": census.sentence(str(encoder.get("model") or encoder.get("kind") or "unknown")),
        "redundant": [line for line in facts.measures if line["name"] == "semantic redundant"],
        "score_legend": [
            (group, themed.get(colour, colour))
            for group, colour in zip(groups, COLOURS, strict=False)
        ],
        "profile_facts": [
            (key, label)
            for key, label in PROFILE_LABELS.items()
            if comparison and any(profile[key] is not None for profile in comparison.profiles)
        ],
        "recipe": indented(facts.run["recipe"]),
        "packages": versions(facts.run["packages"]),
        "quality_titles": QUALITY_TITLES,
    }


def totals(facts: ReportFacts) -> Line:
    """Count where all rows ended, and check that the ledger balances at every stage."""
    stages = facts.stages
    rows = stages[0]["rows_in"] if stages else facts.counts["rows"]
    dropped = sum(stage["dropped"] for stage in stages)
    failed = sum(stage["failed"] for stage in stages)
    kept = stages[-1]["kept"] if stages else 0
    within = all(
        stage["rows_in"] == stage["kept"] + stage["dropped"] + stage["failed"] for stage in stages
    )
    between = all(before["kept"] == after["rows_in"] for before, after in pairwise(stages))
    return {
        "rows": rows,
        "kept": kept,
        "dropped": dropped,
        "failed": failed,
        "balanced": within and between and rows == facts.counts["rows"],
        "unaccounted": facts.counts["rows"] - kept - dropped - failed,
    }


def sweep_table(sweep: list[Line]) -> list[Line]:
    """Return the sweep at a few round thresholds: a row of cells for each modality."""
    rows: dict[str, dict[float, Line]] = {}
    for line in sweep:
        rows.setdefault(line["modality"], {})[round(line["threshold"], 2)] = line
    thresholds = [value for value in SWEEP_SHOWN if any(value in cells for cells in rows.values())]
    return [
        {
            "modality": modality,
            "total": modality == ALL,
            "cells": [(value, cells.get(value)) for value in thresholds],
        }
        for modality, cells in rows.items()
    ]
