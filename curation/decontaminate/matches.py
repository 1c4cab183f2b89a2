"""Find which samples of a pool meet a benchmark, how, and how sure that is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.decontaminate.config import DecontaminateConfig
from curation.decontaminate.images import ImageHits, match_images
from curation.decontaminate.index import BenchmarkIndex
from curation.decontaminate.passages import Passage, question_digests, sample_passages, turns_of
from curation.decontaminate.review import LONG_RUN, review_list
from curation.matching.image_copies import ImageSet
from curation.matching.settings import ImageCopyConfig
from medsift.records import LEAKS
from medsift.vocabulary import NEAR

SAME_PAIR: Final = "same image and question"
SAME_IMAGE: Final = "same image"
SAME_TEXT: Final = "same text"
STRENGTH: Final = (SAME_PAIR, SAME_IMAGE, SAME_TEXT, NEAR)
CONTENT: Final = ["images", "messages", "question", "answer"]


class Hits(NamedTuple):
    """Rows of LEAKS, the worst verdict of each row that has one, and REVIEWS of those undecided."""

    leaks: pa.Table
    worst: dict[str, str]
    reviews: pa.Table


class _Match(NamedTuple):
    """Sample and benchmark item that meet, how, and how sure that is."""

    row: int
    item_id: str
    kind: str
    similarity: float
    verdict: str


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
    Of one sample and kind the strongest hit is listed. The result does not depend on the order of
    either side.

    Args:
        samples: Rows that may be trained on.
        images: Facts and vectors of their pictures.
        index: The benchmark.
        config: Which matches count.
        copies: When two pictures are copies.
        jaccard: Share of word shingles from which two texts are near.
    """
    pictures = match_images(images, index, copies, config)
    shown = [images.ids[picture] for picture in pictures.left.tolist()]
    leaks, worst = find_leaks(samples, shown, pictures, index, config, jaccard)
    columns = (samples[name].to_pylist() for name in ("row_id", "images"))
    undecided = {
        row: of_row or () for row, of_row in zip(*columns, strict=True) if worst.get(row) == NEAR
    }
    return Hits(leaks, worst, review_list(undecided, shown, index, pictures, leaks))


def find_leaks(
    samples: pa.Table,
    shown: Sequence[str],
    pictures: ImageHits,
    index: BenchmarkIndex,
    config: DecontaminateConfig,
    jaccard: float,
) -> tuple[pa.Table, dict[str, str]]:
    """Return LEAKS of some rows of a pool, sorted, and the worst verdict of each that has one.

    Args:
        samples: The rows.
        shown: Image id of the pool's picture of each pair of pictures (p).
        pictures: Pairs (p,) of pictures that are the same or near.
        index: The benchmark.
        config: Which matches count.
        jaccard: Share of word shingles from which two texts are near.
    """
    matches = list(_match_images(samples, shown, index, pictures))
    known = _Passages(index)
    for row, sample in enumerate(samples.select(CONTENT).to_pylist()):
        for passage in sample_passages(turns_of(sample), config.ngram_words):
            repeated = known.matches(passage, not sample["images"], config, jaccard)
            matches += (match._replace(row=row) for match in repeated)
    # The strongest first; equals go by item id, so that the order of items decides nothing.
    matches.sort(key=lambda match: (STRENGTH.index(match.verdict), -match.similarity, match[1]))
    rows, ids = (samples[name].to_pylist() for name in ("row_id", "sample_id"))
    listed: dict[tuple[int, str], _Match] = {}
    worst: dict[str, str] = {}
    for match in matches:
        listed.setdefault((match.row, match.kind), match)
        worst.setdefault(rows[match.row], match.verdict)
    lines = [
        {
            **match._asdict(),
            "row_id": rows[match.row],
            "sample_id": ids[match.row],
            "benchmark": index.name,
        }
        for match in listed.values()
    ]
    leaks = pa.Table.from_pylist(lines, schema=LEAKS)
    return leaks.sort_by([(name, "ascending") for name in ("row_id", "kind")]), worst


def _match_images(
    samples: pa.Table, shown: Sequence[str], index: BenchmarkIndex, hits: ImageHits
) -> Iterator[_Match]:
    """Yield a match for every sample, benchmark item and pair of their pictures that met."""
    questions_of: dict[int, set[str]] = defaultdict(set)
    for passage in index.passages.select(["item", "question"]).to_pylist():
        if passage["question"] is not None:
            questions_of[passage["item"]].add(passage["question"])
    # Image ids to the items that show them, each with the digests of its questions.
    items: dict[str, list[tuple[str, set[str]]]] = defaultdict(list)
    for number, item in enumerate(index.items.to_pylist()):
        for image in item["images"] or ():
            items[image].append((item["item_id"], questions_of[number]))
    pairs_of: dict[str, list[int]] = defaultdict(list)
    for pair, image in enumerate(shown):
        pairs_of[image].append(pair)
    names = index.images["image_id"].to_pylist()
    for row, sample in enumerate(samples.select(CONTENT).to_pylist()):
        pairs = [pair for image in sample["images"] or () for pair in pairs_of.get(image, ())]
        asked = question_digests(turns_of(sample)) if pairs else frozenset()
        for pair in pairs:
            confirmed, exact = bool(hits.confirmed[pair]), bool(hits.exact[pair])
            kind = "same_image" if exact else "image_copy" if confirmed else "near_image"
            for item_id, questions in items[names[int(hits.right[pair])]]:
                same = SAME_IMAGE if asked.isdisjoint(questions) else SAME_PAIR
                similarity = float(hits.similarity[pair])
                yield _Match(row, item_id, kind, similarity, same if confirmed else NEAR)


class _Passages:
    """The passages of an index as columns (p,), and their places by digest and by run."""

    def __init__(self, index: BenchmarkIndex) -> None:
        ids, images = (index.items[name].to_pylist() for name in ("item_id", "images"))
        item, self.wholes = (index.passages[name].to_pylist() for name in ("item", "whole"))
        self.items: list[str] = [ids[number] for number in item]
        self.bare = [not images[number] for number in item]
        self.entire: list[bool] = index.passages["entire"].to_pylist()
        self.words: list[int] = index.passages["words"].to_pylist()
        self.by_whole: dict[str, list[int]] = defaultdict(list)
        for number, digest in enumerate(self.wholes):
            self.by_whole[digest].append(number)
        self.shingles = _Runs(index.passages["shingles"])
        self.grams = _Runs(index.passages["grams"])

    def matches(
        self, passage: Passage, bare: bool, config: DecontaminateConfig, jaccard: float
    ) -> Iterator[_Match]:
        """Yield matches with what a passage of a sample, of row -1, repeats.

        Equal in normal form, Jaccard similarity of their word runs from `jaccard` on, or all of an
        item's long runs in the sample: same text. A long run in common: near. Runs of all items are
        looked up, so nothing is missed; the cost goes by the words of both sides.

        Args:
            passage: A piece of a sample's conversation.
            bare: Whether the sample has no picture.
            config: How many words make a text a hit by itself.
            jaccard: Share of word shingles from which two texts are near.
        """

        def words_suffice(number: int) -> bool:
            # Few words are common to many samples. They say enough only where neither side has a
            # picture and the item is no longer than this: thanks in a long talk say nothing.
            short_item = bare and self.bare[number] and self.entire[number]
            return short_item or min(passage.words, self.words[number]) >= config.min_words

        for number in self.by_whole.get(passage.whole, ()):
            if words_suffice(number):
                yield _Match(-1, self.items[number], "same_text", 1.0, SAME_TEXT)
        for number, shared in self.shingles.shared(passage.shingles):
            union = len(passage.shingles) + int(self.shingles.sizes[number]) - shared
            near = shared / union >= jaccard and self.wholes[number] != passage.whole
            if near and words_suffice(number):
                yield _Match(-1, self.items[number], "near_text", shared / union, SAME_TEXT)
        for number, shared in self.grams.shared(passage.grams):
            share = shared / int(self.grams.sizes[number])
            all_of_it = share == 1.0 and self.words[number] >= config.min_words
            verdict = SAME_TEXT if all_of_it else NEAR
            yield _Match(-1, self.items[number], LONG_RUN, share, verdict)


class _Runs:
    """Hashed runs of words of all passages, sorted, so that a sample's are looked up at once."""

    def __init__(self, runs: pa.ChunkedArray) -> None:
        self.sizes = pc.list_value_length(runs).to_numpy().astype(np.int64)
        flat = pc.list_flatten(runs).to_numpy().astype(np.uint64)
        order = np.argsort(flat, kind="stable")
        self.hashes = flat[order]
        self.passage = np.repeat(np.arange(len(runs)), self.sizes)[order]

    def shared(self, runs: frozenset[int]) -> Iterator[tuple[int, int]]:
        """Yield the number of each passage that shares a run, and how many runs it shares."""
        wanted = np.array(sorted(runs), dtype=np.uint64)
        first, last = (
            np.searchsorted(self.hashes, wanted, side).tolist() for side in ("left", "right")
        )
        parts = [self.passage[a:b] for a, b in zip(first, last, strict=True) if b > a]
        if parts:
            passages, counts = np.unique(np.concatenate(parts), return_counts=True)
            yield from zip(passages.tolist(), counts.tolist(), strict=True)
