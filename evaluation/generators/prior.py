"""An answer drawn as often as it is right: what guessing with the right odds gives."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Literal

import pyarrow as pa
from pydantic import Field

from evaluation.generators.answer_counts import BaselineConfig, Tally
from evaluation.generators.generator import Generator, Reply, Request
from medsift.records import digest


class PriorGenerator(BaselineConfig):
    """The gold answer of another item of the same kind, each as likely: see `majority`.

    What it scores is agreement by chance, about the sum of the squared shares of the answers: less
    than `majority`, but rare answers are given too.
    """

    kind: Literal["prior"] = "prior"
    seed: int = Field(0, ge=0)

    def build(self, items: pa.Table) -> Generator:
        """Count. Raises InputError for unsound golds and, of `train`, as `fingerprint` does."""
        return Prior(self.tally(items), self.seed)


class Prior:
    """Draws from counts; a draw depends on seed, benchmark, item and variant alone."""

    def __init__(self, tally: Tally, seed: int) -> None:
        self.tally, self.seed = tally, seed

    def generate(self, requests: Sequence[Request]) -> list[Reply]:
        """One reply a request, in order; without text where no other item is of its kind."""
        return [self._reply(one) for one in requests]

    def _reply(self, request: Request) -> Reply:
        identity = (str(self.seed), request.benchmark, request.item_id, request.variant)
        place = Random(digest("prior", *identity)).randrange
        return self.tally.reply(request, lambda pool, own: pool.drawn(own, place))
