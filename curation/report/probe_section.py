"""Read the newest probe of a run for its report: verdicts, figure, and the sizes it decided."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from curation.probe.figure import accuracy_curve
from curation.probe.manifest_tables import verdicts_of
from medsift.manifest.any_version import Line, ask
from medsift.pages.chart_style import Figure

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

PAGE_NAME: Final = "probe.html"

# Probes of one recipe are of one time: the one that decided its last selection is shown.
NEWEST: Final = """
SELECT p.probe_id, p.created_at::VARCHAR AS created_at, p.settings, p.pool, p.left_out, p.asked,
       p.clusters, len(p.classes) AS classes, p.seconds
FROM probe_runs p LEFT JOIN selection_settings s
  ON s.run_id = $run AND s.probe_id = p.probe_id
WHERE p.run_id = $run
ORDER BY p.created_at DESC, s.ordinal DESC NULLS LAST, p.probe_id LIMIT 1
"""
RESULTS: Final = """
SELECT * EXCLUDE (run_id) FROM probe_results
WHERE run_id = $run AND probe_id = $probe AND facet = 'all'
ORDER BY arm, budget
"""
DECIDED: Final = """
SELECT selection, selected, budget, explanation FROM selection_settings
WHERE run_id = $run AND explanation IS NOT NULL ORDER BY created_at, ordinal
"""


@dataclass(frozen=True, slots=True)
class ProbeSection:
    """What the report says of a run's newest probe.

    `line` is its line of `probe_runs`, `left_out` counts samples by reason, `verdicts` has a
    sentence for each arm. `page` is the name of the probe's own page where that lies next to the
    report.
    """

    line: Line
    left_out: dict[str, int]
    verdicts: dict[str, str]
    figure: Figure
    page: str | None


def read_probe(con: DuckDBPyConnection, run_id: str, folder: Path) -> ProbeSection | None:
    """Return the newest probe of a run; None where it has none.

    Args:
        con: A connection of `any_version.opened`.
        run_id: The run.
        folder: Where the report goes, which may hold the probe's page.
    """
    lines = ask(con, NEWEST, run=run_id)
    if not lines:
        return None
    [line] = lines
    settings = json.loads(line["settings"])
    arms = [arm["name"] for arm in settings["arms"]]
    rows = ask(con, RESULTS, run=run_id, probe=line["probe_id"])
    return ProbeSection(
        line=line,
        left_out=json.loads(line["left_out"]),
        verdicts=verdicts_of(rows, arms, settings["margin"]),
        figure=accuracy_curve(rows, arms),
        page=PAGE_NAME if _is_of(folder / PAGE_NAME, line["probe_id"]) else None,
    )


def read_decided(con: DuckDBPyConnection, run_id: str) -> list[Line]:
    """Return the selections whose size a probe decided, oldest first, each with the reason."""
    return ask(con, DECIDED, run=run_id)


def _is_of(page: Path, probe_id: str) -> bool:
    """Return whether a page is there and of this probe: an older one says other things."""
    return page.is_file() and f'data-probe="{probe_id}"' in page.read_text("utf-8", "replace")
