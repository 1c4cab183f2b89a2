"""Which samples of a pool meet a benchmark, how, and how sure that is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa

from curation.decontaminate.config import DecontaminateConfig
from curation.decontaminate.images import ImageHits, match_images
from curation.decontaminate.index import BenchmarkIndex
from curation.decontaminate.review import NEAR, review_list
from curation.decontaminate.words import Wording, wording
from curation.dedup.config import DedupConfig
from curation.dedup.images import ImageSet
from curation.dedup.tables import LEAKS

SAME_PAIR: Final = "same image and question"
SAME_IMAGE: Final = "same image"
SAME_TEXT: Final = "same text"
LONG_RUN: Final = "long_run"
STRENGTH: Final = (SAME_PAIR, SAME_IMAGE, SAME_TEXT, NEAR)


@dataclass(frozen=True, slots=True)
class Hits:
    """Rows of LEAKS, the worst verdict of each row that has one, and REVIEWS of those undecided."""

    leaks: pa.Table
    worst: dict[str, str]
    reviews: pa.Table


def find_hits(
    samples: pa.Table,
    images: ImageSet,
    index: BenchmarkIndex,
    config: DecontaminateConfig,
    dedup: DedupConfig,
) -> Hits:
    """Compare SAMPLES rows with a benchmark: by picture, by words, and by both.

    Of one sample and kind the strongest hit is listed, of equals the one with the smallest item
    id. The result does not depend on the order of either side.
    """
    said = [
        wording(line["question"], line["answer"], config.gram)
        for line in samples.select(["question", "answer"]).to_pylist()
    ]
    pictures = match_images(images, index, dedup.image, config)
    lines = [
        *_by_image(samples, said, images, index, pictures),
        *_by_words(samples, said, index, config, dedup.text.jaccard),
    ]
    best: dict[tuple[int, str], dict[str, Any]] = {}
    for line in sorted(lines, key=_rank):
        best.setdefault((line["row"], line["kind"]), line)
    made = _named(samples, index.name, list(best.values()))
    worst: dict[str, str] = {}
    for line in sorted(made, key=_rank):
        worst.setdefault(line["row_id"], line["verdict"])
    leaks = pa.Table.from_pylist(made, schema=LEAKS)
    return Hits(
        leaks.sort_by([(name, "ascending") for name in ("row_id", "kind")]),
        worst,
        _reviews(samples, worst, images, index, pictures, made),
    )


def _rank(line: dict[str, Any]) -> tuple[int, float, str]:
    return STRENGTH.index(line["verdict"]), -line["similarity"], line["item_id"]


def _named(
    samples: pa.Table, benchmark: str, lines: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    rows, ids = samples["row_id"].to_pylist(), samples["sample_id"].to_pylist()
    return [
        {**line, "row_id": rows[line["row"]], "sample_id": ids[line["row"]], "benchmark": benchmark}
        for line in lines
    ]


def _reviews(
    samples: pa.Table,
    worst: Mapping[str, str],
    images: ImageSet,
    index: BenchmarkIndex,
    pictures: ImageHits,
    lines: Sequence[dict[str, Any]],
) -> pa.Table:
    """What of the rows that nothing else decides is near."""
    columns = (samples[name].to_pylist() for name in ("row_id", "images"))
    undecided = {
        row: shown or () for row, shown in zip(*columns, strict=True) if worst.get(row) == NEAR
    }
    texts = [line for line in lines if line["kind"] == LONG_RUN and line["row_id"] in undecided]
    return review_list(undecided, images, index, pictures, texts)


def _by_image(
    samples: pa.Table,
    said: Sequence[Wording],
    images: ImageSet,
    index: BenchmarkIndex,
    hits: ImageHits,
) -> Iterator[dict[str, Any]]:
    """A line for every sample, benchmark item and pair of their pictures that met."""
    items = _items_of_images(index)
    met: dict[str, list[int]] = defaultdict(list)
    for place, mine in enumerate(hits.mine.tolist()):
        met[images.ids[mine]].append(place)
    names = index.images["image_id"].to_pylist()
    for row, shown in enumerate(samples["images"].to_pylist()):
        for place in (place for image in shown or () for place in met.get(image, ())):
            confirmed, exact = bool(hits.confirmed[place]), bool(hits.exact[place])
            for item, question in items[names[int(hits.theirs[place])]]:
                same = SAME_PAIR if question == said[row].question else SAME_IMAGE
                yield {
                    "row": row,
                    "item_id": item,
                    "kind": "same_image" if exact else "image_copy" if confirmed else "near_image",
                    "similarity": float(hits.similarity[place]),
                    "verdict": same if confirmed else NEAR,
                }


def _items_of_images(index: BenchmarkIndex) -> dict[str, list[tuple[str, str]]]:
    """Image id → (item id, digest of its question) of the items that show it."""
    found: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for line in index.items.select(["item_id", "images", "question"]).to_pylist():
        for image in line["images"] or ():
            found[image].append((line["item_id"], line["question"]))
    return found


def _by_words(
    samples: pa.Table,
    said: Sequence[Wording],
    index: BenchmarkIndex,
    config: DecontaminateConfig,
    jaccard: float,
) -> Iterator[dict[str, Any]]:
    """A line for every sample whose question and answer repeat an item's.

    Equal in normal form or Jaccard similarity of their word runs from `jaccard` on: same text. A
    long run in common: near. Word runs of all items are looked up, so nothing is missed.
    """
    lines = index.items.to_pylist()
    whole: dict[str, list[int]] = defaultdict(list)
    for item, line in enumerate(lines):
        whole[line["whole"]].append(item)
    shingles, grams = _Runs(lines, "shingles"), _Runs(lines, "grams")
    for row, (own, shown) in enumerate(zip(said, samples["images"].to_pylist(), strict=True)):
        for item in whole.get(own.whole, ()):
            if _telling(own.words, shown, lines[item], config):
                yield _line(row, lines[item], "same_text", 1.0, SAME_TEXT)
        for item, shared in shingles.shared(own.shingles):
            union = len(own.shingles) + len(lines[item]["shingles"]) - shared
            near = shared / union >= jaccard and lines[item]["whole"] != own.whole
            if near and _telling(own.words, shown, lines[item], config):
                yield _line(row, lines[item], "near_text", shared / union, SAME_TEXT)
        for item, shared in grams.shared(own.grams):
            share = shared / len(lines[item]["grams"])
            yield _line(row, lines[item], LONG_RUN, share, NEAR)


def _telling(
    words: int, shown: Sequence[str] | None, item: dict[str, Any], config: DecontaminateConfig
) -> bool:
    """Whether words alone say that two are the same: many of them, or no picture on either side."""
    bare = not shown and not item["images"]
    return bare or min(words, item["words"]) >= config.least_words


def _line(
    row: int, item: dict[str, Any], kind: str, similarity: float, verdict: str
) -> dict[str, Any]:
    return {
        "row": row,
        "item_id": item["item_id"],
        "kind": kind,
        "similarity": similarity,
        "verdict": verdict,
    }


class _Runs:
    """Hashed runs of words of all items, sorted, so that a sample's are looked up at once."""

    def __init__(self, lines: Sequence[dict[str, Any]], column: str) -> None:
        sizes = [len(line[column] or ()) for line in lines]
        flat = np.array([run for line in lines for run in line[column] or ()], dtype=np.uint64)
        order = np.argsort(flat, kind="stable")
        self.hashes = flat[order]
        self.item = np.repeat(np.arange(len(lines)), sizes)[order]

    def shared(self, runs: frozenset[int]) -> Iterator[tuple[int, int]]:
        """Items that share a run, by number, and how many they share."""
        wanted = np.array(sorted(runs), dtype=np.uint64)
        first = np.searchsorted(self.hashes, wanted, "left")
        last = np.searchsorted(self.hashes, wanted, "right")
        parts = [
            self.item[a:b] for a, b in zip(first.tolist(), last.tolist(), strict=True) if b > a
        ]
        if parts:
            items, counts = np.unique(np.concatenate(parts), return_counts=True)
            yield from zip(items.tolist(), counts.tolist(), strict=True)
