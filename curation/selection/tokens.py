"""Estimate what a sample costs a trainer, without a tokenizer."""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from medsift.arrays import Indices

BYTES_PER_TOKEN: Final = 4


def estimated_tokens(samples: pa.Table, image_tokens: int = 0) -> Indices:
    """Estimated tokens (n,) of SAMPLES rows.

    UTF-8 bytes of all turns / 4, rounded up: near what byte-pair vocabularies make of English
    prose, and of Chinese, whose letters have three bytes. Roles and templates count nothing, a
    picture counts `image_tokens`.
    """
    # Batch by batch, since all turns together may be more than one Arrow array can hold.
    batches = samples.select(["messages", "images"]).to_batches()
    counted = [_tokens(batch, image_tokens) for batch in batches]
    return np.concatenate(counted) if counted else np.zeros(0, np.int64)


def _tokens(samples: pa.RecordBatch, image_tokens: int) -> Indices:
    turns, pictures = samples["messages"], samples["images"]
    content = pc.struct_field(pc.list_flatten(turns), "content")
    size = pc.fill_null(pc.binary_length(content), 0).to_numpy(zero_copy_only=False)
    owner = pc.list_parent_indices(turns).to_numpy()
    total = np.bincount(owner, weights=size, minlength=samples.num_rows).astype(np.int64)
    shown = pc.fill_null(pc.list_value_length(pictures), 0).to_numpy(zero_copy_only=False)
    found: Indices = -(-total // BYTES_PER_TOKEN) + image_tokens * shown.astype(np.int64)
    return found
