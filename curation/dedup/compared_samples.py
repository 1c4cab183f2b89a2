"""Put together what a search for duplicates knows of its samples before any is dropped."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from curation.dedup.config import DedupConfig
from curation.dedup.priority import survival_order
from curation.dedup.resolve import first_of_content
from curation.dedup.samples import Pictures
from curation.matching.image_copies import Copies
from curation.matching.text_match import Conversations, read_conversations
from medsift.arrays import Indices
from medsift.errors import UsageError
from medsift.storage.mapped_vectors import AnyVectors


@dataclass(frozen=True, slots=True)
class ComparedSamples:
    """Everything known about the samples (n) before any is dropped; `first` as in `decide`."""

    samples: pa.Table
    order: Indices
    first: Indices
    conversations: Conversations
    pictures: Pictures
    copies: Copies

    def contents(self) -> Indices:
        """Return the first row of each content: copies share its fate, and would multiply pairs."""
        return np.flatnonzero(self.first == np.arange(len(self.first))).astype(np.int64)


def read_compared(
    samples: pa.Table,
    ids: list[str],
    copies: Copies,
    text_vectors: AnyVectors,
    config: DedupConfig,
) -> ComparedSamples:
    """Read samples that are in the order of their row ids.

    Args:
        samples: SAMPLES rows.
        ids: Pictures, sorted.
        copies: Confirmed copies among these pictures.
        text_vectors: Vectors of the text of every turn.
        config: The order in which rows survive.
    """
    order = survival_order(samples, config.priority)
    return ComparedSamples(
        samples=samples,
        order=order,
        first=first_of_content(samples["sample_id"].to_pylist(), order),
        conversations=read_conversations(samples, text_vectors),
        pictures=Pictures.of(samples["images"].to_pylist(), ids),
        copies=copies,
    )


def check_samples(samples: pa.Table, images: list[str]) -> None:
    """Raise UsageError for a row id given twice, or a picture that is not among `images`."""
    rows = samples["row_id"].to_pylist()
    if len(set(rows)) != len(rows):
        row, count = Counter(rows).most_common(1)[0]
        raise UsageError(
            f"row id {row!r} occurs {count} times; give every row its own id",
            code="samples_inconsistent",
            row_id=row,
            count=count,
        )
    known = set(images)
    for row, shown in zip(rows, samples["images"].to_pylist(), strict=True):
        for image in shown or ():
            if image not in known:
                raise UsageError(
                    f"row {row!r} shows image {image!r}, which the images table lacks; "
                    "pass the facts of every image that a sample shows",
                    code="samples_inconsistent",
                    row_id=row,
                    image_id=image,
                )
