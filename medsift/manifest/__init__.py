"""The manifest: one DuckDB file that holds all runs, readable by SQL and replaced atomically.

Names are loaded when they are first used, so that the declarations of the tables, which every room
needs, cost no DuckDB.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from medsift.manifest.locked_query import query
    from medsift.manifest.reading import in_one_line, newest_version, open_manifest, read
    from medsift.manifest.rendering import render
    from medsift.manifest.schema import BY_NAME, SCHEMA_VERSION, TABLES
    from medsift.manifest.selected_rows import resolve_selection, selected, selected_batches
    from medsift.manifest.views import VIEWS
    from medsift.manifest.write import RunRecord, append_tables, write_manifest

_HOMES = {
    "BY_NAME": "schema",
    "SCHEMA_VERSION": "schema",
    "TABLES": "schema",
    "VIEWS": "views",
    "RunRecord": "write",
    "append_tables": "write",
    "in_one_line": "reading",
    "newest_version": "reading",
    "open_manifest": "reading",
    "query": "locked_query",
    "read": "reading",
    "render": "rendering",
    "resolve_selection": "selected_rows",
    "selected": "selected_rows",
    "selected_batches": "selected_rows",
    "write_manifest": "write",
}

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


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
