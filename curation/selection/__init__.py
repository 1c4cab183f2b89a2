"""Selection: the smallest subset that represents the pool, and honest baselines next to it."""

from __future__ import annotations

from curation.selection.config import EVERYTHING, AnyMethod, SelectionConfig
from curation.selection.coverage import coverage, weights
from curation.selection.method import Candidates, MethodConfig, Picked, SelectionContext
from curation.selection.quality import Scores
from curation.selection.quotas import Groups, QuotasConfig
from curation.selection.select import Selection, select
from curation.selection.tables import (
    CURVES,
    SELECTIONS,
    SETTINGS,
    curve_table,
    selection_table,
    settings_table,
)

__all__ = [
    "CURVES",
    "EVERYTHING",
    "SELECTIONS",
    "SETTINGS",
    "AnyMethod",
    "Candidates",
    "Groups",
    "MethodConfig",
    "Picked",
    "QuotasConfig",
    "Scores",
    "Selection",
    "SelectionConfig",
    "SelectionContext",
    "coverage",
    "curve_table",
    "select",
    "selection_table",
    "settings_table",
    "weights",
]
