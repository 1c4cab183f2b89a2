"""Find duplicate samples, decide which one is kept, and report what only looks like one."""

from __future__ import annotations

from curation.dedup.config import DedupConfig, SemanticConfig, TextConfig
from curation.dedup.deduplicate import deduplicate
from curation.dedup.schemas import CLUSTERS, CONFLICTS, REASONS, SWEEP, DedupResult
from curation.matching.settings import ImageCopyConfig, SampleConfig
from medsift.records import GROUPS, LEAKS

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
