"""Answer from counts of gold answers, without a model and without a look at the question."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import ClassVar, Final, Literal

import pyarrow as pa
from pydantic import Field

from evaluation.benchmarks.manifest import ManifestSplit
from evaluation.generators.answer_counts import (
    ANYWHERE,
    Baseline,
    Choose,
    CountedAnswer,
    Pool,
    count_answer,
    count_items,
)
from evaluation.generators.generator import Generator, GeneratorConfig
from medsift import records
from medsift.models.generation.request import Request
from medsift.storage.local_paths import LocalPath

COUNTS_VERSION: Final = 2
"""Raised when equal items give other counts."""


class BaselineConfig(GeneratorConfig):
    """Settings of an answer from counts; subclasses add a `kind` and `build`."""

    train: LocalPath | None = None
    """Manifest whose newest run's training split is counted; the benchmark itself by default."""

    looks: ClassVar[bool] = False
    lasting: ClassVar[bool] = False
    kind: str

    def own_name(self) -> str:
        """Return the kind."""
        return self.kind

    def fingerprint(self) -> str:
        """Return the identity of settings and training answers.

        The benchmark's answers are part of the evaluation's identity. Raises InputError or
        ManifestError where there is no training split.
        """
        counts = Counter((*counted.kind, counted.answer) for counted in self._trained_on())
        settings = self.model_dump(mode="json", exclude={"label", "train"})
        return records.fingerprint([COUNTS_VERSION, settings, sorted(counts.items())])

    def counted(self, items: pa.Table, choose: Choose) -> Generator:
        """Count the answers to these items (``ITEMS``), or those of the training split."""
        by_item = count_items(items)
        return Baseline(by_item, self._trained_on() if self.train else by_item.values(), choose)

    def _trained_on(self) -> list[CountedAnswer]:
        if self.train is None:
            return []
        return [
            count_answer(ANYWHERE, ANYWHERE, entry.answer_type, entry.options, entry.gold)
            for entry in ManifestSplit(path=str(self.train), split="train").questions()
            if entry.gold is not None
        ]


class MajorityGenerator(BaselineConfig):
    """Settings of the commonest gold answer among the other clusters, of ties the smallest text.

    Answers are counted by benchmark, answer type and form: a letter of the options (of those
    that the item has), yes or no, or words. A cluster is a patient, else a picture, else an item
    (statistics.cluster_ids); an item's own is left out, so that no gold answer, and no other
    question about the same picture, answers it.

    What it scores is what the benchmark gives away by how its answers are spread: a model that is
    no better has shown nothing about pictures. It is no lower bound, as it knows the spread and
    which closed questions want a yes or no; and under leave-one-out an even split of two answers
    is missed by more than half, since leaving one out makes the other the commonest.
    """

    kind: Literal["majority"] = "majority"
    """The commonest answer to the same kind of question."""

    def build(self, items: pa.Table) -> Generator:
        """Count. Raises InputError for unsound golds and, of `train`, as `fingerprint` does."""
        return self.counted(items, lambda _, pool, own: pool.commonest(without=own))


class PriorGenerator(BaselineConfig):
    """Settings of the gold answer of another item of the same kind, each as likely.

    See `majority`. What it scores is agreement by chance, about the sum of the squared shares of
    the answers: less than `majority`, but rare answers are given too.
    """

    kind: Literal["prior"] = "prior"
    """An answer drawn as often as it is right."""
    seed: int = Field(0, ge=0)
    """Seed of the draws; a draw depends on seed, benchmark, item and variant alone."""

    def build(self, items: pa.Table) -> Generator:
        """Count. Raises InputError for unsound golds and, of `train`, as `fingerprint` does."""

        def draw(request: Request, pool: Pool, own: str) -> str | None:
            identity = (str(self.seed), request.benchmark, request.item_id, request.variant)
            return pool.draw(own, Random(records.digest("prior", *identity)).randrange)

        return self.counted(items, draw)
