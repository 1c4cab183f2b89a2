"""The commonest answer to the kind of question: what is right without looking or reading."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import pyarrow as pa

from evaluation.generators.answer_counts import BaselineConfig, Tally
from evaluation.generators.generator import Generator, Reply, Request


class MajorityGenerator(BaselineConfig):
    """The commonest gold answer among the other clusters, of ties the smallest text.

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

    def build(self, items: pa.Table) -> Generator:
        """Count. Raises InputError for unsound golds and, of `train`, as `fingerprint` does."""
        return Majority(self.tally(items))


class Majority:
    """Answers from counts."""

    def __init__(self, tally: Tally) -> None:
        self.tally = tally

    def generate(self, requests: Sequence[Request]) -> list[Reply]:
        """One reply a request, in order; without text where no other item is of its kind."""
        return [
            self.tally.reply(one, lambda pool, own: pool.commonest(but=own)) for one in requests
        ]
