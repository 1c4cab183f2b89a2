"""Find duplicate samples, decide which one is kept, and report what only looks like one."""

from __future__ import annotations

from curation.dedup.config import DedupConfig, SemanticConfig
from curation.dedup.deduplicate import deduplicate
from curation.dedup.schemas import DedupResult

__all__ = ["DedupConfig", "DedupResult", "SemanticConfig", "deduplicate"]
