"""Count gold answers by the kind of question, those of an item's own cluster left out."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from string import ascii_uppercase as LETTERS
from typing import Final, NamedTuple

import pyarrow as pa

from medsift import records
from medsift.errors import UsageError
from medsift.models.generation.request import Reply, Request
from medsift.replies.choice import right_options
from medsift.replies.closed import ANSWERS, polarity
from medsift.statistics.clusters import cluster_ids

OPTIONS, YES_OR_NO, WORDS = "options", "yes or no", "words"
ANYWHERE: Final = ""
"""The benchmark and the cluster of answers that come from a training split."""


class Kind(NamedTuple):
    """What is known of a question without reading it."""

    benchmark: str
    answer_type: str
    form: str


class CountedAnswer(NamedTuple):
    """An item as it is counted: its answer is a letter, yes or no, or folded words."""

    kind: Kind
    cluster: str
    answer: str
    options: int


class Pool:
    """Answers to one kind of question, cluster by cluster; the order of items decides nothing."""

    def __init__(self, counted: Iterable[CountedAnswer]) -> None:
        ordered = sorted((item.cluster, item.answer) for item in counted)
        self.answers = [answer for _, answer in ordered]
        # The answers of a cluster are neighbours: where they begin and end.
        self.blocks: dict[str, tuple[int, int]] = {}
        for at, (cluster, _) in enumerate(ordered):
            self.blocks[cluster] = (self.blocks.get(cluster, (at, at))[0], at + 1)
        self.counts = Counter(self.answers)
        # The commonest first, of equally common ones the smallest text.
        self.ranked = sorted(self.counts, key=lambda answer: (-self.counts[answer], answer))

    def commonest(self, without: str) -> str | None:
        """Return the commonest answer outside of a cluster, of ties the smallest."""
        own = Counter(self.answers[slice(*self.blocks.get(without, (0, 0)))])
        left: list[tuple[int, str]] = []
        for answer in self.ranked:
            left.append((own[answer] - self.counts[answer], answer))
            if not own[answer]:
                # Those that follow are no commoner than this one, which loses nothing.
                break
        fewest, answer = min(left, default=(0, ""))
        return answer if fewest < 0 else None

    def draw(self, without: str, pick: Callable[[int], int]) -> str | None:
        """Return the answer at `pick(n)` of the n outside of a cluster; None without any."""
        start, stop = self.blocks.get(without, (0, 0))
        others = len(self.answers) - (stop - start)
        if not others:
            return None
        at = pick(others)
        return self.answers[at if at < start else at + stop - start]

    def shares(self, candidates: Sequence[str]) -> tuple[float, ...] | None:
        """Return the share of each candidate among their answers; None without any."""
        counts = [self.counts[candidate] for candidate in candidates]
        return tuple(count / sum(counts) for count in counts) if sum(counts) else None


Choose = Callable[[Request, Pool, str], str | None]
"""Takes an answer to a request from its pool, without those of the named cluster."""


class Baseline:
    """Replies with what `choose` takes from the answers that may be counted for an item."""

    def __init__(
        self,
        by_item: Mapping[tuple[str, str], CountedAnswer],
        counted: Iterable[CountedAnswer],
        choose: Choose,
    ) -> None:
        self._by_item, self._choose = by_item, choose
        self._by_kind: dict[Kind, list[CountedAnswer]] = defaultdict(list)
        for item in counted:
            self._by_kind[item.kind].append(item)
        self._pool = cache(self._make_pool)

    def generate(self, requests: Sequence[Request]) -> list[Reply]:
        """Return one reply a request, in order; without text where no other item is of its kind."""
        return [self._reply(request) for request in requests]

    def _reply(self, request: Request) -> Reply:
        item = self._by_item.get((request.benchmark, request.item_id))
        if item is None:
            raise UsageError(
                f"{request.benchmark} {request.item_id} is none of the items that were counted; "
                "build the baseline with all items that are asked",
                code="baseline_unfit",
                item=f"{request.benchmark} {request.item_id}",
            )
        # Answers of a training split are of no benchmark, and go before the benchmark's own.
        trained = item.kind._replace(benchmark=ANYWHERE)
        kind = trained if trained in self._by_kind else item.kind
        pool = self._pool(kind, item.options)
        text = self._choose(request, pool, item.cluster)
        if text is None:
            return Reply(None, error=f"no other {item.kind.answer_type} question to count")
        if kind.benchmark != ANYWHERE:
            # Where an item's own cluster is left out, its gold answer makes its own share smaller:
            # such shares, put in bins, are wrong by construction and say nothing of calibration.
            return Reply(text)
        # Yes and no are counted in English, whatever language they are asked in.
        in_english = kind.form == YES_OR_NO
        candidates = [
            ANSWERS[pole] if in_english and (pole := polarity(said)) is not None else said
            for said in request.candidates
        ]
        return Reply(text, pool.shares(candidates))

    def _make_pool(self, kind: Kind, options: int) -> Pool:
        """Return the pool of a kind; of letters those that an item with so many options has."""
        counted = self._by_kind.get(kind, [])
        if kind.form == OPTIONS:
            counted = [item for item in counted if item.answer in LETTERS[:options]]
        return Pool(counted)


def count_items(items: pa.Table) -> dict[tuple[str, str], CountedAnswer]:
    """Return the items (``ITEMS``) as they are counted, by benchmark and id.

    Raises InputError for a gold answer that is none of its item's options.
    """
    names = ("benchmark", "item_id", "answer_type", "options", "gold")
    columns = [items[name].to_pylist() for name in names]
    clusters = cluster_ids(items).to_pylist()
    return {
        (benchmark, item_id): count_answer(benchmark, cluster, answer_type, options or (), gold)
        for benchmark, item_id, answer_type, options, gold, cluster in zip(
            *columns, clusters, strict=True
        )
    }


def count_answer(
    benchmark: str, cluster: str, answer_type: str, options: Sequence[str], gold: str
) -> CountedAnswer:
    """Return an item as it is counted.

    Args:
        benchmark: the item's benchmark, or `ANYWHERE`.
        cluster: its patient, picture or item, or `ANYWHERE`.
        answer_type: closed, open or choice.
        options: the answers it offers; empty where there are none.
        gold: its right answer.

    Raises:
        InputError: the gold answer is none of the options.
    """
    pole = polarity(gold) if answer_type == "closed" else None
    if options:
        form, answer = OPTIONS, LETTERS[min(right_options(gold, tuple(options)))]
    elif pole is not None:
        form, answer = YES_OR_NO, ANSWERS[pole]
    else:
        form, answer = WORDS, records.canonical_text(gold).casefold()
    return CountedAnswer(Kind(benchmark, answer_type, form), cluster, answer, len(options))
