"""Search duplicates as one pure function over tables."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from curation.dedup.compared_samples import ComparedSamples, check_samples, read_compared
from curation.dedup.config import DedupConfig
from curation.dedup.near_text import text_links
from curation.dedup.redundancy import find_redundant, redundancy_of
from curation.dedup.resolve import decide
from curation.dedup.result_tables import DecisionTables, group_table, result_tables, statistics
from curation.dedup.samples import Links, join_links, sample_links
from curation.dedup.schemas import DedupResult
from curation.dedup.threshold_sweep import sweep_images
from curation.matching.earlier_search import PictureSearch
from curation.matching.image_copies import Copies, find_copies, image_set
from curation.neighbors import NeighborsConfig, TileRunner
from medsift.reorder import sorted_rows
from medsift.storage.mapped_vectors import AnyVectors
from medsift.storage.vectors import ContentVectors


def deduplicate(
    samples: pa.Table,
    images: pa.Table,
    image_vectors: ContentVectors,
    text_vectors: AnyVectors,
    config: DedupConfig,
    *,
    neighbors: NeighborsConfig | None = None,
    seed: int = 0,
    run: TileRunner | None = None,
    earlier: PictureSearch | None = None,
) -> DedupResult:
    """Drop samples that repeat a kept one, and report copies, conflicts, leaks and the sweep.

    The result does not depend on the order of rows, images or vectors, nor on `run`.

    Args:
        samples: SAMPLES rows with `sample_id` and `images`.
        images: The IMAGES rows that decoded; an `image_id` may occur several times.
        image_vectors: Vectors of every image.
        text_vectors: Vectors of the text of every turn.
        config: What counts as a duplicate.
        neighbors: How near vectors are searched.
        seed: Of MinHash values and of the samples that reports look at.
        run: Spreads the tiles of searches over more than `neighbors.spread_above` rows.
        earlier: A search among some of the images by equal settings, which saves work.

    Raises:
        UsageError: an image or text without facts or vector, a row id given twice, or a priority
            that is no SQL expression over samples.
    """
    search = neighbors or NeighborsConfig()
    # A fixed order of rows makes every number below, not only the survivors, independent of it.
    samples = sorted_rows(samples, ["row_id"])
    known = image_set(images, image_vectors)
    check_samples(samples, known.ids)
    copies = find_copies(known, config.image, search, run, earlier)
    pool = read_compared(samples, known.ids, copies, text_vectors, config)
    links = _find_links(pool, config, seed)
    semantic: dict[str, Any] = {}
    if config.semantic.action == "report":
        semantic = redundancy_of(pool, known, config, search, seed, run)
    elif config.semantic.action == "drop":
        redundant, semantic = find_redundant(pool, known, config, search, run)
        links.append(redundant)
    # One decision over all links: deciding kind by kind could drop a row for a row that goes too.
    fates = decide(pool.order, pool.first, join_links(links))
    tables = result_tables(pool, fates, known.ids, config)
    looked_at = known, copies, pool.pictures, samples["modality"]
    return DedupResult(
        kept=samples.filter(pa.array(fates.kept)),
        decisions=tables.decisions,
        clusters=tables.clusters,
        conflicts=tables.conflicts,
        leaks=tables.leaks,
        sweep=sweep_images(*looked_at, search, limit=config.sweep_images, seed=seed, run=run),
        groups=group_table(known.ids, copies),
        stats=statistics(samples.num_rows, tables.decisions, copies, semantic),
        search=copies.search,
    )


def decide_shard(
    samples: pa.Table,
    ids: list[str],
    copies: Copies,
    text_vectors: AnyVectors,
    config: DedupConfig,
    seed: int,
) -> DecisionTables:
    """Decide on rows that nothing links to others, as `deduplicate` does on all of them.

    A search for redundant samples, which compares all with all, is left out.

    Args:
        samples: SAMPLES rows; no other row shows a copy of their pictures or has words near theirs.
        ids: Pictures, sorted: at least those that the rows show and all copies of those.
        copies: Confirmed copies among these pictures.
        text_vectors: Vectors of the text of every turn.
        config: What counts as a duplicate.
        seed: Of MinHash values.

    Raises:
        UsageError: as `deduplicate`.
    """
    samples = sorted_rows(samples, ["row_id"])
    check_samples(samples, ids)
    pool = read_compared(samples, ids, copies, text_vectors, config)
    fates = decide(pool.order, pool.first, join_links(_find_links(pool, config, seed)))
    return result_tables(pool, fates, ids, config)


def _find_links(pool: ComparedSamples, config: DedupConfig, seed: int) -> list[Links]:
    """Return pairs of which one must go: same or near words, on one picture or on none."""
    rows, conversations, pictures = pool.contents(), pool.conversations, pool.pictures
    return [
        sample_links(rows, conversations, pictures, pool.copies, config),
        text_links(rows, pool.order, conversations, pictures, config, seed),
    ]
