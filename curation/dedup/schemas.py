"""Declare the inputs and outputs of the duplicate search: reasons, schemas, result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa

from medsift.manifest.schema import arrow_schema

EXACT_COPY: Final = "exact_copy"
SAME_SAMPLE: Final = "same_sample"
IMAGE_COPY: Final = "image_copy"
PARAPHRASE: Final = "paraphrase"
NEAR_TEXT: Final = "near_text"
SEMANTIC: Final = "semantic"
REASONS: Final = (EXACT_COPY, SAME_SAMPLE, IMAGE_COPY, PARAPHRASE, NEAR_TEXT, SEMANTIC)
KIND_OF_REASON: Final = {
    EXACT_COPY: "exact",
    SAME_SAMPLE: "sample",
    IMAGE_COPY: "sample",
    PARAPHRASE: "sample",
    NEAR_TEXT: "text",
    SEMANTIC: "semantic",
}


CLUSTERS: Final = arrow_schema("clusters")
CONFLICTS: Final = arrow_schema("conflicts_found")
SWEEP: Final = arrow_schema("sweep")


@dataclass(frozen=True, slots=True)
class DedupResult:
    """The fate of every sample, and what the search found on the way.

    `kept` and `decisions` split the input rows. `clusters` holds the groups with their survivors,
    `conflicts` and `leaks` samples to look at, `sweep` what each cosine threshold would drop,
    `groups` the copy group of every image, `stats` counts.
    """

    kept: pa.Table
    decisions: pa.Table
    clusters: pa.Table
    conflicts: pa.Table
    leaks: pa.Table
    sweep: pa.Table
    groups: pa.Table
    stats: dict[str, Any]
