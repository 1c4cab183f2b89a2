"""Assign splits that share no picture, no case and no patient, and check those of a source."""

from __future__ import annotations

from curation.splits.adjacent_slices import find_slices, with_slices
from curation.splits.check import SplitLeak, check_splits, known_levels
from curation.splits.config import SplitsConfig

__all__ = [
    "SplitLeak",
    "SplitsConfig",
    "check_splits",
    "find_slices",
    "known_levels",
    "with_slices",
]
