"""Who may be trained on: splits that share no picture, no case and no patient."""

from __future__ import annotations

from curation.splits.assign import assign_splits
from curation.splits.check import SplitLeak, check_splits, known_levels
from curation.splits.components import LEVELS, Level, components
from curation.splits.config import SplitsConfig
from curation.splits.slices import find_slices, with_slices

__all__ = [
    "LEVELS",
    "Level",
    "SplitLeak",
    "SplitsConfig",
    "assign_splits",
    "check_splits",
    "components",
    "find_slices",
    "known_levels",
    "with_slices",
]
