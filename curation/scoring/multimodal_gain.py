"""Score how much an answer's likelihood gains by the picture: what text alone cannot teach."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import chain
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from curation.scoring.language import Exchange, read_exchange, read_through, report_spelled
from curation.scoring.scorer import ScorerConfig, ScoringContext
from medsift import records
from medsift.arrays import Doubles
from medsift.execution import Resources, Tables
from medsift.images.curated import read_picture
from medsift.models import AnyImageTextModel
from medsift.models.image_text import IMAGE_TEXT_VERSION, Illustrated, ImageTextLikelihood, marked
from medsift.models.load_once import load_once
from medsift.storage.parts import read_folder
from medsift.storage.table_cache import TableCache

SAMPLES_PER_ITEM: Final = 32
DECIMALS: Final = 4
PICTURES_IN_MEMORY: Final = 16

GAINS: Final = pa.schema(
    [pa.field("content_id", pa.string(), nullable=False)]
    + [pa.field(name, pa.float64()) for name in ("seeing", "blind")]
    + [pa.field("spelled", pa.string())]
)
"""Mean log-probability of an answer's tokens with its pictures and without, in nats.

Both are null where a text spells a token of the model's own, which is named under `spelled`.
"""


class MultimodalGainConfig(ScorerConfig):
    """Settings of `multimodal_gain`: a vision-language model, and how much of an answer counts."""

    kind: Literal["multimodal_gain"] = "multimodal_gain"
    model: AnyImageTextModel
    """Vision-language model, best the one to be trained."""
    max_answer_tokens: int = Field(512, ge=1)
    """Longest answer in tokens; the end of a longer one is left out."""
    batch_size: int | None = Field(None, ge=1)
    """Samples at once; when not given 1 on a CPU and 8 on a GPU."""

    def fingerprint(self) -> Any:
        """Return the identity of the gains, without the size of batches. Raises ModelError."""
        return [self.kind, self.gains_fingerprint()]

    def gains_fingerprint(self) -> str:
        """Return the name of the gains in the cache. Raises ModelError."""
        identity = [IMAGE_TEXT_VERSION, DECIMALS, self.model.fingerprint(), self.max_answer_tokens]
        return records.fingerprint(["answer gains", *identity])

    def score(self, context: ScoringContext) -> Doubles:
        """Return log p(answer | pictures, turns) - log p(answer | turns) (n,), mean nats a token.

        The idea is MAGIC's (arXiv 2605.26004). Above 0 the picture helps; near 0 the text gives the
        answer away, or the model cannot read it off the picture. NaN for samples without picture,
        question or answer, or with a text that spells a token of the model's own.
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
            lambda: ScoreGains(self, cache),
            context.folder,
            context.advance,
            Resources(lasting=True, accelerated=True),
        )
        table = read_folder(context.folder / "gains", GAINS)
        report_spelled(self.kind, table)
        seeing, blind = (
            np.array(table[name].to_pylist(), np.float64) for name in ("seeing", "blind")
        )
        # Rounded to 4 decimals, below which batches of other shapes differ.
        gains = np.round(seeing - blind, DECIMALS).tolist()
        gain = dict(zip(table["content_id"].to_pylist(), gains, strict=True))
        return np.array(
            [np.nan if exchange is None else gain[exchange.content_id] for exchange in exchanges]
        )


@dataclass(frozen=True)
class IllustratedExchange(Exchange):
    """An answer, the turns before it with a mark for each picture, and where the pictures are."""

    refs: tuple[str, ...]
    images: tuple[str, ...]


def read_illustrated(
    messages: Sequence[dict[str, str]], refs: Sequence[str] | None, images: Sequence[str] | None
) -> IllustratedExchange | None:
    """Return a sample's last answer and its pictures; None without one, question or answer."""
    plain = read_exchange(messages)
    if plain is None or not refs or not images:
        return None
    turns = marked(
        [(turn["role"], turn["content"] or "") for turn in messages[: len(plain.turns)]], len(refs)
    )
    parts = [str(len(images)), *images, *chain(*turns), plain.answer]
    content_id = records.digest("illustrated", *parts)
    return IllustratedExchange(content_id, turns, plain.answer, tuple(refs), tuple(images))


class ScoreGains:
    """Worker: compute log-probabilities of exchanges, or take them from the cache."""

    def __init__(self, config: MultimodalGainConfig, cache: Path) -> None:
        self.config = config
        self.cache = TableCache(cache / "gains", config.gains_fingerprint(), key="content_id")
        self.picture = lru_cache(maxsize=PICTURES_IN_MEMORY)(read_picture)

    def __call__(self, item: Sequence[IllustratedExchange]) -> Iterator[Tables]:
        """Yield `gains` by content id."""
        yield {"gains": read_through(self.cache, item, self._score)}

    @cached_property
    def _likelihood(self) -> ImageTextLikelihood:
        config = self.config
        loaded = load_once(config.model)
        return ImageTextLikelihood(loaded, config.max_answer_tokens, config.batch_size)

    def _score(self, exchanges: Sequence[IllustratedExchange]) -> pa.Table:
        samples = [
            Illustrated(
                exchange.turns,
                exchange.answer,
                list(map(self.picture, exchange.refs, exchange.images)),
            )
            for exchange in exchanges
        ]
        columns = {
            "content_id": pa.array([exchange.content_id for exchange in exchanges], pa.string())
        }
        for name, with_image in (("seeing", True), ("blind", False)):
            values = self._likelihood.answer_logprob(samples, with_image)
            columns[name] = pa.array(values, pa.float64(), from_pandas=True)
        columns["spelled"] = pa.array(self._likelihood.spelled(samples), pa.string())
        return pa.table(columns, schema=GAINS)
