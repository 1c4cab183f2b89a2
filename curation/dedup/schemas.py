"""Declare the reasons and the result of the duplicate search."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa

from curation.matching.earlier_search import PictureSearch
from medsift.manifest.schema import arrow_schema

EXACT_COPY: Final = "exact_copy"
SAME_SAMPLE: Final = "same_sample"
IMAGE_COPY: Final = "image_copy"
PARAPHRASE: Final = "paraphrase"
NEAR_TEXT: Final = "near_text"
SEMANTIC: Final = "semantic"
KIND_OF_REASON: Final = {
    EXACT_COPY: "exact",
    SAME_SAMPLE: "sample",
    IMAGE_COPY: "sample",
    PARAPHRASE: "sample",
    NEAR_TEXT: "text",
    SEMANTIC: "semantic",
}
REASONS: Final = tuple(KIND_OF_REASON)
"""The strongest evidence first: of several reasons for one pair, the ledger names the first."""

CLUSTERS: Final = arrow_schema("clusters")
CONFLICTS: Final = arrow_schema("conflicts_found")
SWEEP: Final = arrow_schema("sweep")


@dataclass(frozen=True, slots=True)
class DedupResult:
    """The fate of every sample, and everything else that the search reports.

    `kept` and `decisions` split the input rows. `clusters` are the groups with their survivors,
    `conflicts` and `leaks` samples to look at, `sweep` counts what each cosine threshold would
    drop, `groups` gives the copy group of every image, named after its smallest image id. `search`
    is what the search among the images leaves for the next one.
    """

    kept: pa.Table
    decisions: pa.Table
    clusters: pa.Table
    conflicts: pa.Table
    leaks: pa.Table
    sweep: pa.Table
    groups: pa.Table
    stats: dict[str, Any]
    search: PictureSearch | None = None
