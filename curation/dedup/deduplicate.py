"""The duplicate search as one pure function over tables."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa

from curation.dedup.clusters import find_clusters, image_groups
from curation.dedup.config import DedupConfig
from curation.dedup.conflicts import find_conflicts
from curation.dedup.conversations import Conversations, read_conversations
from curation.dedup.images import Copies, ImageSet, find_copies, image_set
from curation.dedup.leaks import find_leaks
from curation.dedup.order import survival_order
from curation.dedup.samples import Links, Pictures, join_links, sample_links
from curation.dedup.semantic import joint_vectors, semantic_links, semantic_report
from curation.dedup.survivors import Fates, decide, first_of_content
from curation.dedup.sweep import drawn, sweep_images
from curation.dedup.tables import REASONS, ContentVectors, DedupResult, Indices
from curation.dedup.texts import text_links
from curation.errors import UsageError
from curation.neighbors import NeighborsConfig
from curation.records import DECISIONS, DROPPED

STAGE = "dedup"


def deduplicate(
    samples: pa.Table,
    images: pa.Table,
    image_vectors: ContentVectors,
    text_vectors: ContentVectors,
    config: DedupConfig,
    *,
    neighbors: NeighborsConfig | None = None,
    seed: int = 0,
) -> DedupResult:
    """Drop samples that repeat a kept one, and report copies, conflicts, leaks and the sweep.

    `samples` are SAMPLES rows with `sample_id` and `images`; `images` the IMAGES rows that decoded,
    where an `image_id` may stand several times; vectors cover every image and the text of every
    turn. The result does not depend on the order of any of them.

    Raises:
        UsageError: an image or text without facts or vector, a row id given twice, or a priority
            that is no SQL expression over samples.
    """
    search = neighbors or NeighborsConfig()
    # A fixed order of rows makes every number below, not only the survivors, independent of it.
    samples = samples.sort_by("row_id").combine_chunks()
    _check_rows(samples)
    order = survival_order(samples, config.priority)
    pool = image_set(images, image_vectors)
    copies = find_copies(pool, config.image, search)
    talks = read_conversations(samples, text_vectors)
    pictures = Pictures.of(samples["images"].to_pylist(), pool.ids)
    first = first_of_content(samples["sample_id"].to_pylist(), order)
    rows = np.flatnonzero(first == np.arange(len(first))).astype(np.int64)
    links, semantic = _all_links(samples, rows, order, talks, pictures, pool, copies, config, search, seed)
    fates = decide(order, first, links)
    return DedupResult(
        kept=samples.filter(pa.array(fates.kept)),
        decisions=_decisions(samples, fates),
        clusters=find_clusters(samples, fates, pool.ids, pictures, copies, order),
        conflicts=find_conflicts(samples, talks, pictures, copies, config.sample),
        leaks=find_leaks(samples, talks, pictures, copies, order),
        sweep=sweep_images(
            pool,
            copies,
            pictures,
            samples["modality"].to_pylist(),
            search,
            limit=config.sweep_images,
            seed=seed,
        ),
        groups=image_groups(pool.ids, copies),
        stats=_stats(samples, fates, pool, copies, semantic, config, seed),
    )
