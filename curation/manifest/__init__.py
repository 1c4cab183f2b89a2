"""The manifest: one DuckDB file that holds all runs, readable by SQL and replaced atomically."""

from __future__ import annotations

from curation.manifest.query import query
from curation.manifest.reading import in_one_line, newest_version, open_manifest, read
from curation.manifest.render import render
from curation.manifest.schema import SCHEMA_VERSION, TABLES
from curation.manifest.selected import resolve_selection, selected, selected_batches
from curation.manifest.views import VIEWS
from curation.manifest.write import RunRecord, append_tables, write_manifest

__all__ = [
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
