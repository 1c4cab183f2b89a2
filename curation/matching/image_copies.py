"""Find pictures that are copies of each other: cheap candidates, decided by pixels."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from curation.matching.candidate_pairs import Bridges, Shortlisted
from curation.matching.registration import Agreement, Thumbs, agree, glances, mirrored
from curation.matching.settings import ImageCopyConfig
from curation.neighbors import (
    CellSearch,
    Method,
    NeighborsConfig,
    Pairs,
    TileRunner,
    iter_hamming,
    iter_pairs,
    join_pairs,
)
from medsift.arrays import Doubles, Flags, Floats, Indices
from medsift.connected import connected_components
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

    @classmethod
    def of(
        cls,
        ids: Sequence[str],
        hashes: Sequence[str],
        miniatures: Sequence[bytes | None],
        vectors: Floats,
    ) -> ImageSet:
        """Unpack hashes and miniatures.

        Args:
            ids: Ids of the pictures (n), sorted.
            hashes: Perceptual hash of each (n), as hexadecimal text of 64 bits.
            miniatures: Grey values of each (n), 64 * 64 bytes by rows; None becomes zeros.
            vectors: Image vectors (n, d): unit, or zero where a picture has none.
        """
        codes = np.array([int(text, 16) for text in hashes], dtype=">u8")
        bits = np.unpackbits(codes.view(np.uint8).reshape(-1, 8), axis=1).astype(np.float32)
        blank = bytes(THUMB_SIDE * THUMB_SIDE)
        joined = bytearray().join(miniature or blank for miniature in miniatures)
        return cls(
            ids=list(ids),
            bits=(2.0 * bits - 1.0) / np.float32(np.sqrt(HASH_BITS)),
            thumbs=np.frombuffer(joined, np.uint8).reshape(-1, THUMB_SIDE, THUMB_SIDE),
            vectors=vectors,
        )


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
    """Return the distinct pictures of an IMAGES table, with their vectors.

    Raises:
        UsageError: a picture has no vector.
    """
    names = np.array(images["image_id"].to_pylist(), dtype=object)
    ids, first = np.unique(names.astype(str), return_index=True)
    facts = taken_rows(images.select(["phash", "thumb"]), first)
    listed = [str(name) for name in ids]
    hashes, miniatures = (facts[name].to_pylist() for name in ("phash", "thumb"))
    return ImageSet.of(listed, hashes, miniatures, vectors.rows(listed, "images"))


def find_copies(
    images: ImageSet,
    config: ImageCopyConfig,
    neighbors: NeighborsConfig,
    run: TileRunner | None = None,
) -> Copies:
    """Find the pairs of pictures that show the same pixels, altered at most.

    Re-encoded, resized, brightened, slightly cropped and slightly rotated pictures are copies;
    mirrored ones are not: left and right are findings.

    Args:
        images: The pictures (n) to compare with each other.
        config: When two pictures are candidates, and when copies.
        neighbors: How near vectors and hashes are searched.
        run: Spreads a large search over workers; None is this process.
    """
    n = len(images.ids)
    candidates = find_candidates(images, config, neighbors, run)
    pairs, mirrors = _confirm(images.thumbs, candidates, config)
    compared = len(candidates.left)
    group = connected_components(n, pairs.left, pairs.right)
    # Only a family of more copies than partners fills the lists of all its own.
    while n and np.bincount(group).max() > config.candidates_per_image:
        across = find_candidates(images, config, neighbors, run, group)
        more, mirrored_more = _confirm(images.thumbs, across, config)
        compared += len(across.left)
        if not len(more):
            break
        pairs = join_pairs([pairs, more])
        group = connected_components(n, pairs.left, pairs.right)
        mirrors += mirrored_more
    counts = candidates.counted, compared, candidates.left_out, len(pairs)
    logger.info("%d candidate image pairs, %d compared, %d left out, %d copies", *counts)
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


def _confirm(
    thumbs: Thumbs, candidates: ImageCandidates, config: ImageCopyConfig
) -> tuple[Pairs, int]:
    """Return the pairs that pixels confirm, and how many fit better mirrored and so do not."""
    agreement = agree(thumbs, candidates.left, candidates.right)
    copy = is_copy(agreement, config)
    left, right = candidates.left[copy], candidates.right[copy]
    detail = agreement.detail[copy]
    flipped = mirrored(thumbs, left, right, detail)
    pairs = Pairs.of(left[~flipped], right[~flipped], detail[~flipped].astype(np.float64))
    return pairs, int(flipped.sum())


def is_copy(agreement: Agreement, config: ImageCopyConfig) -> Flags:
    """Return whether pairs (p,) show the same pixels, mirror images aside.

    Whole pictures of two patients in one view correlate as well as copies do; only the fine
    structure separates them.
    """
    whole: Flags = agreement.correlation >= config.registered_correlation
    return whole & (agreement.detail >= config.detail_correlation)


def pair_similarity(copies: Copies, left: Indices, right: Indices) -> Doubles:
    """Return the detail correlation (p,) of pictures: 1 for the same, NaN if no direct copies."""
    n = len(copies.group)
    # Sorted, as `Pairs` are; the last key is no pair's and ends every search.
    keys = np.append(copies.pairs.left * n + copies.pairs.right, -1)
    wanted = np.minimum(left, right) * n + np.maximum(left, right)
    place = np.searchsorted(keys[:-1], wanted)
    known = np.append(copies.pairs.similarity, np.nan)
    similarity = np.where(keys[place] == wanted, known[place], np.nan)
    # A picture is no pair with itself in the list of copies.
    similarity[left == right] = 1.0
    return similarity


@dataclass(frozen=True, slots=True)
class ImageCandidates:
    """Pairs (p,) that pixels will decide.

    `counted` is their number before the limit of candidates per image, `left_out` that of the
    pairs beyond it, `recall` the least share of near pairs that a search found.
    """

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
    """Return pairs near by hash or cosine whose blurred miniatures agree, the best of each picture.

    Args:
        images: Pictures to compare.
        config: From which similarity pairs are candidates, and how many of each picture.
        neighbors: How near vectors are searched.
        run: Spreads a large search over workers.
        group: Known groups (n,): then only the best pairs between each group and others.
    """
    n, most = max(len(images.ids), 1), config.candidates_per_image
    glance = glances(images.thumbs)
    keys, counted, left_out, recall = [], 0, 0, 1.0
    searches = (
        _search_hashes(images.bits, config.hash_distance, neighbors, run),
        _search(images.vectors, config.cosine, neighbors, run),
    )
    for search in searches:
        best = Shortlisted(most) if group is None else Bridges(most, group)
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
    """Yield pairs above a threshold tile by tile, as they may be too many, each with the recall."""
    run = neighbors.runner(len(vectors), run)
    if len(vectors) > neighbors.exact_up_to:
        cells = CellSearch(vectors, threshold, neighbors)
        for pairs in cells:
            yield pairs, 1.0
        yield Pairs.empty(), cells.recall
    elif len(vectors):
        for pairs in iter_pairs(
            vectors, threshold, tile=neighbors.tile, device=neighbors.device, run=run
        ):
            yield pairs, 1.0


def _search_hashes(
    bits: Floats, distance: int, neighbors: NeighborsConfig, run: TileRunner | None
) -> Iterator[tuple[Pairs, float]]:
    """Yield all pairs near by hash, however many pictures there are."""
    if len(bits) <= neighbors.exact_up_to:
        # The scalar product of ±1/8 vectors is 1 - 2 * distance / 64, exactly.
        yield from _search(bits, 1.0 - 2.0 * distance / HASH_BITS, neighbors, run)
        return
    # Cells miss pairs; comparing 64-bit codes is cheap enough to miss none.
    codes = np.packbits(bits > 0, axis=1).view(">u8")[:, 0].astype(np.uint64)
    for pairs in iter_hamming(codes, distance):
        yield pairs, 1.0


def correlate(glance: Floats, pairs: Pairs) -> Floats:
    """Return the correlation (p,) of the blurred miniatures of pairs."""
    correlation = np.empty(len(pairs), np.float32)
    for start in range(0, len(pairs), GLANCES_AT_A_TIME):
        part = slice(start, start + GLANCES_AT_A_TIME)
        left, right = glance[pairs.left[part]], glance[pairs.right[part]]
        correlation[part] = np.einsum("pd,pd->p", left, right)
    return correlation
