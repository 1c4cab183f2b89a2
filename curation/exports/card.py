"""The data card that goes with an exported data set, filled from the manifest."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Final

from curation.exports.base import Origin
from curation.manifest import query
from curation.manifest.schema import quoted

SIZES: Final = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"),
                (1_000_000, "100K<n<1M"), (10_000_000, "1M<n<10M"))  # fmt: skip

Tallies = Mapping[str, Counter[str | None]]


def card(rows: int, tallies: Tallies, origin: Origin) -> str:
    """Markdown with the YAML head that data set hubs read."""
    sections = [_head(rows, tallies), f"# {origin.selection}", _made(rows, origin), _funnel(origin)]
    for name, tally in tallies.items():
        lines = [f"| {_cell(value)} | {count:,} |" for value, count in sorted_tally(tally)]
        sections.append(f"## {name}\n\n| value | samples |\n|---|---:|\n" + "\n".join(lines))
    sections.append(
        "Not for clinical use. Check the licence and the terms of every source before training."
    )
    return "\n\n".join(sections) + "\n"


def sorted_tally(tally: Counter[str | None]) -> list[tuple[str | None, int]]:
    """Values by count, then name; a missing value is last among equals."""
    return sorted(tally.items(), key=lambda item: (-item[1], item[0] is None, item[0] or ""))


def _head(rows: int, tallies: Tallies) -> str:
    size = next((words for bound, words in SIZES if rows < bound), "n>10M")
    head: dict[str, object] = {
        "task_categories": ["visual-question-answering"],
        "tags": ["medical", "medsift"],
        "size_categories": [size],
    }
    for key in ("license", "language"):
        values = sorted(value for value in tallies[key] if value)
        if values:
            head[key] = values
    # JSON values are YAML values, quoting included.
    lines = (f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in head.items())
    return "---\n" + "\n".join(lines) + "\n---"


def _made(rows: int, origin: Origin) -> str:
    found = query(
        origin.manifest,
        "SELECT name, recipe_fingerprint, input_fingerprint, code_version, seed FROM runs "
        f"WHERE run_id = {quoted(origin.run_id)}",
    ).to_pylist()
    facts = {"samples": f"{rows:,}", "selection": origin.selection, "run": origin.run_id}
    facts |= {key: value for line in found for key, value in line.items() if value is not None}
    return "Curated by MedSift.\n\n| | |\n|---|---|\n" + "\n".join(
        f"| {key} | {_cell(value)} |" for key, value in facts.items()
    )


def _funnel(origin: Origin) -> str:
    lines = query(
        origin.manifest,
        "SELECT stage, rows_in, kept, dropped, failed FROM funnel "
        f"WHERE run_id = {quoted(origin.run_id)} ORDER BY ordinal",
    ).to_pylist()
    table = [
        f"| {line['stage']} | {line['rows_in']:,} | {line['kept']:,} | {line['dropped']:,} "
        f"| {line['failed']:,} |"
        for line in lines
    ]
    head = (
        "## Where rows went\n\n| stage | in | kept | dropped | failed |\n|---|---:|---:|---:|---:|"
    )
    return "\n".join([head, *table])


def _cell(value: object) -> str:
    """A value inside a Markdown table."""
    text = "unknown" if value is None else " ".join(str(value).split())
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
