"""Gold answers counted by the kind of question, those of an item's own cluster left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from string import ascii_uppercase as LETTERS
from typing import Any, ClassVar, Final, NamedTuple

import pyarrow as pa

from evaluation.benchmarks.manifest import ManifestSplit
from evaluation.generators.generator import GeneratorConfig, Reply, Request
from evaluation.scoring.choice import right_options
from evaluation.scoring.closed import polarity
from evaluation.statistics.clusters import cluster_ids
from medsift import records
from medsift.errors import UsageError
from medsift.storage.local_paths import LocalPath

TALLY_VERSION: Final = 2
"""Raised when equal items give other counts."""
TRAINED_ON: Final = "train"
OPTIONS, YES_OR_NO, WORDS = "options", "yes or no", "words"
ANYWHERE: Final = ""
"""The benchmark and the cluster of what comes from a training split."""


class Kind(NamedTuple):
    """What is known of a question without reading it."""

    benchmark: str
    answer_type: str
    form: str


class Counted(NamedTuple):
    """An item as it is counted: its answer is a letter, yes or no, or folded words."""

    kind: Kind
    cluster: str
    answer: str
    options: int


class BaselineConfig(GeneratorConfig):
    """Settings of an answer from counts: neither a model nor a look at the question."""

    train: LocalPath | None = None
    """Manifest whose newest run's training split is counted instead of the benchmark itself."""

    looks: ClassVar[bool] = False
    lasting: ClassVar[bool] = False
    kind: str

    def own_name(self) -> str:
        """The kind."""
        return self.kind

    def fingerprint(self) -> str:
        """Identity of settings and training answers; the benchmark's stand in the evaluation.

        Raises InputError or ManifestError where there is no training split.
        """
        counts = Counter((*one.kind, one.answer) for one in self._trained_on())
        told = self.model_dump(mode="json", exclude={"label", "train"})
        return records.fingerprint([TALLY_VERSION, told, sorted(counts.items())])

    def tally(self, items: pa.Table) -> Tally:
        """What there is to count for these items (``ITEMS``)."""
        asked = count_items(items)
        return Tally(asked, self._trained_on() if self.train else asked.values())

    def _trained_on(self) -> list[Counted]:
        if self.train is None:
            return []
        entries = ManifestSplit(path=str(self.train), split=TRAINED_ON).questions()
        return [
            _counted(ANYWHERE, ANYWHERE, one.answer_type, one.options, one.gold) for one in entries
        ]


@dataclass(frozen=True, slots=True)
class Pool:
    """Answers to one kind of question, cluster by cluster: rows' order is nothing.

    `blocks` maps a cluster to where its answers begin and end; `ranked` are all distinct answers
    with their counts, the commonest first, of equally common ones the smallest text.
    """

    answers: Sequence[str]
    blocks: Mapping[str, tuple[int, int]]
    ranked: Sequence[tuple[str, int]]

    @classmethod
    def of(cls, counted: Iterable[Counted]) -> Pool:
        """The pool of these items."""
        ordered = sorted((one.cluster, one.answer) for one in counted)
        blocks: dict[str, tuple[int, int]] = {}
        for place, (cluster, _) in enumerate(ordered):
            blocks[cluster] = (blocks.get(cluster, (place, place))[0], place + 1)
        answers = [answer for _, answer in ordered]
        ranked = sorted(Counter(answers).items(), key=lambda line: (-line[1], line[0]))
        return cls(answers, blocks, ranked)

    def commonest(self, but: str) -> str | None:
        """The commonest answer outside of a cluster, of ties the smallest; None without any."""
        own = self._own(but)
        left: list[tuple[int, str]] = []
        for answer, count in self.ranked:
            left.append((own[answer] - count, answer))
            if not own[answer]:
                # Those that follow are no commoner than this one, which loses nothing.
                break
        fewest, answer = min(left, default=(0, ""))
        return answer if fewest < 0 else None

    def drawn(self, but: str, place: Callable[[int], int]) -> str | None:
        """The answer at `place(n)` of the n outside of a cluster; None without any."""
        start, stop = self.blocks.get(but, (0, 0))
        others = len(self.answers) - (stop - start)
        if not others:
            return None
        at = place(others)
        return self.answers[at if at < start else at + stop - start]

    def shares(self, candidates: Sequence[str]) -> tuple[float, ...] | None:
        """Share of each candidate among their answers; None without any."""
        known = dict(self.ranked)
        counts = [known.get(candidate, 0) for candidate in candidates]
        return tuple(count / sum(counts) for count in counts) if sum(counts) else None

    def _own(self, cluster: str) -> Counter[str]:
        return Counter(self.answers[slice(*self.blocks.get(cluster, (0, 0)))])


class Tally:
    """Pools of answers, and which of them an item may be answered from."""

    def __init__(
        self, asked: Mapping[tuple[str, str], Counted], counted: Iterable[Counted]
    ) -> None:
        self._asked = asked
        self._by_kind: dict[Kind, list[Counted]] = {}
        for one in counted:
            self._by_kind.setdefault(one.kind, []).append(one)
        self._pool = cache(self._make)

    def reply(self, request: Request, choose: Callable[[Pool, str], str | None]) -> Reply:
        """What `choose` takes from the item's pool, its own cluster named, as a reply."""
        item = self._asked.get((request.benchmark, request.item_id))
        if item is None:
            raise UsageError(
                f"{request.benchmark} {request.item_id} is none of the items that were counted; "
                "build the baseline with all items that are asked",
                code="baseline_unfit",
            )
        kind = self._kind(item.kind)
        pool = self._pool(kind, item.options)
        text = choose(pool, item.cluster)
        if text is None:
            return Reply(None, error=f"no other {item.kind.answer_type} question to count")
        # Where an item's own cluster is left out, its gold answer makes its own share smaller: such
        # shares, put in bins, are wrong by construction and say nothing of calibration.
        weighed = [_as_counted(kind, candidate) for candidate in request.candidates]
        shares = pool.shares(weighed) if kind.benchmark == ANYWHERE else None
        return Reply(text, shares)

    def _kind(self, kind: Kind) -> Kind:
        """The kind under which answers to such questions were counted."""
        trained = kind._replace(benchmark=ANYWHERE)
        return trained if trained in self._by_kind else kind

    def _make(self, kind: Kind, options: int) -> Pool:
        """The pool of a kind; of letters those that an item with so many options has."""
        counted = self._by_kind.get(kind, [])
        if kind.form == OPTIONS:
            counted = [one for one in counted if one.answer in LETTERS[:options]]
        return Pool.of(counted)


def count_items(items: pa.Table) -> dict[tuple[str, str], Counted]:
    """The items (``ITEMS``) as they are counted, by benchmark and id.

    Raises InputError for a gold answer that is none of its item's options.
    """
    names = ("benchmark", "item_id", "answer_type", "options", "gold")
    columns = [items[name].to_pylist() for name in names]
    clusters = cluster_ids(items).to_pylist()
    return {
        (benchmark, item_id): _counted(benchmark, cluster, answer_type, options or (), gold)
        for benchmark, item_id, answer_type, options, gold, cluster in zip(
            *columns, clusters, strict=True
        )
    }


def _counted(
    benchmark: str, cluster: str, answer_type: str, options: Sequence[str], gold: str
) -> Counted:
    form, answer = _answer(answer_type, tuple(options), gold)
    return Counted(Kind(benchmark, answer_type, form), cluster, answer, len(options))


def _answer(answer_type: str, options: tuple[str, ...], gold: str) -> tuple[str, str]:
    """The form of an answer, and the answer in it."""
    if options:
        return OPTIONS, LETTERS[min(right_options(gold, options))]
    pole: Any = polarity(gold) if answer_type == "closed" else None
    if pole is not None:
        return YES_OR_NO, _word(pole)
    return WORDS, records.canonical_text(gold).casefold()


def _as_counted(kind: Kind, candidate: str) -> str:
    """A candidate as answers of its kind are counted: yes and no in whatever language."""
    pole = polarity(candidate) if kind.form == YES_OR_NO else None
    return candidate if pole is None else _word(pole)


def _word(pole: bool) -> str:
    return "yes" if pole else "no"
