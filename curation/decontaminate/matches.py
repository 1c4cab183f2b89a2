"""Which samples of a pool meet a benchmark, how, and how sure that is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.decontaminate.config import DecontaminateConfig
from curation.decontaminate.images import ImageHits, match_images
from curation.decontaminate.index import BenchmarkIndex
from curation.decontaminate.passages import (
    Passage,
    question_digests,
    sample_passages,
    turns_of,
)
from curation.decontaminate.review import review_list
from curation.matching.image_copies import ImageSet
from curation.matching.settings import ImageCopyConfig
from medsift.records import LEAKS
from medsift.vocabulary import NEAR

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
    copies: ImageCopyConfig,
    jaccard: float,
) -> Hits:
    """Compare SAMPLES rows with a benchmark: by picture, by words, and by both.

    Every exchange, every turn and the whole of a conversation count, on both sides.
    Of one sample and kind the strongest hit is listed, of equals the one with the smallest item
    id. The result does not depend on the order of either side.

    Args:
        samples: Rows that may be trained on.
        images: Facts and vectors of their pictures.
        index: The benchmark.
        config: Which matches count.
        copies: When two pictures are copies.
        jaccard: Share of word shingles from which two texts are near.
    """
    pictures = match_images(images, index, copies, config)
    lines = [
        *_by_image(samples, images, index, pictures),
        *_by_words(samples, index, config, jaccard),
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


TURNS: Final = ["messages", "question", "answer"]


def _by_image(
    samples: pa.Table, images: ImageSet, index: BenchmarkIndex, hits: ImageHits
) -> Iterator[dict[str, Any]]:
    """A line for every sample, benchmark item and pair of their pictures that met."""
    items = _items_of_images(index)
    met: dict[str, list[int]] = defaultdict(list)
    for place, mine in enumerate(hits.mine.tolist()):
        met[images.ids[mine]].append(place)
    names = index.images["image_id"].to_pylist()
    for row, line in enumerate(samples.select(["images", *TURNS]).to_pylist()):
        places = [place for image in line["images"] or () for place in met.get(image, ())]
        asked = question_digests(turns_of(line)) if places else frozenset()
        for place in places:
            confirmed, exact = bool(hits.confirmed[place]), bool(hits.exact[place])
            for item, questions in items[names[int(hits.theirs[place])]]:
                same = SAME_IMAGE if asked.isdisjoint(questions) else SAME_PAIR
                yield {
                    "row": row,
                    "item_id": item,
                    "kind": "same_image" if exact else "image_copy" if confirmed else "near_image",
                    "similarity": float(hits.similarity[place]),
                    "verdict": same if confirmed else NEAR,
                }


def _items_of_images(index: BenchmarkIndex) -> dict[str, list[tuple[str, frozenset[str]]]]:
    """Image id → (item id, digests of its questions) of the items that show it."""
    asked: dict[int, set[str]] = defaultdict(set)
    for line in index.passages.select(["item", "question"]).to_pylist():
        if line["question"] is not None:
            asked[line["item"]].add(line["question"])
    found: dict[str, list[tuple[str, frozenset[str]]]] = defaultdict(list)
    for item, line in enumerate(index.items.to_pylist()):
        for image in line["images"] or ():
            found[image].append((line["item_id"], frozenset(asked[item])))
    return found


def _by_words(
    samples: pa.Table, index: BenchmarkIndex, config: DecontaminateConfig, jaccard: float
) -> Iterator[dict[str, Any]]:
    """A line for every sample, of which a passage repeats one of an item's, and that passage.

    Equal in normal form, Jaccard similarity of their word runs from `jaccard` on, or all of an
    item's long runs in the sample: same text. A long run in common: near. Runs of all items are
    looked up, so nothing is missed; the cost goes by the words of both sides.
    """
    book = _Book.of(index)
    for row, line in enumerate(samples.select(["images", *TURNS]).to_pylist()):
        for own in sample_passages(turns_of(line), config.ngram_words):
            for place, kind, similarity, verdict in _met(
                own, not line["images"], book, config, jaccard
            ):
                yield {
                    "row": row,
                    "item_id": book.items[place],
                    "kind": kind,
                    "similarity": similarity,
                    "verdict": verdict,
                }


def _met(
    own: Passage, bare: bool, book: _Book, config: DecontaminateConfig, jaccard: float
) -> Iterator[tuple[int, str, float, str]]:
    """Place in the book, kind, similarity and verdict of what one passage repeats.

    `bare` tells a passage of a sample without a picture.
    """
    for place in book.whole.get(own.whole, ()):
        if _telling(own, bare, place, book, config):
            yield place, "same_text", 1.0, SAME_TEXT
    for place, shared in book.shingles.shared(own.shingles):
        union = len(own.shingles) + int(book.shingles.sizes[place]) - shared
        near = shared / union >= jaccard and book.wholes[place] != own.whole
        if near and _telling(own, bare, place, book, config):
            yield place, "near_text", shared / union, SAME_TEXT
    for place, shared in book.grams.shared(own.grams):
        share = shared / int(book.grams.sizes[place])
        all_of_it = share == 1.0 and book.words[place] >= config.min_words
        yield place, LONG_RUN, share, SAME_TEXT if all_of_it else NEAR


def _telling(
    own: Passage, bare: bool, place: int, book: _Book, config: DecontaminateConfig
) -> bool:
    """Whether words alone say that two are the same.

    They do when they are many, or when an item that is no longer than this and neither side have a
    picture; a short exchange of a long talk, such as thanks, says nothing.
    """
    short_item = bare and book.bare[place] and book.entire[place]
    return bool(short_item) or min(own.words, book.words[place]) >= config.min_words


@dataclass(frozen=True, slots=True)
class _Book:
    """The passages of an index as columns (p,), and their places by digest and by run."""

    items: list[str]
    bare: list[bool]
    entire: list[bool]
    words: list[int]
    wholes: list[str]
    whole: dict[str, list[int]]
    shingles: _Runs
    grams: _Runs

    @classmethod
    def of(cls, index: BenchmarkIndex) -> _Book:
        ids, images = (index.items[name].to_pylist() for name in ("item_id", "images"))
        item, wholes = (index.passages[name].to_pylist() for name in ("item", "whole"))
        whole: dict[str, list[int]] = defaultdict(list)
        for place, digest in enumerate(wholes):
            whole[digest].append(place)
        return cls(
            items=[ids[number] for number in item],
            bare=[not images[number] for number in item],
            entire=index.passages["entire"].to_pylist(),
            words=index.passages["words"].to_pylist(),
            wholes=wholes,
            whole=whole,
            shingles=_Runs(index.passages["shingles"]),
            grams=_Runs(index.passages["grams"]),
        )


class _Runs:
    """Hashed runs of words of all passages, sorted, so that a sample's are looked up at once."""

    def __init__(self, runs: pa.ChunkedArray) -> None:
        self.sizes = pc.list_value_length(runs).to_numpy().astype(np.int64)
        flat = pc.list_flatten(runs).to_numpy().astype(np.uint64)
        order = np.argsort(flat, kind="stable")
        self.hashes = flat[order]
        self.item = np.repeat(np.arange(len(runs)), self.sizes)[order]

    def shared(self, runs: frozenset[int]) -> Iterator[tuple[int, int]]:
        """Passages that share a run, by number, and how many they share."""
        wanted = np.array(sorted(runs), dtype=np.uint64)
        first = np.searchsorted(self.hashes, wanted, "left")
        last = np.searchsorted(self.hashes, wanted, "right")
        parts = [
            self.item[a:b] for a, b in zip(first.tolist(), last.tolist(), strict=True) if b > a
        ]
        if parts:
            items, counts = np.unique(np.concatenate(parts), return_counts=True)
            yield from zip(items.tolist(), counts.tolist(), strict=True)
