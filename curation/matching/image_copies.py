"""Which pictures are copies of each other: cheap candidates, decided by pixels."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from curation.matching.candidate_pairs import Bridges, Shortlisted
from curation.matching.registration import Thumbs, agree, glances, mirrored
from curation.matching.settings import ImageCopyConfig
from curation.neighbors import (
    Method,
    NeighborsConfig,
    Pairs,
    TileRunner,
    connected_components,
    iter_hamming,
    iter_pairs,
    join_pairs,
)
from medsift.arrays import Doubles, Floats, Indices
from medsift.records import THUMB_SIDE
from medsift.reorder import taken_rows
from medsift.storage.vectors import ContentVectors

logger = logging.getLogger(__name__)

HASH_BITS = 64
GLANCES_AT_A_TIME = 65_536


@dataclass(frozen=True, slots=True)
class ImageSet:
    """Distinct pictures: `ids` (n) sorted, bits of the hash (n, 64) as ±1/8, thumbs, vectors."""

    ids: list[str]
    bits: Floats
    thumbs: Thumbs
    vectors: Floats


@dataclass(frozen=True, slots=True)
class Copies:
    """Confirmed copies among n pictures.

    `pairs` are direct copies with their detail correlation; `group` (n,) is the smallest picture
    of the group that pairs connect; `left_out` counts candidates that were not among the best of
    either picture and so were not compared; `recall` is the least share of candidates that the
    search found by `method` (1.0 where it was exact).
    """

    pairs: Pairs
    group: Indices
    candidates: int
    left_out: int
    compared: int
    mirrored: int
    recall: float
    method: Method


def image_set(images: pa.Table, vectors: ContentVectors) -> ImageSet:
    """Distinct pictures of an IMAGES table, with their vectors.

    Raises:
        UsageError: a picture has no vector.
    """
    names = np.array(images["image_id"].to_pylist(), dtype=object)
    ids, first = np.unique(names.astype(str), return_index=True)
    facts = taken_rows(images.select(["phash", "thumb"]), first)
    hashes = np.array([int(text, 16) for text in facts["phash"].to_pylist()], dtype=">u8")
    bits = np.unpackbits(hashes.view(np.uint8).reshape(-1, 8), axis=1).astype(np.float32)
    thumbs = np.frombuffer(bytearray().join(facts["thumb"].to_pylist()), dtype=np.uint8)
    listed = [str(name) for name in ids]
    return ImageSet(
        ids=listed,
        bits=(2.0 * bits - 1.0) / np.float32(np.sqrt(HASH_BITS)),
        thumbs=thumbs.reshape(-1, THUMB_SIDE, THUMB_SIDE),
        vectors=vectors.rows(listed, "images"),
    )


def find_copies(
    images: ImageSet,
    config: ImageCopyConfig,
    neighbors: NeighborsConfig,
    run: TileRunner | None = None,
) -> Copies:
    """Find the pairs of pictures that show the same pixels, altered at most.

    Re-encoded, resized, brightened, slightly cropped and slightly rotated pictures are copies;
    mirrored ones are not.
    """
    n = len(images.ids)
    candidates = find_candidates(images, config, neighbors, run)
    pairs, turned = _confirmed(images.thumbs, candidates.left, candidates.right, config)
    compared, mirrors = len(candidates.left), turned
    group = connected_components(n, pairs) if n else np.empty(0, np.int64)
    # Only a family of more copies than partners fills the lists of all its own.
    while n and np.bincount(group).max() > config.candidates_per_image:
        across = find_candidates(images, config, neighbors, run, group)
        more, turned = _confirmed(images.thumbs, across.left, across.right, config)
        compared += len(across.left)
        if not len(more):
            break
        pairs = join_pairs([pairs, more])
        group = connected_components(n, pairs)
        mirrors += turned
    logger.info(
        "%d candidate image pairs, %d compared, %d left out, %d copies",
        candidates.counted,
        compared,
        candidates.left_out,
        len(pairs),
    )
    return Copies(
        pairs=pairs,
        group=group,
        candidates=candidates.counted,
        left_out=candidates.left_out,
        compared=compared,
        mirrored=mirrors,
        recall=candidates.recall,
        method="exact" if n <= neighbors.exact_up_to else "ivf",
    )


def _confirmed(
    thumbs: Thumbs, left: Indices, right: Indices, config: ImageCopyConfig
) -> tuple[Pairs, int]:
    """The pairs that pixels confirm, and how many they would but for a mirrored picture."""
    found = agree(thumbs, left, right)
    alike = found.correlation >= config.registered_correlation
    alike &= found.detail >= config.detail_correlation
    left, right, detail = left[alike], right[alike], found.detail[alike]
    turned = mirrored(thumbs, left, right, detail)
    pairs = Pairs.of(left[~turned], right[~turned], detail[~turned].astype(np.float64))
    return pairs, int(turned.sum())


def pair_similarity(copies: Copies, one: Indices, other: Indices) -> Doubles:
    """Detail correlation (p,) of pictures: 1 for the same picture, NaN where not direct copies."""
    n = len(copies.group)
    keys = copies.pairs.left * n + copies.pairs.right
    wanted = np.minimum(one, other) * n + np.maximum(one, other)
    place = np.searchsorted(keys, wanted)
    inside = place < len(keys)
    found = np.full(len(wanted), np.nan)
    hit = np.flatnonzero(inside)[keys[place[inside]] == wanted[inside]]
    found[hit] = copies.pairs.similarity[place[hit]]
    found[one == other] = 1.0
    return found


@dataclass(frozen=True, slots=True)
class ImageCandidates:
    """Pairs (p,) that pixels will decide; `counted` before and `left_out` by the limit."""

    left: Indices
    right: Indices
    counted: int
    left_out: int
    recall: float


def find_candidates(
    images: ImageSet,
    config: ImageCopyConfig,
    neighbors: NeighborsConfig,
    run: TileRunner | None = None,
    group: Indices | None = None,
) -> ImageCandidates:
    """Pairs near by hash or cosine whose blurred miniatures agree, the best of each picture.

    With the groups (n,) that are known: the best pairs between each group and others.
    """
    n = max(len(images.ids), 1)
    glance = glances(images.thumbs)
    # The scalar product of ±1/8 vectors is 1 - 2 * distance / 64, exactly.
    near_hash = 1.0 - 2.0 * config.hash_distance / HASH_BITS
    keys, counted, left_out, recall = [np.empty(0, np.int64)], 0, 0, 1.0
    searches = (
        _search_hashes(images.bits, near_hash, config.hash_distance, neighbors, run),
        _search(images.vectors, config.cosine, neighbors, run),
    )
    for search in searches:
        best = (
            Shortlisted(config.candidates_per_image)
            if group is None
            else Bridges(config.candidates_per_image, group)
        )
        for pairs, share in search:
            best.add(pairs, correlate(glance, pairs))
            counted, recall = counted + len(pairs), min(recall, share)
        left, right = best.best()
        keys.append(left * n + right)
        left_out += best.left_out
    distinct = np.unique(np.concatenate(keys))
    return ImageCandidates(distinct // n, distinct % n, counted, left_out, recall)


def _search(
    vectors: Floats, threshold: float, neighbors: NeighborsConfig, run: TileRunner | None
) -> Iterator[tuple[Pairs, float]]:
    """Pairs above a threshold and the share that is found, tile by tile: they may be too many."""
    run = neighbors.runner(len(vectors), run)
    if len(vectors) > neighbors.exact_up_to:
        cells = neighbors.cells(vectors, threshold)
        for pairs in cells:
            yield pairs, 1.0
        yield Pairs.empty(), cells.recall
    elif len(vectors):
        for pairs in iter_pairs(
            vectors, threshold, tile=neighbors.tile, device=neighbors.device, run=run
        ):
            yield pairs, 1.0


def _search_hashes(
    bits: Floats,
    threshold: float,
    distance: int,
    neighbors: NeighborsConfig,
    run: TileRunner | None,
) -> Iterator[tuple[Pairs, float]]:
    """Pairs near by hash, all of them however many pictures there are."""
    if len(bits) <= neighbors.exact_up_to:
        yield from _search(bits, threshold, neighbors, run)
        return
    codes = np.packbits(bits > 0, axis=1).view(">u8")[:, 0].astype(np.uint64)
    for pairs in iter_hamming(codes, distance):
        yield pairs, 1.0


def correlate(glance: Floats, pairs: Pairs) -> Floats:
    """Correlation (p,) of the blurred miniatures of pairs."""
    found = np.empty(len(pairs), np.float32)
    for start in range(0, len(pairs), GLANCES_AT_A_TIME):
        part = slice(start, start + GLANCES_AT_A_TIME)
        one, other = glance[pairs.left[part]], glance[pairs.right[part]]
        found[part] = np.einsum("pd,pd->p", one, other)
    return found
