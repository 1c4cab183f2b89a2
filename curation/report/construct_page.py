"""Write the page of one construction: the part of the report that is about it, alone."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from curation.report.construct_section import read_constructions
from medsift.errors import UsageError
from medsift.manifest.any_version import opened
from medsift.pages.chart_style import as_json
from medsift.pages.html_page import render, write_page

TEMPLATE: Final = Path(__file__).parent / "templates" / "construction_page.html"
PAGE_NAME: Final = "construction.html"


def write_construction_page(manifest: Path, run_id: str, construct_id: str, output: Path) -> Path:
    """Write the page of a construction as one HTML file and return its path.

    Raises:
        UsageError: the run has no such construction.
        ManifestError: the manifest cannot be read.
        StorageError: `output` cannot be written.
    """
    with opened(manifest) as con:
        found = read_constructions(con, run_id, construct_id)
    if not found:
        raise UsageError(
            f"run {run_id} has no construction {construct_id!r}; see the table constructions",
            code="construction_unknown",
            construction=construct_id,
        )
    [one] = found
    figures = {} if one.lengths is None else {one.figure: as_json(*one.lengths)}
    content = {"one": one, "run_id": run_id, "figures": figures}
    write_page(output, render(TEMPLATE, content, {}, draws=bool(figures)))
    return output
