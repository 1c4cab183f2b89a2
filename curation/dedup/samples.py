"""Find samples that repeat each other: the same words on one picture or on copies of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from curation.dedup.config import DedupConfig
from curation.dedup.schemas import IMAGE_COPY, PARAPHRASE, REASONS, SAME_SAMPLE
from curation.matching.image_copies import Copies, pair_similarity
from curation.matching.text_match import Conversations, compare
from medsift.arrays import Doubles, Flags, Indices

PAIRS_AT_A_TIME = 1_000_000


@dataclass(frozen=True, slots=True)
class Links:
    """Pairs (p,) of samples of which only one may stay, and why.

    `reason` (p,) is the place in `REASONS`, `value` (p,) the similarity and `threshold` (p,) the
    similarity that was enough.
    """

    left: Indices
    right: Indices
    reason: Indices
    value: Doubles
    threshold: Doubles

    def where(self, mask: Flags) -> Links:
        """Return the links that a mask (p,) keeps."""
        return Links(*(getattr(self, name)[mask] for name in self.__slots__))


def join_links(parts: Sequence[Links]) -> Links:
    """Concatenate lists of links."""
    none = np.empty(0, np.int64)
    empty = Links(none, none, none, np.empty(0), np.empty(0))
    columns = ([getattr(part, name) for part in (empty, *parts)] for name in empty.__slots__)
    return Links(*map(np.concatenate, columns))


@dataclass(frozen=True, slots=True)
class Pictures:
    """The pictures of n samples: sample i shows `image[start[i]:start[i + 1]]`, in its order."""

    start: Indices
    image: Indices

    @classmethod
    def of(cls, lists: Sequence[Sequence[str] | None], ids: Sequence[str]) -> Pictures:
        """Number the image ids of each sample; a sample of null has none."""
        number = {image: place for place, image in enumerate(ids)}
        flat = [number[image] for images in lists for image in images or ()]
        sizes = np.array([len(images or ()) for images in lists], dtype=np.int64)
        return cls(np.concatenate([[0], np.cumsum(sizes)]), np.array(flat, dtype=np.int64))

    @property
    def count(self) -> Indices:
        """Return the number of pictures of each sample (n,)."""
        return np.diff(self.start)

    def shown_by(self, row: int) -> list[int]:
        """Return the pictures of one sample, in its order."""
        pictures: list[int] = self.image[self.start[row] : self.start[row + 1]].tolist()
        return pictures


def sample_links(
    rows: Indices,
    conversations: Conversations,
    pictures: Pictures,
    copies: Copies,
    config: DedupConfig,
) -> Links:
    """Link samples that say the same about the same pictures.

    Pictures are the same when equal or directly confirmed copies, place by place.

    Args:
        rows: Samples to compare (r,), one of each content.
        conversations: The turns of all samples.
        pictures: The pictures of all samples.
        copies: Confirmed copies among the pictures.
        config: When two samples say the same.
    """
    parts = []
    with_picture = rows[pictures.count[rows] > 0]
    for left, right in _pairs_on_same_picture(with_picture, conversations.shape, pictures, copies):
        likeness = compare(conversations, left, right, config.sample)
        same = np.flatnonzero(likeness.same)
        left, right, likeness = left[same], right[same], likeness.take(same)
        similarity = _least_picture_similarity(left, right, pictures, copies)
        reason = np.where(
            likeness.equal,
            np.where(similarity < 1.0, REASONS.index(IMAGE_COPY), REASONS.index(SAME_SAMPLE)),
            REASONS.index(PARAPHRASE),
        ).astype(np.int64)
        detail = np.where(similarity < 1.0, config.image.detail_correlation, 1.0)
        # The ledger shows what decided: the pictures where words are equal, else the words.
        value = np.where(likeness.equal, similarity, likeness.value)
        threshold = np.where(likeness.equal, detail, likeness.threshold)
        parts.append(Links(left, right, reason, value, threshold).where(similarity > 0.0))
    return join_links(parts)


def _least_picture_similarity(
    left: Indices, right: Indices, pictures: Pictures, copies: Copies
) -> Doubles:
    """Return the least similarity (p,) of two samples' pictures; 0 where any two differ."""
    least = np.ones(len(left))
    count = pictures.count[left]
    for place in range(int(count.max(initial=0))):
        pairs = np.flatnonzero(count > place)
        left_image = pictures.image[pictures.start[left[pairs]] + place]
        right_image = pictures.image[pictures.start[right[pairs]] + place]
        # A pair that only a chain of copies connects (NaN) is not confirmed by pixels: no link.
        similarity = np.nan_to_num(pair_similarity(copies, left_image, right_image), nan=0.0)
        least[pairs] = np.minimum(least[pairs], similarity)
    return least


def _pairs_on_same_picture(
    rows: Indices, shape: Indices, pictures: Pictures, copies: Copies
) -> Iterator[tuple[Indices, Indices]]:
    """Yield blocks of sample pairs of equal shape whose first pictures are equal or copies."""
    # Only samples on one first picture, or on copies, are compared: all pairs would be quadratic.
    n = max(len(copies.group), 1)
    key = shape[rows] * n + pictures.image[pictures.start[rows]]
    order = np.argsort(key, kind="stable")
    rows, key = rows[order], key[order]
    member = np.arange(len(rows))
    spans = [(member, member + 1, np.searchsorted(key, key, side="right"))]
    # Of copies, every sample on the left picture meets all of equal shape on the right one.
    shapes = np.unique(shape[rows])[:, None] * n
    left_key, right_key = (
        (shapes + image[None, :]).ravel() for image in (copies.pairs.left, copies.pairs.right)
    )
    first, last = (np.searchsorted(key, left_key, side) for side in ("left", "right"))
    begin, end = (np.searchsorted(key, right_key, side) for side in ("left", "right"))
    pair = np.repeat(np.arange(len(first)), last - first)
    spans.append((_ranges(first, last), begin[pair], end[pair]))
    yield from pair_blocks(rows, *(np.concatenate(part) for part in zip(*spans, strict=True)))


def _ranges(first: Indices, last: Indices) -> Indices:
    """Return all integers of the ranges first … last - 1, one range after the other."""
    sizes = last - first
    before = np.cumsum(sizes) - sizes
    numbers: Indices = np.arange(int(sizes.sum())) + np.repeat(first - before, sizes)
    return numbers


def pair_blocks(
    rows: Indices, member: Indices, begin: Indices, end: Indices
) -> Iterator[tuple[Indices, Indices]]:
    """Yield pairs of `rows[member]` with each of `rows[begin:end]`, about a million at a time.

    Args:
        rows: What is paired (r,).
        member: Places in `rows` of the left sides (m,).
        begin: Where the partners of each member begin in `rows` (m,).
        end: Where they end (m,).
    """
    sizes = end - begin
    pairs = np.cumsum(sizes)
    total = int(pairs[-1]) if len(pairs) else 0
    if not total:
        return
    # A member is never cut: one with a million partners makes a block of its own size.
    cuts = np.searchsorted(pairs, np.arange(0, total + PAIRS_AT_A_TIME, PAIRS_AT_A_TIME))
    for low, high in zip(cuts[:-1], np.append(cuts[1:-1], len(pairs)), strict=True):
        part = slice(int(low), int(high))
        yield rows[np.repeat(member[part], sizes[part])], rows[_ranges(begin[part], end[part])]
