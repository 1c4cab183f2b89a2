"""Compute how likely answers are with pictures and words, without pictures, and without words.

Each distinct (pictures, conversation, answer) is put to a vision-language model once a view,
whichever scorers ask and in how many runs: log-probabilities are cached under the model's identity.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import Any, ClassVar, Final, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from curation.scoring.illustrated import IllustratedExchange, read_illustrated
from curation.scoring.language import read_through, report_spelled
from curation.scoring.scorer import ScorerConfig, ScoringContext
from medsift import records
from medsift.arrays import Doubles
from medsift.device_clock import DeviceClock
from medsift.execution import Resources, Tables
from medsift.images.curated import read_picture
from medsift.models import AnyImageTextModel
from medsift.models.image_text import IMAGE_TEXT_VERSION, Illustrated, ImageTextLikelihood
from medsift.models.load_once import load_once
from medsift.storage.parts import read_folder
from medsift.storage.table_cache import TableCache
from medsift.vocabulary import IMAGE_MARK

View = Literal["whole", "without_pictures", "without_words"]
"""What a model is shown before an answer: everything, the words alone, or the pictures alone."""

SAMPLES_PER_ITEM: Final = 32
DECIMALS: Final = 4
PICTURES_IN_MEMORY: Final = 16

LOGPROBS: Final = pa.schema(
    [
        pa.field("content_id", pa.string(), nullable=False),
        pa.field("logprob", pa.float64()),
        pa.field("spelled", pa.string()),
    ]
)
"""Mean log-probability of an answer's tokens in one view, in nats.

Null where a text spells a token of the model's own, which is named under `spelled`.
"""


class GainConfig(ScorerConfig):
    """Settings of a scorer that compares an answer's likelihood in two views."""

    removed: ClassVar[View]
    """The view that lacks what the scorer asks about."""
    model: AnyImageTextModel
    """Vision-language model, best the one to be trained."""
    max_answer_tokens: int = Field(512, ge=1)
    """Longest answer in tokens; the end of a longer one is left out."""
    batch_size: int | None = Field(None, ge=1)
    """Samples at once; when not given 1 on a CPU and 8 on a GPU."""

    def fingerprint(self) -> Any:
        """Return the identity of the gains, without the size of batches. Raises ModelError."""
        return [self.kind, self.view_fingerprint("whole"), self.view_fingerprint(self.removed)]

    def view_fingerprint(self, view: View) -> str:
        """Return the name of a view's log-probabilities in the cache. Raises ModelError."""
        identity = [IMAGE_TEXT_VERSION, DECIMALS, self.model.fingerprint(), self.max_answer_tokens]
        return records.fingerprint(["answer view", view, *identity])

    def score(self, context: ScoringContext) -> Doubles:
        """Return log p(answer | everything) - log p(answer | removed view) (n,), mean nats a token.

        NaN for samples without picture, question or answer, with a picture that the processor
        refuses, or with a text that spells a token of the model's own.
        """
        samples = context.pool.samples
        columns = [samples[name].to_pylist() for name in ("messages", "refs", "images")]
        exchanges = [read_illustrated(*sample) for sample in zip(*columns, strict=True)]
        distinct = {exchange.content_id: exchange for exchange in exchanges if exchange is not None}
        # Questions about one picture come one after another: it is decoded once.
        order = sorted((exchange.images, content) for content, exchange in distinct.items())
        ordered = [distinct[content] for _, content in order]
        items = [
            tuple(ordered[start : start + SAMPLES_PER_ITEM])
            for start in range(0, len(ordered), SAMPLES_PER_ITEM)
        ]
        cache = context.cache.absolute()
        context.executor.stream(
            items,
            lambda: ScoreViews(self, cache),
            context.folder,
            context.advance,
            Resources(lasting=True, accelerated=True),
        )
        whole, removed = (
            read_folder(context.folder / view, LOGPROBS).sort_by("content_id")
            for view in ("whole", self.removed)
        )
        report_spelled(self.kind, whole)
        logprob, without = (
            np.array(table["logprob"].to_pylist(), np.float64) for table in (whole, removed)
        )
        # Rounded to 4 decimals, below which batches of other shapes differ.
        gains = np.round(logprob - without, DECIMALS).tolist()
        gain = dict(zip(whole["content_id"].to_pylist(), gains, strict=True))
        return np.array(
            [np.nan if exchange is None else gain[exchange.content_id] for exchange in exchanges]
        )


class ScoreViews:
    """Worker: compute log-probabilities of exchanges, or take them from the cache."""

    def __init__(self, config: GainConfig, cache: Path) -> None:
        self.config = config
        views: tuple[View, View] = ("whole", config.removed)
        self.caches = {
            view: TableCache(cache / "gains", config.view_fingerprint(view), key="content_id")
            for view in views
        }
        self.picture = lru_cache(maxsize=PICTURES_IN_MEMORY)(read_picture)
        self.clock = DeviceClock()

    @property
    def spent(self) -> Mapping[str, float]:
        """How long the model worked on the last item, and how long it waited."""
        return self.clock.spent

    def __call__(self, item: Sequence[IllustratedExchange]) -> Iterator[Tables]:
        """Yield a table of LOGPROBS by content id for each view, under the view's name."""
        with self.clock.item():
            yield {
                view: read_through(cache, item, partial(self._score, view))
                for view, cache in self.caches.items()
            }

    @cached_property
    def _likelihood(self) -> ImageTextLikelihood:
        config = self.config
        loaded = load_once(config.model)
        return ImageTextLikelihood(loaded, config.max_answer_tokens, config.batch_size)

    def _score(self, view: View, exchanges: Sequence[IllustratedExchange]) -> pa.Table:
        with self.clock.loading():
            likelihood = self._likelihood
        samples = [
            Illustrated(
                (("user", IMAGE_MARK * len(exchange.refs)),)
                if view == "without_words"
                else exchange.turns,
                exchange.answer,
                list(map(self.picture, exchange.refs, exchange.images)),
            )
            for exchange in exchanges
        ]
        with self.clock.working():
            values = likelihood.answer_logprob(samples, view != "without_pictures")
        return pa.table(
            [
                pa.array([exchange.content_id for exchange in exchanges], pa.string()),
                pa.array(values, pa.float64(), from_pandas=True),
                pa.array(likelihood.spelled(samples), pa.string()),
            ],
            schema=LOGPROBS,
        )
