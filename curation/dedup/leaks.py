"""Find training samples that share an image, or all their words, with a held-out split."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from curation.dedup.samples import Pictures
from curation.matching.image_copies import Copies, pair_similarity
from curation.matching.text_match import Conversations
from medsift.arrays import Indices
from medsift.records import LEAKS
from medsift.vocabulary import plain_split

TRAIN = "train"


class _HeldOut(NamedTuple):
    """A held-out sample and one of its images (-1: none); the least is first in survival order."""

    rank: int
    row: int
    image: int


# Group of images or digest of words -> held-out split -> image -> its first sample in that split.
_HeldOutBy = dict[Any, dict[str, dict[int, _HeldOut]]]


def find_leaks(
    samples: pa.Table,
    conversations: Conversations,
    pictures: Pictures,
    copies: Copies,
    order: Indices,
) -> pa.Table:
    """Return a line for each sample and held-out split that shows its image, a copy, or its text.

    Training leaks from every other split, validation from test; a sample without a split is for
    training. The nearest held-out sample is named, the first in `order` (n,) of equals; its
    `similarity` is null where only a chain of copies connects the two images.

    Args:
        samples: SAMPLES rows (n).
        conversations: Their turns.
        pictures: Their pictures.
        copies: Confirmed copies among the pictures.
        order: The samples (n,), best first.
    """
    splits = [split or TRAIN for split in samples["split"].to_pylist()]
    rows, ids = samples["row_id"].to_pylist(), samples["sample_id"].to_pylist()
    held_out: _HeldOutBy = defaultdict(lambda: defaultdict(dict))
    for row, rank in enumerate(np.argsort(order).tolist()):
        if splits[row] != TRAIN:
            for content, image in _contents(row, conversations, pictures, copies):
                first, sample = held_out[content][splits[row]], _HeldOut(rank, row, image)
                first[image] = min(first.get(image, sample), sample)
    lines = [
        {
            "row_id": rows[row],
            "sample_id": ids[row],
            "item_id": rows[item],
            "benchmark": f"split:{split}",
            "kind": kind,
            "similarity": similarity,
            "verdict": "leak",
        }
        for row in range(len(rows))
        for split, item, kind, similarity in _leaks_of(
            list(_contents(row, conversations, pictures, copies)), splits[row], held_out, copies
        )
    ]
    table = pa.Table.from_pylist(lines, schema=LEAKS)
    return table.sort_by([(name, "ascending") for name in ("benchmark", "sample_id", "row_id")])


def strictness(split: str) -> int:
    """Return a number: a split is held out from every split whose number is lower."""
    if split == TRAIN:
        return 0
    # A split of an unknown name counts as test: a false warning costs less than a missed leak.
    return 1 if plain_split(split) == "validation" else 2


def _contents(
    row: int, conversations: Conversations, pictures: Pictures, copies: Copies
) -> Iterator[tuple[int | bytes, int]]:
    """Yield what a sample may leak by: its images' groups, or its words where it has no image."""
    shown = pictures.shown_by(row)
    for image in shown:
        yield int(copies.group[image]), image
    if not shown:
        turns = slice(conversations.start[row], conversations.start[row + 1])
        yield conversations.form[turns].tobytes(), -1


def _leaks_of(
    contents: Sequence[tuple[int | bytes, int]], split: str, held_out: _HeldOutBy, copies: Copies
) -> Iterator[tuple[str, int, str, float | None]]:
    """Yield split, row, kind and similarity of the nearest sample of each held-out split."""
    others = {other for content, _ in contents for other in held_out.get(content, ())}
    for other in sorted(others):
        if strictness(other) <= strictness(split):
            continue
        pairs = [
            (image, item)
            for content, image in contents
            for item in held_out.get(content, {}).get(other, {}).values()
        ]
        if pairs[0][0] < 0:
            yield other, pairs[0][1].row, "same_text", 1.0
            continue
        left, right = np.array([(image, item.image) for image, item in pairs], np.int64).T
        similarity = pair_similarity(copies, left, right).tolist()
        # A chain of copies (NaN) is the weakest evidence, so it sorts behind every direct copy.
        known = [-1.0 if np.isnan(value) else value for value in similarity]
        best = min(range(len(pairs)), key=lambda place: (-known[place], pairs[place][1].rank))
        image, item = pairs[best]
        kind = "same_image" if image == item.image else "image_copy"
        yield other, item.row, kind, None if known[best] < 0.0 else similarity[best]
