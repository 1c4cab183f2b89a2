"""Search duplicates as one pure function over tables."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from curation.dedup.clusters import find_clusters
from curation.dedup.config import DedupConfig
from curation.dedup.conflicts import find_conflicts
from curation.dedup.leaks import find_leaks
from curation.dedup.near_text import text_links
from curation.dedup.priority import survival_order
from curation.dedup.resolve import Fates, decide, first_of_content
from curation.dedup.samples import Links, Pictures, join_links, sample_links
from curation.dedup.schemas import REASONS, DedupResult
from curation.dedup.semantic import joint_vectors, semantic_links
from curation.dedup.threshold_sweep import THRESHOLDS, draw, nearest_earlier, sweep_images
from curation.matching.image_copies import Copies, ImageSet, find_copies, image_set
from curation.matching.text_match import Conversations, read_conversations
from curation.neighbors import NeighborsConfig, TileRunner
from medsift.arrays import Indices
from medsift.errors import UsageError
from medsift.records import DECISIONS, DROPPED, GROUPS
from medsift.reorder import sorted_rows
from medsift.storage.vectors import ContentVectors


@dataclass(frozen=True, slots=True)
class _Pool:
    """Everything known about the samples (n) before any is dropped; `first` as in `decide`."""

    samples: pa.Table
    order: Indices
    first: Indices
    conversations: Conversations
    pictures: Pictures
    images: ImageSet
    copies: Copies


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

    Raises:
        UsageError: an image or text without facts or vector, a row id given twice, or a priority
            that is no SQL expression over samples.
    """
    search = neighbors or NeighborsConfig()
    # A fixed order of rows makes every number below, not only the survivors, independent of it.
    samples = sorted_rows(samples, ["row_id"])
    known = image_set(images, image_vectors)
    _check(samples, known.ids)
    order = survival_order(samples, config.priority)
    pool = _Pool(
        samples=samples,
        order=order,
        first=first_of_content(samples["sample_id"].to_pylist(), order),
        conversations=read_conversations(samples, text_vectors),
        pictures=Pictures.of(samples["images"].to_pylist(), known.ids),
        images=known,
        copies=find_copies(known, config.image, search, run),
    )
    links, semantic = _find_links(pool, config, search, seed, run)
    # One decision over all links: deciding kind by kind could drop a row for a row that goes too.
    fates = decide(order, pool.first, links)
    content = pool.conversations, pool.pictures, pool.copies
    looked_at = known, pool.copies, pool.pictures, samples["modality"].to_pylist()
    group = [known.ids[image] for image in pool.copies.group.tolist()]
    reasons = Counter(REASONS[code] for code in fates.reason[~fates.kept].tolist())
    stats = {
        "rows": pool.samples.num_rows,
        "kept": int(fates.kept.sum()),
        "dropped": dict(sorted(reasons.items())),
        "images": len(pool.images.ids),
        "image_groups": len(np.unique(pool.copies.group)),
        "image_candidates": pool.copies.candidates,
        "image_pairs_compared": pool.copies.compared,
        "image_pairs_left_out": pool.copies.left_out,
        "image_copies": len(pool.copies.pairs),
        "image_pairs_mirrored": pool.copies.mirrored,
        "image_recall": pool.copies.recall,
        "image_method": pool.copies.method,
        "semantic": semantic,
    }
    return DedupResult(
        kept=samples.filter(pa.array(fates.kept)),
        decisions=_decisions(samples, fates),
        clusters=find_clusters(samples, fates, known.ids, pool.pictures, pool.copies, order),
        conflicts=find_conflicts(samples, *content, config.sample),
        leaks=find_leaks(samples, *content, order),
        sweep=sweep_images(*looked_at, search, limit=config.sweep_images, seed=seed, run=run),
        groups=pa.table([pa.array(known.ids), pa.array(group)], GROUPS),
        stats=stats,
    )


def _check(samples: pa.Table, images: list[str]) -> None:
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


def _find_links(
    pool: _Pool, config: DedupConfig, search: NeighborsConfig, seed: int, run: TileRunner | None
) -> tuple[Links, dict[str, Any]]:
    """Return pairs of which one must go, and the counts of the semantic search."""
    # Copies of one content share its fate, so the searches see each content once.
    rows = np.flatnonzero(pool.first == np.arange(len(pool.first))).astype(np.int64)
    conversations, pictures, rule = pool.conversations, pool.pictures, config.semantic
    links = [
        sample_links(rows, conversations, pictures, pool.copies, config),
        text_links(rows, pool.order, conversations, pictures, config, seed),
    ]
    if rule.action == "off":
        return join_links(links), {}
    examined = rows
    if rule.action == "report":
        ids = pool.samples["sample_id"].to_pylist()
        examined = rows[draw([ids[row] for row in rows.tolist()], rule.report_rows, seed)]
    joint = joint_vectors(examined, conversations, pictures, pool.images, rule)
    if rule.action == "report":
        rank = np.argsort(np.argsort(pool.order)[examined]).astype(np.int64)
        nearest = nearest_earlier(joint, rank, search, run)
        counts = {f"{at:.2f}": int((nearest >= at).sum()) for at in THRESHOLDS}
        report = {"rows": len(examined), "redundant": counts, "recall": 1.0, "method": "exact"}
    else:
        redundant, pairs = semantic_links(examined, conversations, joint, rule, search, run)
        links.append(redundant)
        report = {"rows": len(rows), "recall": pairs.recall, "method": pairs.method}
    return join_links(links), {"distinct": len(rows), **report}


def _decisions(samples: pa.Table, fates: Fates) -> pa.Table:
    dropped = np.flatnonzero(~fates.kept)
    rows = samples["row_id"]
    columns = {
        "row_id": rows.take(pa.array(dropped)),
        "sample_id": samples["sample_id"].take(pa.array(dropped)),
        "stage": pa.array(["dedup"] * len(dropped), pa.string()),
        "action": pa.array([DROPPED] * len(dropped), pa.string()),
        "reason": pa.array([REASONS[code] for code in fates.reason[dropped]], pa.string()),
        "witness": rows.take(pa.array(fates.witness[dropped])),
        "value": pa.array(fates.value[dropped], pa.float64()),
        "threshold": pa.array(fates.threshold[dropped], pa.float64()),
        "detail": pa.nulls(len(dropped), pa.string()),
    }
    return pa.Table.from_arrays(list(columns.values()), schema=DECISIONS)
