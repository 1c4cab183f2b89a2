"""Find samples whose vectors say that another sample teaches the same, or count them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from curation.dedup.compared_samples import ComparedSamples, read_compared
from curation.dedup.config import DedupConfig
from curation.dedup.samples import Links
from curation.dedup.semantic import joint_vectors, semantic_links
from curation.dedup.threshold_sweep import THRESHOLDS, draw, nearest_earlier
from curation.matching.image_copies import Copies, ImageSet
from curation.neighbors import NeighborsConfig, TileRunner
from medsift.reorder import sorted_rows
from medsift.storage.mapped_vectors import AnyVectors


def find_redundant(
    pool: ComparedSamples,
    images: ImageSet,
    config: DedupConfig,
    search: NeighborsConfig,
    run: TileRunner | None,
) -> tuple[Links, dict[str, Any]]:
    """Return pairs of redundant samples, and the counts of their search."""
    rows = pool.contents()
    joint = joint_vectors(rows, pool.conversations, pool.pictures, images, config.semantic)
    links, pairs = semantic_links(rows, pool.conversations, joint, config.semantic, search, run)
    counts = {"rows": len(rows), "recall": pairs.recall, "method": pairs.method}
    return links, {"distinct": len(rows), **counts}


def count_redundant(
    samples: pa.Table,
    images: ImageSet,
    copies: Copies,
    text_vectors: AnyVectors,
    config: DedupConfig,
    search: NeighborsConfig,
    seed: int,
    run: TileRunner | None = None,
) -> dict[str, Any]:
    """Return how many of these contents each threshold on cosine would find redundant.

    Args:
        samples: All rows (n) of the contents.
        images: At least the pictures that they show.
        copies: Copies among those.
        text_vectors: Vectors of the text of every turn.
        config: The parts of joint vectors, and the order in which rows survive.
        search: How near vectors are searched.
        seed: Of the draw, where there are more contents than the report looks at.
        run: Spreads a large search over workers.
    """
    pool = read_compared(sorted_rows(samples, ["row_id"]), images.ids, copies, text_vectors, config)
    return redundancy_of(pool, images, config, search, seed, run)


def redundancy_of(
    pool: ComparedSamples,
    images: ImageSet,
    config: DedupConfig,
    search: NeighborsConfig,
    seed: int,
    run: TileRunner | None,
) -> dict[str, Any]:
    """Return how many rows each threshold would find redundant, by a sample of the contents."""
    rows, rule = pool.contents(), config.semantic
    ids = pool.samples["sample_id"].take(pa.array(rows)).to_pylist()
    examined = rows[draw(ids, rule.report_rows, seed)]
    joint = joint_vectors(examined, pool.conversations, pool.pictures, images, rule)
    rank = np.argsort(np.argsort(pool.order)[examined]).astype(np.int64)
    nearest = nearest_earlier(joint, rank, search, run)
    counts = {f"{at:.2f}": int((nearest >= at).sum()) for at in THRESHOLDS}
    report = {"rows": len(examined), "redundant": counts, "recall": 1.0, "method": "exact"}
    return {"distinct": len(rows), **report}
