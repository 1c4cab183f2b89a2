"""Find pictures of a pool that are a benchmark's, altered at most, or near one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from curation.decontaminate.config import DecontaminateConfig
from curation.decontaminate.earlier_matches import PictureMatches, Registered, nothing_matched
from curation.decontaminate.index import BenchmarkIndex
from curation.decontaminate.placed import Placed, find_placed
from curation.matching.candidate_pairs import Shortlisted
from curation.matching.image_copies import HASH_BITS, ImageSet, correlate, is_copy
from curation.matching.registration import Agreement, agree, glances, mirrored
from curation.matching.settings import ImageCopyConfig
from curation.neighbors import Pairs
from medsift.arrays import Doubles, Flags, Floats, Indices

PAIRS_AT_A_TIME = 4_000_000


@dataclass(frozen=True, slots=True)
class ImageHits:
    """Pairs (p,) of pool picture `left` and benchmark picture `right`.

    `confirmed` ones show the same pixels; the others are near and unresolved. `exact` ones are
    equal pixel for pixel. `similarity` is the correlation of fine structure where it confirms, of
    whole pictures where it does not, and the cosine where there are no pixels to compare. `cosine`
    is that of the vectors, `correlation` that of the registered miniatures, NaN without any.
    """

    left: Indices
    right: Indices
    confirmed: Flags
    exact: Flags
    similarity: Doubles
    cosine: Doubles
    correlation: Doubles

    def where(self, mask: Flags) -> ImageHits:
        """Return the pairs that a mask (p,) keeps."""
        return ImageHits(*(getattr(self, name)[mask] for name in self.__slots__))

    def beyond(self, first: ImageHits) -> ImageHits:
        """Return the pairs of `first`, then those of these that it does not have."""
        known = set(zip(first.left.tolist(), first.right.tolist(), strict=True))
        pairs = zip(self.left.tolist(), self.right.tolist(), strict=True)
        new = np.array([pair not in known for pair in pairs], dtype=bool)
        both = ((getattr(first, name), getattr(self, name)[new]) for name in self.__slots__)
        return ImageHits(*map(np.concatenate, both))


def match_images(
    pool: ImageSet, index: BenchmarkIndex, copies: ImageCopyConfig, config: DecontaminateConfig
) -> ImageHits:
    """Compare every picture of a pool with every picture of a benchmark, as `compare_images`."""
    return compare_images(pool, index, copies, config)[0]


def compare_images(
    pool: ImageSet,
    index: BenchmarkIndex,
    copies: ImageCopyConfig,
    config: DecontaminateConfig,
    earlier: PictureMatches | None = None,
) -> tuple[ImageHits, PictureMatches]:
    """Compare every picture of a pool with every picture of a benchmark.

    Candidates are near by hash or cosine; registered pixels confirm, as among the pool's own
    copies, and a mirrored picture is no copy. What shows a benchmark's picture in part, padded,
    turned, mirrored, inverted, through another window, marked or next to others is near and stays
    unresolved, and so is what an embedding and whole miniatures find alike.

    Args:
        pool: Pictures that may be trained on (n), by id.
        index: The benchmark, of m pictures.
        copies: When two pictures are copies.
        config: When they are near.
        earlier: A comparison of some of the pictures with the same benchmark by the same rules,
            which saves work.

    Returns:
        The pairs that count, and what the comparison leaves for the next one.
    """
    vectors: pa.Array = index.images["vector"].combine_chunks()
    flat = vectors.flatten().to_numpy(zero_copy_only=False)
    ids, hashes, miniatures = (
        index.images[name].to_pylist() for name in ("image_id", "phash", "thumb")
    )
    bench = ImageSet.of(ids, hashes, miniatures, flat.reshape(-1, vectors.type.list_size))
    number = {image: place for place, image in enumerate(pool.ids)}
    # Pictures that are equal pixel for pixel have one image id.
    same = [(number[image], place) for place, image in enumerate(bench.ids) if image in number]
    left, right = np.array(same, np.int64).reshape(-1, 2).T
    yes, one = np.ones(len(left), bool), np.ones(len(left))
    equal = ImageHits(left, right, yes, yes, one, one, one)
    if not bench.ids or not pool.ids:
        return equal, nothing_matched()
    left, right = find_candidates_between(pool, bench, copies, glance=index.confirms)
    cosine = _cosine(pool, bench, left, right)
    none = np.zeros(len(left), bool)
    near = cosine >= config.near_cosine
    if not index.confirms:
        unseen = ImageHits(left, right, none, none, cosine, cosine, np.full(len(left), np.nan))
        return unseen.where(near).beyond(equal), nothing_matched()
    before, new = (earlier or nothing_matched()).among(pool.ids)
    seen = _register(pool, bench, left, right, copies, before.registered)
    confirmed = is_copy(Agreement(seen.correlation, seen.detail), copies)
    near &= ~confirmed & (seen.correlation >= config.near_correlation)
    correlation = seen.correlation.astype(np.float64)
    similarity = np.where(confirmed, seen.detail, correlation)
    compared = ImageHits(left, right, confirmed, none, similarity, cosine, correlation)
    # A mirror image is another finding, so it must not be called a confirmed copy.
    listed = compared.where((confirmed & ~seen.mirrored) | near).beyond(equal)

    # Pictures that show the same in part, turned, mirrored, inverted or among others.
    placed = _place(pool, bench, config, before.placed, np.flatnonzero(new))
    none = np.zeros(len(placed.left), bool)
    likeness = placed.likeness.astype(np.float64)
    cosine = _cosine(pool, bench, placed.left, placed.right)
    near_parts = ImageHits(placed.left, placed.right, none, none, likeness, cosine, likeness)
    return near_parts.beyond(listed), PictureMatches(pool.ids, seen, placed)


def _register(
    pool: ImageSet,
    bench: ImageSet,
    left: Indices,
    right: Indices,
    copies: ImageCopyConfig,
    before: Registered,
) -> Registered:
    """Compare the pixels of pairs (p,), sorted; those that were compared before are looked up."""
    place = before.look_up(left, right, len(bench.ids))
    known, new = np.flatnonzero(place >= 0), np.flatnonzero(place < 0)
    correlation, detail = np.empty((2, len(left)), np.float32)
    flipped = np.zeros(len(left), bool)
    for column, values in zip((correlation, detail, flipped), before[2:], strict=True):
        column[known] = values[place[known]]
    thumbs, right_thumb = np.concatenate([pool.thumbs, bench.thumbs]), right + len(pool.ids)
    agreement = agree(thumbs, left[new], right_thumb[new])
    correlation[new], detail[new] = agreement.correlation, agreement.detail
    same = new[is_copy(agreement, copies)]
    flipped[same] = mirrored(thumbs, left[same], right_thumb[same], detail[same])
    return Registered(left, right, correlation, detail, flipped)


def _place(
    pool: ImageSet, bench: ImageSet, config: DecontaminateConfig, before: Placed, new: Indices
) -> Placed:
    """Return the pairs that show the same in part, of the pictures `new` and those known before."""
    most = config.near_likeness, config.near_candidates
    found = find_placed(pool.thumbs[new], bench.thumbs, *most)
    left = np.concatenate([before.left, new[found.left]])
    right = np.concatenate([before.right, found.right])
    likeness = np.concatenate([before.likeness, found.likeness])
    order = np.argsort(left, kind="stable")
    return Placed(left[order], right[order], likeness[order])


def _cosine(pool: ImageSet, bench: ImageSet, left: Indices, right: Indices) -> Doubles:
    pairs = pool.vectors[left], bench.vectors[right]
    return np.asarray(np.einsum("pd,pd->p", *pairs, dtype=np.float64))


def find_candidates_between(
    pool: ImageSet, bench: ImageSet, config: ImageCopyConfig, *, glance: bool
) -> tuple[Indices, Indices]:
    """Return pool (p,) and benchmark pictures (p,) near by hash or cosine, the best of each.

    Args:
        pool: Pictures of one side (n).
        bench: Pictures of the other side (m).
        config: From which similarity pairs are candidates, and how many of each picture.
        glance: Whether both sides have miniatures, which must then correlate when blurred.
    """
    n, total = len(pool.ids), len(pool.ids) + len(bench.bits)
    signatures = glances(np.concatenate([pool.thumbs, bench.thumbs]))
    near_hash = 1.0 - 2.0 * config.hash_distance / HASH_BITS
    keys = []
    for ours, theirs, threshold in (
        (pool.bits, bench.bits, near_hash),
        (pool.vectors, bench.vectors, config.cosine),
    ):
        best = Shortlisted(config.candidates_per_image)
        for pairs in _near_pairs(ours, theirs, threshold):
            seen = correlate(signatures, pairs) if glance else np.ones(len(pairs), np.float32)
            best.add(pairs, seen)
        left, right = best.best()
        keys.append(left * total + right)
    distinct = np.unique(np.concatenate(keys))
    return distinct // total, distinct % total - n


def _near_pairs(ours: Floats, theirs: Floats, threshold: float) -> Iterator[Pairs]:
    """Yield pairs of a row of ours and a row of theirs, which is numbered after ours."""
    # In a pool of one view most pairs of a tile are near: a tile's area bounds their memory.
    step = max(1, PAIRS_AT_A_TIME // max(1, len(theirs)))
    for start in range(0, len(ours), step):
        product = ours[start : start + step] @ theirs.T
        row, column = np.nonzero(product >= threshold)
        value = product[row, column].astype(np.float64)
        yield Pairs((row + start).astype(np.int64), (column + len(ours)).astype(np.int64), value)
