"""The manifest: one DuckDB file that holds all runs, readable by SQL and replaced atomically."""

from __future__ import annotations

from medsift.manifest.query import query
from medsift.manifest.reading import in_one_line, newest_version, open_manifest, read
from medsift.manifest.render import render
from medsift.manifest.schema import BY_NAME, SCHEMA_VERSION, TABLES
from medsift.manifest.selected import resolve_selection, selected, selected_batches
from medsift.manifest.views import VIEWS
from medsift.manifest.write import RunRecord, append_tables, write_manifest

__all__ = [
    "BY_NAME",
    "SCHEMA_VERSION",
    "TABLES",
    "VIEWS",
    "RunRecord",
    "append_tables",
    "in_one_line",
    "newest_version",
    "open_manifest",
    "query",
    "read",
    "render",
    "resolve_selection",
    "selected",
    "selected_batches",
    "write_manifest",
]
