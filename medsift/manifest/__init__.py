"""The manifest: one DuckDB file of all runs, readable by SQL and replaced atomically.

Names are loaded when they are first used, so that the declarations of the tables, which every room
needs, do not load DuckDB.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from medsift.manifest.locked_query import query
    from medsift.manifest.reading import in_one_line, newest_version, open_manifest, read
    from medsift.manifest.rendering import render
    from medsift.manifest.schema import BY_NAME, SCHEMA_VERSION, TABLES
    from medsift.manifest.selected_rows import (
        resolve_run,
        resolve_selection,
        selected,
        selected_batches,
    )
    from medsift.manifest.views import VIEWS
    from medsift.manifest.write import RunRecord, append_tables, keep_only, write_manifest

__all__ = ["BY_NAME", "SCHEMA_VERSION", "TABLES", "VIEWS", "RunRecord", "append_tables"]
__all__ += [
    "in_one_line",
    "keep_only",
    "newest_version",
    "open_manifest",
    "query",
    "read",
    "render",
]
__all__ += ["resolve_run", "resolve_selection", "selected", "selected_batches", "write_manifest"]
_NAMES = {
    "locked_query": ("query",),
    "reading": ("in_one_line", "newest_version", "open_manifest", "read"),
    "rendering": ("render",),
    "schema": ("BY_NAME", "SCHEMA_VERSION", "TABLES"),
    "selected_rows": ("resolve_run", "resolve_selection", "selected", "selected_batches"),
    "views": ("VIEWS",),
    "write": ("RunRecord", "append_tables", "keep_only", "write_manifest"),
}


def __getattr__(name: str) -> Any:
    for module, names in _NAMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
