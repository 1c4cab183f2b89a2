"""The page itself: facts, figures and gallery poured into one HTML file that needs no network."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from curation.compare import Comparison
from curation.compare.table import PROFILE_LABELS
from curation.compare.table import number as plain_number
from curation.report.data import Facts, Histogram, choose_run, read_facts
from curation.report.figures import ALL, QUALITY_TITLES, draw
from curation.report.gallery import read_gallery
from curation.report.review import read_reviews
from curation.unread import STAGE, census_of
from medsift.manifest.any_version import Line, opened
from medsift.pages.chart_style import ACCENT, COLOURS, SKY
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
    with opened(manifest) as connection:
        chosen = choose_run(connection, run_id)
        facts = read_facts(connection, chosen)
        shown = {
            "gallery": read_gallery(connection, chosen),
            "reviews": read_reviews(connection, chosen),
        }
    content = _content(facts) | shown | {"facts": facts}
    page = render(TEMPLATE, content, {"plain_number": plain_number})
    write_page(output, page)
    return output


def _content(facts: Facts) -> dict[str, Any]:
    """What the template shows next to the facts themselves."""
    return {
        "figures": draw(facts),
        "totals": totals(facts),
        "sweep_table": sweep_table(facts.sweep),
        "measured": measured(facts.measures),
        "unread": unread(facts),
        "redundant": redundant(facts.measures),
        "score_legend": score_legend(facts.scores),
        "profile_facts": profile_facts(facts.selections.comparison),
        "recipe": indented(facts.run["recipe"]),
        "packages": versions(facts.run["packages"]),
        "quality_titles": QUALITY_TITLES,
    }


def totals(facts: Facts) -> Line:
    """Where all rows ended, and whether the ledger balances at every stage."""
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
    """The sweep at a few round thresholds: a line per modality, cells in `SWEEP_SHOWN`'s order."""
    lines: dict[str, dict[float, Line]] = {}
    for line in sweep:
        lines.setdefault(line["modality"], {})[round(line["threshold"], 2)] = line
    shown = [value for value in SWEEP_SHOWN if any(value in cells for cells in lines.values())]
    return [
        {
            "modality": modality,
            "total": modality == ALL,
            "cells": [(value, cells.get(value)) for value in shown],
        }
        for modality, cells in lines.items()
    ]


def measured(measures: list[Line]) -> dict[str, Line]:
    """The lines without a threshold by name: how the searches were made and what they counted."""
    return {line["name"]: line for line in measures if line["threshold"] is None}


def unread(facts: Facts) -> str | None:
    """What the page says of texts that the encoder could not read, or None."""
    lines = [line for line in facts.measures if line["stage"] == STAGE]
    return census_of(lines).sentence(encoder_name(facts.run["recipe"]))


def encoder_name(recipe: str | None) -> str:
    """What the recipe's encoder is called, from its JSON text."""
    encoder = json.loads(recipe or "{}").get("encoder", {})
    return str(encoder.get("model") or encoder.get("kind") or "unknown")


def redundant(measures: list[Line]) -> list[Line]:
    """Lines (threshold, value): rows with an earlier row whose joint vector is at least as near."""
    return [line for line in measures if line["name"] == "semantic redundant"]


def score_legend(scores: list[Histogram]) -> list[tuple[str, str]]:
    """Groups of the score histograms and their colours in the style sheet's terms."""
    themed = {ACCENT: "var(--accent)", SKY: "var(--sky)"}
    labels = next((list(one.counts) for one in scores if one.counts), [])
    return [
        (name, themed.get(colour, colour)) for name, colour in zip(labels, COLOURS, strict=False)
    ]


def profile_facts(comparison: Comparison | None) -> list[tuple[str, str]]:
    """Keys and words of what at least one of the compared selections has a value of."""
    lines = comparison.profiles if comparison else []
    return [
        (key, words)
        for key, words in PROFILE_LABELS.items()
        if any(one[key] is not None for one in lines)
    ]
