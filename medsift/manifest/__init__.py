"""The manifest: one DuckDB file of all runs, readable by SQL and replaced atomically.

Names are loaded when they are first used, so that the declarations of the tables, which every room
needs, do not load DuckDB.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from medsift.manifest.locked_query import query as query
    from medsift.manifest.reading import in_one_line as in_one_line
    from medsift.manifest.reading import newest_version as newest_version
    from medsift.manifest.reading import open_manifest as open_manifest
    from medsift.manifest.reading import read as read
    from medsift.manifest.rendering import render as render
    from medsift.manifest.schema import BY_NAME as BY_NAME
    from medsift.manifest.schema import SCHEMA_VERSION as SCHEMA_VERSION
    from medsift.manifest.schema import TABLES as TABLES
    from medsift.manifest.selected_rows import resolve_run as resolve_run
    from medsift.manifest.selected_rows import resolve_selection as resolve_selection
    from medsift.manifest.selected_rows import selected as selected
    from medsift.manifest.selected_rows import selected_batches as selected_batches
    from medsift.manifest.views import VIEWS as VIEWS
    from medsift.manifest.write import RunRecord as RunRecord
    from medsift.manifest.write import append_tables as append_tables
    from medsift.manifest.write import write_manifest as write_manifest

_NAMES = {
    "locked_query": ("query",),
    "reading": ("in_one_line", "newest_version", "open_manifest", "read"),
    "rendering": ("render",),
    "schema": ("BY_NAME", "SCHEMA_VERSION", "TABLES"),
    "selected_rows": ("resolve_run", "resolve_selection", "selected", "selected_batches"),
    "views": ("VIEWS",),
    "write": ("RunRecord", "append_tables", "write_manifest"),
}


def __getattr__(name: str) -> Any:
    for module, names in _NAMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
