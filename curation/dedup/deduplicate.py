"""The duplicate search as one pure function over tables."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from curation.dedup.clusters import find_clusters, image_groups
from curation.dedup.config import DedupConfig
from curation.dedup.conflicts import find_conflicts
from curation.dedup.leaks import find_leaks
from curation.dedup.near_text import text_links
from curation.dedup.priority import survival_order
from curation.dedup.resolve import Fates, decide, first_of_content
from curation.dedup.samples import Links, Pictures, join_links, sample_links
from curation.dedup.schemas import REASONS, DedupResult
from curation.dedup.semantic import joint_vectors, semantic_links, semantic_report
from curation.dedup.threshold_sweep import drawn, sweep_images
from curation.matching.image_copies import Copies, ImageSet, find_copies, image_set
from curation.matching.text_match import Conversations, read_conversations
from curation.neighbors import NeighborsConfig, TileRunner
from medsift.arrays import Indices
from medsift.errors import UsageError
from medsift.records import DECISIONS, DROPPED
from medsift.reorder import sorted_rows
from medsift.storage.vectors import ContentVectors

STAGE = "dedup"


@dataclass(frozen=True, slots=True)
class _Pool:
    """Everything known about the samples (n) before any is dropped; `first` as in `decide`."""

    samples: pa.Table
    order: Indices
    first: Indices
    talks: Conversations
    pictures: Pictures
    images: ImageSet
    copies: Copies

    @property
    def distinct(self) -> Indices:
        """The first row of each content."""
        return np.flatnonzero(self.first == np.arange(len(self.first))).astype(np.int64)


def deduplicate(
    samples: pa.Table,
    images: pa.Table,
    image_vectors: ContentVectors,
    text_vectors: ContentVectors,
    config: DedupConfig,
    *,
    neighbors: NeighborsConfig | None = None,
    seed: int = 0,
    run: TileRunner | None = None,
) -> DedupResult:
    """Drop samples that repeat a kept one, and report copies, conflicts, leaks and the sweep.

    `samples` are SAMPLES rows with `sample_id` and `images`; `images` the IMAGES rows that decoded,
    where an `image_id` may stand several times; vectors cover every image and the text of every
    turn. The result does not depend on the order of any of them, nor on `run`, which may spread
    the tiles of searches over more than `neighbors.spread_above` rows over workers.

    Raises:
        UsageError: an image or text without facts or vector, a row id given twice, or a priority
            that is no SQL expression over samples.
    """
    search = neighbors or NeighborsConfig()
    # A fixed order of rows makes every number below, not only the survivors, independent of it.
    samples = sorted_rows(samples, ["row_id"])
    images_known = image_set(images, image_vectors)
    _check(samples, images_known.ids)
    pool = _read(samples, images_known, text_vectors, config, search, run)
    links, semantic = _links(pool, config, search, seed, run)
    fates = decide(pool.order, pool.first, links)
    return DedupResult(
        kept=samples.filter(pa.array(fates.kept)),
        decisions=_decisions(samples, fates),
        clusters=find_clusters(
            samples, fates, pool.images.ids, pool.pictures, pool.copies, pool.order
        ),
        conflicts=find_conflicts(samples, pool.talks, pool.pictures, pool.copies, config.sample),
        leaks=find_leaks(samples, pool.talks, pool.pictures, pool.copies, pool.order),
        sweep=sweep_images(
            pool.images,
            pool.copies,
            pool.pictures,
            samples["modality"].to_pylist(),
            search,
            limit=config.sweep_images,
            seed=seed,
            run=run,
        ),
        groups=image_groups(pool.images.ids, pool.copies),
        stats=_stats(pool, fates) | {"semantic": semantic},
    )


def _check(samples: pa.Table, images: list[str]) -> None:
    rows = samples["row_id"].to_pylist()
    if len(set(rows)) != len(rows):
        twice = Counter(rows).most_common(1)[0]
        raise UsageError(
            f"row id {twice[0]!r} stands {twice[1]} times; row ids must differ",
            code="samples_inconsistent",
        )
    known = set(images)
    for row, shown in zip(rows, samples["images"].to_pylist(), strict=True):
        for image in shown or ():
            if image not in known:
                raise UsageError(
                    f"row {row!r} shows image {image!r}, which the images table lacks; "
                    "pass the facts of every image that a sample shows",
                    code="samples_inconsistent",
                )


def _read(
    samples: pa.Table,
    images: ImageSet,
    texts: ContentVectors,
    config: DedupConfig,
    search: NeighborsConfig,
    run: TileRunner | None,
) -> _Pool:
    order = survival_order(samples, config.priority)
    return _Pool(
        samples=samples,
        order=order,
        first=first_of_content(samples["sample_id"].to_pylist(), order),
        talks=read_conversations(samples, texts),
        pictures=Pictures.of(samples["images"].to_pylist(), images.ids),
        images=images,
        copies=find_copies(images, config.image, search, run),
    )


def _links(
    pool: _Pool,
    config: DedupConfig,
    search: NeighborsConfig,
    seed: int,
    run: TileRunner | None,
) -> tuple[Links, dict[str, Any]]:
    """Pairs of which one must go, and what the semantic report found."""
    rows = pool.distinct
    found = [
        sample_links(rows, pool.talks, pool.pictures, pool.copies, config),
        text_links(rows, pool.order, pool.talks, pool.pictures, config, seed),
    ]
    rule = config.semantic
    if rule.action == "off":
        return join_links(found), {}
    ids = pool.samples["sample_id"].to_pylist()
    keys = [ids[row] for row in rows.tolist()]
    looked = rows[drawn(keys, rule.report_rows, seed)] if rule.action == "report" else rows
    joint = joint_vectors(looked, pool.talks, pool.pictures, pool.images, rule)
    report: dict[str, Any] = {"distinct": len(rows)}
    if rule.action == "report":
        counted = semantic_report(looked, pool.order, joint, search, run)
        return join_links(found), report | counted
    links, made = semantic_links(looked, pool.talks, joint, rule, search, run)
    report |= {"rows": len(rows), "recall": made.recall, "method": made.method}
    return join_links([*found, links]), report


def _decisions(samples: pa.Table, fates: Fates) -> pa.Table:
    dropped = np.flatnonzero(~fates.kept)
    rows, ids = samples["row_id"], samples["sample_id"]
    columns = {
        "row_id": rows.take(pa.array(dropped)),
        "sample_id": ids.take(pa.array(dropped)),
        "stage": pa.array([STAGE] * len(dropped), pa.string()),
        "action": pa.array([DROPPED] * len(dropped), pa.string()),
        "reason": pa.array([REASONS[code] for code in fates.reason[dropped]], pa.string()),
        "witness": rows.take(pa.array(fates.witness[dropped])),
        "value": pa.array(fates.value[dropped], pa.float64()),
        "threshold": pa.array(fates.threshold[dropped], pa.float64()),
        "detail": pa.nulls(len(dropped), pa.string()),
    }
    return pa.Table.from_arrays(list(columns.values()), schema=DECISIONS)


def _stats(pool: _Pool, fates: Fates) -> dict[str, Any]:
    reasons = Counter(REASONS[code] for code in fates.reason[~fates.kept].tolist())
    copies = pool.copies
    return {
        "rows": pool.samples.num_rows,
        "kept": int(fates.kept.sum()),
        "dropped": dict(sorted(reasons.items())),
        "images": len(pool.images.ids),
        "image_groups": len(np.unique(copies.group)),
        "image_candidates": copies.candidates,
        "image_pairs_compared": copies.compared,
        "image_pairs_left_out": copies.left_out,
        "image_copies": len(copies.pairs),
        "image_pairs_mirrored": copies.mirrored,
        "image_recall": copies.recall,
        "image_method": copies.method,
    }
