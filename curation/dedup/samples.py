"""Pairs of samples that repeat each other: on one picture or copies of it, with the same words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from curation.dedup.config import DedupConfig
from curation.dedup.schemas import IMAGE_COPY, PARAPHRASE, REASONS, SAME_SAMPLE
from curation.matching.image_copies import Copies, pair_similarity
from curation.matching.text_match import Conversations, compare
from medsift.arrays import Doubles, Indices

BLOCK = 1_000_000


@dataclass(frozen=True, slots=True)
class Links:
    """Pairs (p,) of samples of which only one may stay, and why.

    `reason` (p,) is the place in `REASONS`, `value` (p,) how near they are, `threshold` (p,) how
    near was enough.
    """

    left: Indices
    right: Indices
    reason: Indices
    value: Doubles
    threshold: Doubles

    def __len__(self) -> int:
        """Count the pairs."""
        return len(self.left)


def join_links(parts: Sequence[Links]) -> Links:
    """Lists of links as one."""
    whole = np.empty(0, np.int64)
    none = Links(whole, whole, whole, np.empty(0), np.empty(0))
    listed = [none, *parts]
    return Links(
        np.concatenate([part.left for part in listed]),
        np.concatenate([part.right for part in listed]),
        np.concatenate([part.reason for part in listed]),
        np.concatenate([part.value for part in listed]),
        np.concatenate([part.threshold for part in listed]),
    )


@dataclass(frozen=True, slots=True)
class Pictures:
    """The pictures of n samples: sample i shows `image[start[i]:start[i + 1]]`, in its order."""

    start: Indices
    image: Indices

    @classmethod
    def of(cls, lists: Sequence[Sequence[str] | None], ids: Sequence[str]) -> Pictures:
        """Number the image ids of each sample; a sample of null has none."""
        place = {image: row for row, image in enumerate(ids)}
        flat = [place[image] for images in lists for image in images or ()]
        sizes = np.array([len(images or ()) for images in lists], dtype=np.int64)
        return cls(np.concatenate([[0], np.cumsum(sizes)]), np.array(flat, dtype=np.int64))

    @property
    def count(self) -> Indices:
        """Pictures of each sample (n,)."""
        return np.diff(self.start)


def sample_links(
    rows: Indices,
    talks: Conversations,
    pictures: Pictures,
    copies: Copies,
    config: DedupConfig,
) -> Links:
    """Pairs among some `rows` of samples that say the same about the same pictures.

    Pictures are the same when equal or directly confirmed copies, place by place.
    """
    shown = rows[pictures.count[rows] > 0]
    found = []
    for left, right in _on_same_picture(shown, talks.shape, pictures, copies):
        likeness = compare(talks, left, right, config.sample)
        alike = np.flatnonzero(likeness.same)
        left, right, likeness = left[alike], right[alike], likeness.take(alike)
        similarity = _pictures_alike(left, right, pictures, copies)
        reason = np.where(
            likeness.equal,
            np.where(similarity < 1.0, REASONS.index(IMAGE_COPY), REASONS.index(SAME_SAMPLE)),
            REASONS.index(PARAPHRASE),
        ).astype(np.int64)
        detail = np.where(similarity < 1.0, config.image.detail_correlation, 1.0)
        links = Links(
            left,
            right,
            reason,
            np.where(likeness.equal, similarity, likeness.value),
            np.where(likeness.equal, detail, likeness.threshold),
        )
        found.append(_where(links, similarity > 0.0))
    return join_links(found)


def _where(links: Links, mask: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Links:
    return Links(
        links.left[mask],
        links.right[mask],
        links.reason[mask],
        links.value[mask],
        links.threshold[mask],
    )


def _pictures_alike(left: Indices, right: Indices, pictures: Pictures, copies: Copies) -> Doubles:
    """Least similarity (p,) of the pictures of samples, place by place; 0 where two differ."""
    least = np.ones(len(left))
    count = pictures.count[left]
    for place in range(int(count.max(initial=0))):
        here = np.flatnonzero(count > place)
        one = pictures.image[pictures.start[left[here]] + place]
        other = pictures.image[pictures.start[right[here]] + place]
        alike = np.nan_to_num(pair_similarity(copies, one, other), nan=0.0)
        least[here] = np.minimum(least[here], alike)
    return least


def _on_same_picture(
    rows: Indices, shape: Indices, pictures: Pictures, copies: Copies
) -> Iterator[tuple[Indices, Indices]]:
    """Blocks of sample pairs of equal shape whose first pictures are equal or copies."""
    n = max(len(copies.group), 1)
    key = shape[rows] * n + pictures.image[pictures.start[rows]]
    order = np.argsort(key, kind="stable")
    rows, key = rows[order], key[order]
    stops = np.searchsorted(key, key, side="right")
    spans = [(np.arange(len(rows)), np.arange(len(rows)) + 1, stops)]
    # Of copies, every sample on the left picture meets all of equal shape on the right one.
    mine = _copy_keys(shape[rows], copies.pairs.left, n)
    facing = _copy_keys(shape[rows], copies.pairs.right, n)
    first, last = np.searchsorted(key, mine, "left"), np.searchsorted(key, mine, "right")
    begin, end = np.searchsorted(key, facing, "left"), np.searchsorted(key, facing, "right")
    held = np.repeat(np.arange(len(first)), last - first)
    spans.append((ramp(first, last), begin[held], end[held]))
    yield from blocks(rows, *(np.concatenate(part) for part in zip(*spans, strict=True)))


def _copy_keys(shape: Indices, image: Indices, n: int) -> Indices:
    """Key of each image under each shape in use (shapes * images,)."""
    keys: Indices = (np.unique(shape)[:, None] * n + image[None, :]).ravel()
    return keys


def ramp(first: Indices, last: Indices) -> Indices:
    """All integers of the ranges first … last - 1, one range after the other."""
    sizes = last - first
    before = np.cumsum(sizes) - sizes
    found: Indices = np.arange(int(sizes.sum())) + np.repeat(first - before, sizes)
    return found


def blocks(
    rows: Indices, member: Indices, begin: Indices, end: Indices
) -> Iterator[tuple[Indices, Indices]]:
    """Pairs of `rows[member]` with each of `rows[begin:end]`, about `BLOCK` at a time."""
    sizes = np.cumsum(end - begin)
    total = int(sizes[-1]) if len(sizes) else 0
    if not total:
        return
    cuts = np.searchsorted(sizes, np.arange(0, total + BLOCK, BLOCK), side="left")
    for low, high in zip(cuts[:-1], np.append(cuts[1:-1], len(sizes)), strict=True):
        part = slice(int(low), int(high))
        partner = ramp(begin[part], end[part])
        yield rows[np.repeat(member[part], (end - begin)[part])], rows[partner]
