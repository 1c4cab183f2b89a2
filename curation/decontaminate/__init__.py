"""Keep benchmarks out of training: index each, and find what of a pool matches it."""

from __future__ import annotations

from curation.decontaminate.config import DecontaminateConfig
from curation.decontaminate.index import (
    BenchmarkIndex,
    build_index,
    check_index,
    read_index,
    write_index,
)
from curation.decontaminate.matches import SAME_IMAGE, SAME_PAIR, SAME_TEXT, Hits, find_hits
from curation.decontaminate.review import REVIEWS, with_originals

__all__ = [
    "REVIEWS",
    "SAME_IMAGE",
    "SAME_PAIR",
    "SAME_TEXT",
    "BenchmarkIndex",
    "DecontaminateConfig",
    "Hits",
    "build_index",
    "check_index",
    "find_hits",
    "read_index",
    "with_originals",
    "write_index",
]
