"""The review list: what of a pool is near a benchmark and unresolved, for a person to look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.decontaminate.images import ImageHits
from curation.decontaminate.index import BenchmarkIndex
from curation.matching.image_copies import ImageSet
from medsift.errors import UsageError
from medsift.reorder import taken_rows
from medsift.vocabulary import NEAR

REVIEWS: Final = pa.schema(
    [
        pa.field("benchmark", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("row_id", pa.string(), nullable=False),
        pa.field("image_id", pa.string()),
        pa.field("samples", pa.int64(), nullable=False),
        pa.field("item_id", pa.string(), nullable=False),
        pa.field("item_image_id", pa.string()),
        pa.field("items", pa.int64(), nullable=False),
        pa.field("item_question", pa.string()),
        pa.field("item_ref", pa.string()),
        pa.field("item_miniature", pa.binary()),
        pa.field("similarity", pa.float64(), nullable=False),
        pa.field("cosine", pa.float64()),
        pa.field("correlation", pa.float64()),
        pa.field("verdict", pa.string(), nullable=False),
    ]
)
_OF_TEXT: Final = ("row_id", "item_id", "kind", "similarity", "verdict")


@dataclass(frozen=True, slots=True)
class _Shown:
    """Who shows a picture: how many, and the first of them by id."""

    count: int
    first: str


def review_list(
    rows: Mapping[str, Sequence[str]],
    images: ImageSet,
    index: BenchmarkIndex,
    hits: ImageHits,
    texts: Sequence[Mapping[str, Any]],
) -> pa.Table:
    """REVIEWS: a line for each unresolved pair of pictures and each unresolved text.

    `rows` are the undecided rows of the pool with their pictures; a pair of which no such row
    shows the picture is left out. `texts` are lines of leaks. The most similar come first.
    """
    mine = _shown(rows)
    items = zip(*(index.items[name].to_pylist() for name in ("item_id", "images")), strict=True)
    theirs = _shown({item: shown or () for item, shown in items})
    lines = [
        {**line, "benchmark": index.name, "verdict": NEAR}
        for line in _pairs(images, index, hits)
        if line["image_id"] in mine and line["item_image_id"] in theirs
    ]
    for line in lines:
        pool, item = mine[line["image_id"]], theirs[line["item_image_id"]]
        line |= {"row_id": pool.first, "samples": pool.count}
        line |= {"item_id": item.first, "items": item.count}
    lines += [
        {name: text[name] for name in _OF_TEXT}
        | {"benchmark": index.name, "samples": 1, "items": 1}
        for text in texts
    ]
    lines.sort(key=lambda line: (-line["similarity"], line["row_id"], line["item_id"]))
    return pa.Table.from_pylist(lines, schema=REVIEWS)


def _shown(holders: Mapping[str, Sequence[str]]) -> dict[str, _Shown]:
    """Picture → who of `holders` (id → its pictures) shows it."""
    found: dict[str, _Shown] = {}
    for holder, pictures in holders.items():
        for picture in set(pictures):
            before = found.get(picture, _Shown(0, holder))
            found[picture] = _Shown(before.count + 1, min(before.first, holder))
    return found


def _pairs(images: ImageSet, index: BenchmarkIndex, hits: ImageHits) -> list[dict[str, Any]]:
    near = hits.where(~hits.confirmed)
    pictures = taken_rows(index.images.select(["image_id", "thumb"]), near.theirs).to_pylist()
    return [
        {
            "kind": "near_image",
            "image_id": images.ids[mine],
            "item_image_id": picture["image_id"],
            "item_miniature": picture["thumb"],
            "similarity": similarity,
            "cosine": cosine,
            "correlation": None if np.isnan(correlation) else correlation,
        }
        for mine, picture, similarity, cosine, correlation in zip(
            near.mine.tolist(),
            pictures,
            near.similarity.tolist(),
            near.cosine.tolist(),
            near.correlation.tolist(),
            strict=True,
        )
    ]


def with_originals(reviews: pa.Table, samples: pa.Table) -> pa.Table:
    """The list with questions and picture files of the benchmark's own SAMPLES rows.

    Raises:
        UsageError: the rows are not those that the index was made of.
    """
    wanted = samples.filter(pc.is_in(samples["row_id"], pc.unique(reviews["item_id"])))
    names = ("row_id", "question", "images", "refs")
    known = {line["row_id"]: line for line in wanted.select(list(names)).to_pylist()}
    lines = reviews.to_pylist()
    for line in lines:
        picture, item = line["item_image_id"], known.get(line["item_id"])
        if item is None or (picture is not None and picture not in item["images"]):
            raise UsageError(
                f"benchmark {line['benchmark']!r}: its run has no item {line['item_id']!r} with "
                "that picture; name the run that its index was made of, or none",
                code="benchmark_index_unfit",
            )
        line["item_question"] = item["question"]
        if picture is not None:
            line["item_ref"] = item["refs"][item["images"].index(picture)]
    return pa.Table.from_pylist(lines, schema=REVIEWS)
