"""Pictures of the pool that are a benchmark's, altered at most, or near one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from curation.decontaminate.config import DecontaminateConfig
from curation.decontaminate.index import BenchmarkIndex
from curation.decontaminate.placed import find_placed
from curation.matching.candidate_pairs import Shortlisted
from curation.matching.image_copies import HASH_BITS, ImageSet, correlate
from curation.matching.registration import Thumbs, agree, glances, mirrored
from curation.matching.settings import ImageCopyConfig
from curation.neighbors import Pairs
from medsift.arrays import Doubles, Flags, Floats, Indices
from medsift.records import THUMB_SIDE

PAIRS_AT_A_TIME = 4_000_000


@dataclass(frozen=True, slots=True)
class ImageHits:
    """Pairs (p,) of pool picture `mine` and benchmark picture `theirs`.

    `confirmed` ones show the same pixels; the others are near and unresolved. `exact` ones are
    equal pixel for pixel. `similarity` is the correlation of fine structure where it confirms, of
    whole pictures where it does not, and the cosine where there are no pixels to compare. `cosine`
    is that of the vectors, `correlation` that of the registered miniatures, NaN without any.
    """

    mine: Indices
    theirs: Indices
    confirmed: Flags
    exact: Flags
    similarity: Doubles
    cosine: Doubles
    correlation: Doubles

    def where(self, held: Flags) -> ImageHits:
        """The pairs of a mask (p,)."""
        return ImageHits(*(getattr(self, name)[held] for name in self.__slots__))

    def beyond(self, first: ImageHits) -> ImageHits:
        """Both, the pairs of `first` before those of these that it does not have."""
        known = set(zip(first.mine.tolist(), first.theirs.tolist(), strict=True))
        pairs = zip(self.mine.tolist(), self.theirs.tolist(), strict=True)
        new = np.array([pair not in known for pair in pairs], dtype=bool)
        return self.where(new)._after(first)

    def _after(self, first: ImageHits) -> ImageHits:
        both = ((getattr(first, name), getattr(self, name)) for name in self.__slots__)
        return ImageHits(*(np.concatenate(pair) for pair in both))


def match_images(
    pool: ImageSet, index: BenchmarkIndex, copies: ImageCopyConfig, config: DecontaminateConfig
) -> ImageHits:
    """Compare every picture of a pool with every picture of a benchmark.

    Candidates are near by hash or cosine; registered pixels confirm, as among the pool's own
    copies, and a mirrored picture is no copy. What shows a benchmark's picture in part, padded,
    turned, mirrored, inverted, through another window, marked or next to others is near and stays
    unresolved, and so is what an embedding and whole miniatures find alike.
    """
    exact = _equal(pool, index)
    if not index.images.num_rows or not pool.ids:
        return exact
    mine, theirs, cosine = _candidates(pool, index, copies)
    if not index.confirms:
        near = cosine >= config.near_cosine
        none = np.zeros(len(mine), bool)
        blind = np.full(len(mine), np.nan)
        unseen = ImageHits(mine, theirs, none, none, cosine, cosine, blind)
        return unseen.where(near).beyond(exact)
    thumbs = np.concatenate([pool.thumbs, _thumbs(index)])
    right = theirs + len(pool.ids)
    found = agree(thumbs, mine, right)
    confirmed = found.correlation >= copies.registered_correlation
    confirmed &= found.detail >= copies.detail_correlation
    turned = np.zeros(len(mine), bool)
    turned[confirmed] = mirrored(thumbs, mine[confirmed], right[confirmed], found.detail[confirmed])
    near = ~confirmed & (found.correlation >= config.near_correlation)
    near &= cosine >= config.near_cosine
    correlation = found.correlation.astype(np.float64)
    compared = ImageHits(
        mine,
        theirs,
        confirmed,
        np.zeros(len(mine), bool),
        np.where(confirmed, found.detail, correlation),
        cosine,
        correlation,
    )
    listed = compared.where((confirmed & ~turned) | near).beyond(exact)
    return _placed(pool, index, config).beyond(listed)


def _placed(pool: ImageSet, index: BenchmarkIndex, config: DecontaminateConfig) -> ImageHits:
    """Pairs that show the same in part, turned, mirrored, inverted or among others: near ones."""
    found = find_placed(pool.thumbs, _thumbs(index), config.near_likeness, config.near_candidates)
    none = np.zeros(len(found.mine), bool)
    likeness = found.likeness.astype(np.float64)
    cosine = _cosine(pool.vectors, _vectors(index), found.mine, found.theirs)
    return ImageHits(found.mine, found.theirs, none, none, likeness, cosine, likeness)


def _cosine(ours: Floats, other: Floats, mine: Indices, theirs: Indices) -> Doubles:
    found: Doubles = np.einsum("pd,pd->p", ours[mine], other[theirs], dtype=np.float64)
    return found


def _equal(pool: ImageSet, index: BenchmarkIndex) -> ImageHits:
    place = {image: row for row, image in enumerate(pool.ids)}
    ids = index.images["image_id"].to_pylist()
    pairs = [(place[image], row) for row, image in enumerate(ids) if image in place]
    found = np.array(pairs, np.int64).reshape(-1, 2)
    yes = np.ones(len(found), bool)
    one = np.ones(len(found))
    return ImageHits(found[:, 0], found[:, 1], yes, yes, one, one, one)


def _candidates(
    pool: ImageSet, index: BenchmarkIndex, config: ImageCopyConfig
) -> tuple[Indices, Indices, Doubles]:
    """Pool and benchmark pictures near by hash or cosine, the best of each, with their cosine."""
    n, their_vectors = len(pool.ids), _vectors(index)
    glance = glances(np.concatenate([pool.thumbs, _thumbs(index)]))
    near_hash = 1.0 - 2.0 * config.hash_distance / HASH_BITS
    keys = [np.empty(0, np.int64)]
    for ours, other, threshold in (
        (pool.bits, _bits(index), near_hash),
        (pool.vectors, their_vectors, config.cosine),
    ):
        best = Shortlisted(config.candidates_per_image)
        for pairs in _near(ours, other, threshold):
            seen = np.ones(len(pairs), np.float32)
            if index.confirms:
                seen = correlate(glance, pairs)
            best.add(pairs, seen)
        left, right = best.best()
        keys.append(left * (n + len(other)) + right)
    distinct = np.unique(np.concatenate(keys))
    mine, theirs = distinct // (n + len(their_vectors)), distinct % (n + len(their_vectors)) - n
    return mine, theirs, _cosine(pool.vectors, their_vectors, mine, theirs)


def _near(ours: Floats, other: Floats, threshold: float) -> Iterator[Pairs]:
    """Pairs of a row of ours and a row of the other, which is numbered after ours."""
    # In a pool of one view most pairs of a tile are near: a tile's area bounds their memory.
    step = max(1, PAIRS_AT_A_TIME // max(1, len(other)))
    for start in range(0, len(ours), step):
        product = ours[start : start + step] @ other.T
        row, column = np.nonzero(product >= threshold)
        value = product[row, column].astype(np.float64)
        yield Pairs((row + start).astype(np.int64), (column + len(ours)).astype(np.int64), value)


def _bits(index: BenchmarkIndex) -> Floats:
    hashes = np.array([int(text, 16) for text in index.images["phash"].to_pylist()], dtype=">u8")
    bits = np.unpackbits(hashes.view(np.uint8).reshape(-1, 8), axis=1).astype(np.float32)
    found: Floats = (2.0 * bits - 1.0) / np.float32(np.sqrt(HASH_BITS))
    return found


def _vectors(index: BenchmarkIndex) -> Floats:
    column: pa.Array = index.images["vector"].combine_chunks()
    found: Floats = column.flatten().to_numpy(zero_copy_only=False)
    return found.reshape(index.images.num_rows, -1)


def _thumbs(index: BenchmarkIndex) -> Thumbs:
    """Miniatures (m, 64, 64); zeros where the index has none."""
    blank = bytes(THUMB_SIDE * THUMB_SIDE)
    joined = bytearray().join(thumb or blank for thumb in index.images["thumb"].to_pylist())
    return np.frombuffer(joined, np.uint8).reshape(-1, THUMB_SIDE, THUMB_SIDE)
