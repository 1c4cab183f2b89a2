"""The page itself: facts, figures and gallery poured into one HTML file that needs no network."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from curation.compare import Comparison
from curation.compare.layout import Line, opened
from curation.compare.table import FACTS
from curation.compare.table import number as plain_number
from curation.errors import StorageError
from curation.report.data import Facts, Histogram, choose_run, read_facts
from curation.report.drawing import ACCENT, COLOURS, SKY
from curation.report.figures import ALL, QUALITY_TITLES, draw
from curation.report.gallery import read_gallery

TEMPLATES: Final = Path(__file__).parent / "templates"
SWEEP_SHOWN: Final = (0.80, 0.85, 0.90, 0.95, 0.99)
NO_VALUE: Final = "–"


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
        gallery = read_gallery(connection, chosen)
    page = _render(facts=facts, gallery=gallery)
    _replace(output, page)
    return output


def _render(**content: Any) -> str:
    """Fill the template; every value is escaped unless the template says otherwise."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    facts: Facts = content["facts"]
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        number=number, share=share, similarity=similarity, clock=clock, plain_number=plain_number
    )
    scripts = [plotly_script(), (TEMPLATES / "report.js").read_text(encoding="utf-8")]
    return environment.get_template("report.html").render(
        **content,
        figures=draw(facts),
        totals=totals(facts),
        sweep_table=sweep_table(facts.sweep),
        measured=measured(facts.measures),
        redundant=redundant(facts.measures),
        score_legend=score_legend(facts.scores),
        profile_facts=profile_facts(facts.selections.comparison),
        recipe=_pretty(facts.run["recipe"]),
        packages=_packages(facts.run["packages"]),
        quality_titles=QUALITY_TITLES,
        style=(TEMPLATES / "report.css").read_text(encoding="utf-8"),
        scripts=scripts,
        policy=policy(scripts),
    )


@lru_cache(maxsize=1)
def plotly_script() -> str:
    """The plotly.js that the installed plotly ships, whole."""
    from plotly.offline import get_plotlyjs

    return str(get_plotlyjs())


def policy(scripts: list[str]) -> str:
    """A content policy under which exactly these inline scripts run and nothing is fetched.

    Scripts are named by their SHA-256 (W3C Content Security Policy, level 2), so that text which
    should ever slip past the escaping still cannot run.
    """
    hashes = " ".join(
        "'sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() + "'"
        for script in scripts
    )
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )


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
        (key, words) for key, words in FACTS.items() if any(one[key] is not None for one in lines)
    ]


def number(value: float | None, digits: int = 0) -> str:
    """A number with thousands separators, or a dash."""
    return NO_VALUE if value is None else f"{value:,.{digits}f}"


def share(part: float | None, whole: float | None) -> str:
    """`part` of `whole` in per cent, or a dash where there is no whole."""
    return NO_VALUE if part is None or not whole else f"{100 * part / whole:,.1f}%"


def similarity(value: float | None) -> str:
    """A similarity with three decimals, cut rather than rounded so that only equality shows 1."""
    return NO_VALUE if value is None else f"{int(value * 1000) / 1000:.3f}"


def clock(seconds: float | None) -> str:
    """Seconds as a reader says them: 0.42 s, 12.3 s, 4 min 05 s, 2 h 03 min."""
    if seconds is None:
        return NO_VALUE
    if seconds < 60:
        return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes_left = divmod(minutes, 60)
    return f"{hours} h {minutes_left:02d} min" if hours else f"{minutes} min {rest:02d} s"


def _pretty(recipe: str | None) -> str:
    return json.dumps(json.loads(recipe), indent=2, ensure_ascii=False) if recipe else ""


def _packages(packages: str | None) -> list[tuple[str, str]]:
    found = json.loads(packages) if packages else {}
    return sorted((str(name), str(version)) for name, version in found.items())


def _replace(output: Path, page: str) -> None:
    partial = output.with_name(f"{output.name}.{os.getpid()}.partial")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        try:
            partial.write_text(page, encoding="utf-8", errors="backslashreplace")
            partial.replace(output)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(
            f"cannot write the report {output}: {error}; free space or name another --output"
        ) from error
