"""Find pictures that are copies of each other: cheap candidates, decided by pixels."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curation.matching.candidate_pairs import Bridges, Shortlisted
from curation.matching.earlier_search import (
    COPY,
    MIRRORED,
    OTHER,
    BestPairs,
    PictureSearch,
    Verdicts,
)
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
Codes = NDArray[np.uint64]
GLANCES_AT_A_TIME = 65_536


@dataclass(frozen=True, slots=True)
class ImageSet:
    """Distinct pictures: `ids` (n) sorted, hashes of 64 bits (n,), thumbs, vectors."""

    ids: list[str]
    codes: Codes
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
        blank = bytes(THUMB_SIDE * THUMB_SIDE)
        joined = bytearray().join(miniature or blank for miniature in miniatures)
        return cls(
            ids=list(ids),
            codes=np.array([int(text, 16) for text in hashes], dtype=np.uint64),
            thumbs=np.frombuffer(joined, np.uint8).reshape(-1, THUMB_SIDE, THUMB_SIDE),
            vectors=vectors,
        )

    def only(self, ids: Sequence[str]) -> ImageSet:
        """Return some of the pictures; `ids` are sorted, and unknown ones are left out."""
        wanted = pa.array(ids, pa.string())
        places = np.flatnonzero(pc.is_in(pa.array(self.ids, pa.string()), wanted))
        if len(places) == len(self.ids):
            return self
        chosen = [self.ids[place] for place in places.tolist()]
        return ImageSet(chosen, self.codes[places], self.thumbs[places], self.vectors[places])

    @property
    def bits(self) -> Floats:
        """The bits of the hashes (n, 64) as ±1/8."""
        bits = np.unpackbits(self.codes.astype(">u8").view(np.uint8).reshape(-1, 8), axis=1)
        return (2.0 * bits.astype(np.float32) - 1.0) / np.float32(np.sqrt(HASH_BITS))


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
    search: PictureSearch | None = None
    """What the search leaves for the next one; None for copies that were given."""


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
    earlier: PictureSearch | None = None,
) -> Copies:
    """Find the pairs of pictures that show the same pixels, altered at most.

    Re-encoded, resized, brightened, slightly cropped and slightly rotated pictures are copies;
    mirrored ones are not: left and right are findings.

    Args:
        images: The pictures (n) to compare with each other.
        config: When two pictures are candidates, and when copies.
        neighbors: How near vectors and hashes are searched.
        run: Spreads a large search over workers; None is this process.
        earlier: A search among some of the pictures, by equal settings: only pairs with another
            picture are then compared. It changes the time taken, never the result.
    """
    n = len(images.ids)
    known = None if earlier is None else earlier.among(images.ids)
    candidates = find_candidates(images, config, neighbors, run, known=known)
    verdicts = _judge(images.thumbs, candidates, config, known)
    pairs, mirrors = _confirmed(verdicts)
    search = PictureSearch(images.ids, candidates.by_hash, candidates.by_cosine, verdicts)
    compared = len(candidates.left)
    group = connected_components(n, pairs.left, pairs.right)
    # Only a family of more copies than partners fills the lists of all its own.
    while n and np.bincount(group).max() > config.candidates_per_image:
        across = find_candidates(images, config, neighbors, run, group)
        more, mirrored_more = _confirmed(_judge(images.thumbs, across, config))
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
        search=search,
    )


def _judge(
    thumbs: Thumbs,
    candidates: ImageCandidates,
    config: ImageCopyConfig,
    known: tuple[PictureSearch, Flags] | None = None,
) -> Verdicts:
    """Compare the pixels of candidates; those with a verdict already are not compared again."""
    left, right = candidates.left, candidates.right
    detail, verdict = np.zeros(len(left), np.float32), np.full(len(left), OTHER, np.int8)
    unknown = np.arange(len(left))
    if known is not None:
        before = known[0].verdicts
        place = before.look_up(left, right, max(len(thumbs), 1))
        seen, unknown = np.flatnonzero(place >= 0), np.flatnonzero(place < 0)
        detail[seen], verdict[seen] = before.detail[place[seen]], before.verdict[place[seen]]
    agreement = agree(thumbs, left[unknown], right[unknown])
    detail[unknown] = agreement.detail
    same = unknown[is_copy(agreement, config)]
    flipped = mirrored(thumbs, left[same], right[same], detail[same])
    verdict[same] = np.where(flipped, MIRRORED, COPY)
    return Verdicts(left, right, detail, verdict)


def _confirmed(verdicts: Verdicts) -> tuple[Pairs, int]:
    """Return the pairs that are copies, and how many fit better mirrored and so are not."""
    copy = verdicts.verdict == COPY
    detail = verdicts.detail[copy].astype(np.float64)
    pairs = Pairs.of(verdicts.left[copy], verdicts.right[copy], detail)
    return pairs, int((verdicts.verdict == MIRRORED).sum())


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
    pairs beyond it, `recall` the least share of near pairs that a search found. `by_hash` and
    `by_cosine` are the best of either search, the latter None where it was approximate.
    """

    left: Indices
    right: Indices
    counted: int
    left_out: int
    recall: float
    by_hash: BestPairs
    by_cosine: BestPairs | None


def find_candidates(
    images: ImageSet,
    config: ImageCopyConfig,
    neighbors: NeighborsConfig,
    run: TileRunner | None = None,
    group: Indices | None = None,
    known: tuple[PictureSearch, Flags] | None = None,
) -> ImageCandidates:
    """Return pairs near by hash or cosine whose blurred miniatures agree, the best of each picture.

    Args:
        images: Pictures to compare.
        config: From which similarity pairs are candidates, and how many of each picture.
        neighbors: How near vectors are searched.
        run: Spreads a large search over workers.
        group: Known groups (n,): then only the best pairs between each group and others.
        known: A search among some of the pictures, in their numbers here, and which are new (n,).
    """
    n, most = max(len(images.ids), 1), config.candidates_per_image
    glance = glances(images.thumbs)
    before, fresh = (None, None) if known is None else known
    exact = n <= neighbors.exact_up_to
    of_hash = None if before is None else before.by_hash
    of_cosine = None if before is None or not exact else before.by_cosine
    found, recall = [], 1.0
    for search, start in (
        (_search_hashes(images, config.hash_distance, neighbors, run, fresh), of_hash),
        (
            _search(
                images.vectors, config.cosine, neighbors, run, None if of_cosine is None else fresh
            ),
            of_cosine,
        ),
    ):
        best = Shortlisted(most) if group is None else Bridges(most, group)
        counted = 0
        if start is not None:
            best.start_from(start.pairs, start.left_out)
            counted = start.counted
        for pairs, share in search:
            best.add(pairs, correlate(glance, pairs))
            counted, recall = counted + len(pairs), min(recall, share)
        kept = best.kept()
        found.append(BestPairs(kept, counted, best.left_out))
    keys = [one.pairs["left"] * n + one.pairs["right"] for one in found]
    distinct = np.unique(np.concatenate(keys))
    return ImageCandidates(
        distinct // n,
        distinct % n,
        sum(one.counted for one in found),
        sum(one.left_out for one in found),
        recall,
        found[0],
        found[1] if exact else None,
    )


def _search(
    vectors: Floats,
    threshold: float,
    neighbors: NeighborsConfig,
    run: TileRunner | None,
    fresh: Flags | None = None,
) -> Iterator[tuple[Pairs, float]]:
    """Yield pairs above a threshold tile by tile, as they may be too many, each with the recall.

    With `fresh` (n,) only the pairs that have such a row; a search by cells ignores it.
    """
    run = neighbors.runner(len(vectors), run)
    if len(vectors) > neighbors.exact_up_to:
        cells = CellSearch(vectors, threshold, neighbors)
        for pairs in cells:
            yield pairs, 1.0
        yield Pairs.empty(), cells.recall
    elif len(vectors):
        tile, device = neighbors.tile, neighbors.device
        for pairs in iter_pairs(vectors, threshold, tile=tile, device=device, fresh=fresh, run=run):
            yield pairs, 1.0


def _search_hashes(
    images: ImageSet,
    distance: int,
    neighbors: NeighborsConfig,
    run: TileRunner | None,
    fresh: Flags | None,
) -> Iterator[tuple[Pairs, float]]:
    """Yield all pairs near by hash, or those with a `fresh` picture, however many there are."""
    if len(images.codes) <= neighbors.exact_up_to:
        # The scalar product of ±1/8 vectors is 1 - 2 * distance / 64, exactly.
        yield from _search(images.bits, 1.0 - 2.0 * distance / HASH_BITS, neighbors, run, fresh)
        return
    # Cells miss pairs; comparing 64-bit codes is cheap enough to miss none.
    for pairs in iter_hamming(images.codes, distance, fresh):
        yield pairs, 1.0


def correlate(glance: Floats, pairs: Pairs) -> Floats:
    """Return the correlation (p,) of the blurred miniatures of pairs."""
    correlation = np.empty(len(pairs), np.float32)
    for start in range(0, len(pairs), GLANCES_AT_A_TIME):
        part = slice(start, start + GLANCES_AT_A_TIME)
        left, right = glance[pairs.left[part]], glance[pairs.right[part]]
        correlation[part] = np.einsum("pd,pd->p", left, right)
    return correlation
