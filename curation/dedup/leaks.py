"""Training samples that share an image, or all their words, with a held-out split."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa

from curation.dedup.samples import Pictures
from curation.matching.image_copies import Copies, pair_similarity
from curation.matching.text_match import Conversations
from medsift.arrays import Indices
from medsift.records import LEAKS
from medsift.vocabulary import plain_split

TRAIN: Final = "train"
VALIDATION: Final = "validation"
SAME_IMAGE: Final = "same_image"
COPY: Final = "image_copy"
SAME_TEXT: Final = "same_text"


@dataclass(frozen=True, slots=True)
class _Held:
    """A sample that some content belongs to, by the best of its split in survival order."""

    rank: int
    row: int
    image: int


def find_leaks(
    samples: pa.Table,
    talks: Conversations,
    pictures: Pictures,
    copies: Copies,
    order: Indices,
) -> pa.Table:
    """One line per sample and held-out split that shows its image, a copy of it, or its text.

    Training leaks from every other split, validation from test; a sample without a split is for
    training. The nearest held-out sample is named, the first in `order` (n,) of equals; its
    `similarity` is null where only a chain of copies connects the two images.
    """
    splits = [split or TRAIN for split in samples["split"].to_pylist()]
    rank = np.argsort(order)
    lines = [
        *_image_leaks(splits, pictures, copies, rank),
        *_text_leaks(splits, talks, pictures, rank),
    ]
    rows, ids = samples["row_id"].to_pylist(), samples["sample_id"].to_pylist()
    table = [
        {
            **line,
            "row_id": rows[line["row"]],
            "sample_id": ids[line["row"]],
            "item_id": rows[line["item"]],
            "verdict": "leak",
        }
        for line in lines
    ]
    found = pa.Table.from_pylist(table, schema=LEAKS)
    return found.sort_by([(name, "ascending") for name in ("benchmark", "sample_id", "row_id")])


def stricter(split: str, other: str) -> bool:
    """Whether `other` is held out from `split`."""
    return _level(other) > _level(split)


def _level(split: str) -> int:
    if split == TRAIN:
        return 0
    return 1 if plain_split(split) == VALIDATION else 2


def _image_leaks(
    splits: Sequence[str], pictures: Pictures, copies: Copies, rank: Indices
) -> Iterator[dict[str, Any]]:
    held = _held_images(splits, pictures, copies, rank)
    for row, split in enumerate(splits):
        shown = pictures.image[pictures.start[row] : pictures.start[row + 1]].tolist()
        groups = {int(copies.group[image]) for image in shown}
        others = {other for group in groups for other in held.get(group, {})}
        for other in sorted(others):
            if stricter(split, other):
                yield _nearest(row, other, shown, held, copies)


def _held_images(
    splits: Sequence[str], pictures: Pictures, copies: Copies, rank: Indices
) -> dict[int, dict[str, dict[int, _Held]]]:
    """Group → held-out split → image → its first sample in that split."""
    found: dict[int, dict[str, dict[int, _Held]]] = {}
    for row, split in enumerate(splits):
        if split == TRAIN:
            continue
        for image in pictures.image[pictures.start[row] : pictures.start[row + 1]].tolist():
            images = found.setdefault(int(copies.group[image]), {}).setdefault(split, {})
            here = _Held(int(rank[row]), row, image)
            if image not in images or here.rank < images[image].rank:
                images[image] = here
    return found


def _nearest(
    row: int,
    split: str,
    shown: Sequence[int],
    held: dict[int, dict[str, dict[int, _Held]]],
    copies: Copies,
) -> dict[str, Any]:
    pairs = [
        (image, item)
        for image in shown
        for item in held.get(int(copies.group[image]), {}).get(split, {}).values()
    ]
    mine = np.array([image for image, _ in pairs], dtype=np.int64)
    theirs = np.array([item.image for _, item in pairs], dtype=np.int64)
    similarity = pair_similarity(copies, mine, theirs)
    known = np.nan_to_num(similarity, nan=-1.0)
    best = min(range(len(pairs)), key=lambda place: (-known[place], pairs[place][1].rank))
    image, item = pairs[best]
    return {
        "row": row,
        "item": item.row,
        "benchmark": f"split:{split}",
        "kind": SAME_IMAGE if image == item.image else COPY,
        "similarity": None if np.isnan(similarity[best]) else float(similarity[best]),
    }


def _text_leaks(
    splits: Sequence[str], talks: Conversations, pictures: Pictures, rank: Indices
) -> Iterator[dict[str, Any]]:
    bare = np.flatnonzero(pictures.count == 0).tolist()
    keys = {row: talks.form[talks.start[row] : talks.start[row + 1]].tobytes() for row in bare}
    held: dict[bytes, dict[str, _Held]] = {}
    for row in bare:
        if splits[row] != TRAIN:
            here = _Held(int(rank[row]), row, -1)
            known = held.setdefault(keys[row], {})
            if splits[row] not in known or here.rank < known[splits[row]].rank:
                known[splits[row]] = here
    for row in bare:
        for other, item in sorted(held.get(keys[row], {}).items()):
            if stricter(splits[row], other):
                yield {
                    "row": row,
                    "item": item.row,
                    "benchmark": f"split:{other}",
                    "kind": SAME_TEXT,
                    "similarity": 1.0,
                }
