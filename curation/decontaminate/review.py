"""Build the review list: what of a pool is near a benchmark and unresolved, for a person to see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.decontaminate.images import ImageHits
from curation.decontaminate.index import BenchmarkIndex
from medsift.errors import UsageError
from medsift.manifest.schema import arrow_schema
from medsift.reorder import taken_rows
from medsift.vocabulary import NEAR

LONG_RUN: Final = "long_run"
REVIEWS: Final = arrow_schema("reviews")


def review_list(
    rows: Mapping[str, Sequence[str]],
    images: Sequence[str],
    index: BenchmarkIndex,
    hits: ImageHits,
    leaks: pa.Table,
) -> pa.Table:
    """Return REVIEWS: a line for each unresolved pair of pictures and each unresolved text.

    A pair of which no undecided row shows the picture is left out. The most similar come first.

    Args:
        rows: Undecided rows of the pool with their pictures.
        images: Id of the pool's picture of each pair (p).
        index: The benchmark.
        hits: Pairs (p,) of pictures that are the same or near.
        leaks: LEAKS of the benchmark; those of undecided rows that are near by their words count.
    """
    pool = _shown_by(rows)
    items = zip(*(index.items[name].to_pylist() for name in ("item_id", "images")), strict=True)
    bench = _shown_by({item: shown or () for item, shown in items})
    unsure = np.flatnonzero(~hits.confirmed)
    near = hits.where(~hits.confirmed)
    pictures = taken_rows(index.images.select(["image_id", "thumb"]), near.right).to_pylist()
    columns = (unsure, near.similarity, near.cosine, near.correlation)
    lines: list[dict[str, Any]] = []
    for picture, pair, similarity, cosine, correlation in zip(
        pictures, *(column.tolist() for column in columns), strict=True
    ):
        image, item_image = images[pair], picture["image_id"]
        if image in pool and item_image in bench:
            (row, samples), (item, count) = pool[image], bench[item_image]
            lines.append(
                {
                    "kind": "near_image",
                    "row_id": row,
                    "samples": samples,
                    "image_id": image,
                    "item_id": item,
                    "items": count,
                    "item_image_id": item_image,
                    "item_miniature": picture["thumb"],
                    "similarity": similarity,
                    "cosine": cosine,
                    "correlation": None if np.isnan(correlation) else correlation,
                    "verdict": NEAR,
                }
            )
    texts = leaks.filter(pc.equal(leaks["kind"], LONG_RUN)).to_pylist()
    for text in (text for text in texts if text["row_id"] in rows):
        shared = ("row_id", "item_id", "kind", "similarity", "verdict")
        lines.append({name: text[name] for name in shared} | {"samples": 1, "items": 1})
    lines.sort(key=lambda line: (-line["similarity"], line["row_id"], line["item_id"]))
    named = [{"benchmark": index.name, **line} for line in lines]
    return pa.Table.from_pylist(named, schema=REVIEWS)


def _shown_by(pictures_of: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, int]]:
    """Map each picture to the first by id of the rows that show it, and to their number."""
    rows_of: dict[str, list[str]] = {}
    for row, pictures in pictures_of.items():
        for picture in set(pictures):
            rows_of.setdefault(picture, []).append(row)
    return {picture: (min(rows), len(rows)) for picture, rows in rows_of.items()}


def with_originals(reviews: pa.Table, samples: pa.Table) -> pa.Table:
    """Add the questions and picture files of the benchmark's own SAMPLES rows to the list.

    Raises:
        UsageError: the rows are not those that the index was made of.
    """
    wanted = samples.filter(pc.is_in(samples["row_id"], pc.unique(reviews["item_id"])))
    columns = ["row_id", "question", "images", "refs"]
    known = {row["row_id"]: row for row in wanted.select(columns).to_pylist()}
    lines = reviews.to_pylist()
    for line in lines:
        picture, item = line["item_image_id"], known.get(line["item_id"])
        if item is None or (picture is not None and picture not in item["images"]):
            raise UsageError(
                f"benchmark {line['benchmark']!r}: its run has no item {line['item_id']!r} with "
                "that picture; name the run that its index was made of, or none",
                code="benchmark_index_unfit",
                benchmark=line["benchmark"],
                item_id=line["item_id"],
            )
        line["item_question"] = item["question"]
        if picture is not None:
            line["item_ref"] = item["refs"][item["images"].index(picture)]
    return pa.Table.from_pylist(lines, schema=REVIEWS)
