"""Duplicates: who survives, whom it stands for, and what only looks like a duplicate."""

from __future__ import annotations

from curation.dedup.config import (
    DedupConfig,
    ImageCopyConfig,
    SampleConfig,
    SemanticConfig,
    TextConfig,
)
from curation.dedup.deduplicate import deduplicate
from curation.dedup.schemas import CLUSTERS, CONFLICTS, GROUPS, LEAKS, REASONS, SWEEP, DedupResult

__all__ = [
    "CLUSTERS",
    "CONFLICTS",
    "GROUPS",
    "LEAKS",
    "REASONS",
    "SWEEP",
    "DedupConfig",
    "DedupResult",
    "ImageCopyConfig",
    "SampleConfig",
    "SemanticConfig",
    "TextConfig",
    "deduplicate",
]
