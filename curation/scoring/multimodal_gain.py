"""Score how much an answer's likelihood gains by the picture: what text alone cannot teach."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property, lru_cache
from itertools import chain
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, Protocol

import numpy as np
import pyarrow as pa
from pydantic import Field

from curation.scoring.language import exchange, report_spelled, through_cache
from curation.scoring.scorer import ScorerConfig, ScoringContext
from medsift import records
from medsift.arrays import Doubles
from medsift.execution import Resources, Tables
from medsift.images.curated import read_picture
from medsift.models import AnyImageTextModel
from medsift.models.chat_format import Turn
from medsift.models.image_text import IMAGE_TEXT_VERSION, Illustrated, ImageTextLikelihood, marked
from medsift.models.load_once import load_once
from medsift.storage.parts import read_folder
from medsift.storage.table_cache import TableCache

SAMPLES_PER_ITEM: Final = 32
DECIMALS: Final = 4
HELD_PICTURES: Final = 16

GAINS: Final = pa.schema(
    [
        pa.field("content_id", pa.string(), nullable=False),
        pa.field("seeing", pa.float64()),
        pa.field("blind", pa.float64()),
        pa.field("spelled", pa.string()),
    ]
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
    """The end of a longer answer is left out."""
    batch_size: int | None = Field(None, ge=1)
    """Samples at once; None is 1 on a CPU and 8 on a GPU."""

    def fingerprint(self) -> Any:
        """Identity of the gains; the size of batches is not part of it. Raises ModelError."""
        return [self.kind, gains_fingerprint(self.model, self.max_answer_tokens)]

    def score(self, context: ScoringContext) -> Doubles:
        """Gain (n,): log p(answer | pictures, turns) - log p(answer | turns), mean nats a token.

        The idea is MAGIC's (arXiv 2605.26004). Above 0 the picture helps; near 0 the text gives the
        answer away, or the model cannot read it off the picture. NaN for samples without picture,
        question or answer, or with a text that spells a token of the model's own.
        """
        pool = context.pool.samples
        columns = [pool[name].to_pylist() for name in ("messages", "refs", "images")]
        asked = [illustrated(*line) for line in zip(*columns, strict=True)]
        distinct = {one.content_id: one for one in asked if one is not None}
        # Questions about one picture stand together: it is decoded once.
        ordered = sorted(distinct.values(), key=lambda one: (one.images, one.content_id))
        items = [
            tuple(ordered[start : start + SAMPLES_PER_ITEM])
            for start in range(0, len(ordered), SAMPLES_PER_ITEM)
        ]
        config, cache = self, context.cache.absolute()
        context.executor.stream(
            items,
            lambda: ScoreGains(config, cache),
            context.folder,
            context.advance,
            Resources(lasting=True, accelerated=True),
        )
        found = read_folder(context.folder / "gains", GAINS)
        report_spelled(self.kind, found)
        gain = dict(zip(found["content_id"].to_pylist(), _gain(found).tolist(), strict=True))
        return np.array([np.nan if one is None else gain[one.content_id] for one in asked])


class AnswerScorer(Protocol):
    """Something that tells how likely answers are, with their pictures or without."""

    def answer_logprob(self, samples: Sequence[Illustrated], with_image: bool) -> Doubles:
        """Mean log p (n,) of each answer's tokens, in nats; NaN where there is none."""
        ...

    def spelled(self, samples: Sequence[Illustrated]) -> list[str | None]:
        """The token of the model's own that each sample's texts spell."""
        ...


class IllustratedExchange(NamedTuple):
    """An answer, the turns before it with a mark for each picture, and where the pictures are."""

    content_id: str
    turns: tuple[Turn, ...]
    answer: str
    refs: tuple[str, ...]
    images: tuple[str, ...]


def gains_fingerprint(model: AnyImageTextModel, max_answer_tokens: int) -> str:
    """Identity of gains. Raises ModelError when the model cannot be loaded."""
    identity = [IMAGE_TEXT_VERSION, DECIMALS, model.fingerprint(), max_answer_tokens]
    return records.fingerprint(["answer gains", *identity])


def illustrated(
    messages: Sequence[dict[str, str]], refs: Sequence[str] | None, images: Sequence[str] | None
) -> IllustratedExchange | None:
    """The last answer of a sample with pictures; None without pictures, question or answer."""
    plain = exchange(messages)
    if plain is None or not refs or not images:
        return None
    turns = marked(
        [(turn["role"], turn["content"] or "") for turn in messages[: len(plain.turns)]], len(refs)
    )
    parts = [str(len(images)), *images, *chain(*turns), plain.answer]
    content_id = records.digest("illustrated", *parts)
    return IllustratedExchange(content_id, turns, plain.answer, tuple(refs), tuple(images))


class ScoreGains:
    """Worker: log-probabilities of illustrated exchanges, from the cache where it has them."""

    def __init__(self, config: MultimodalGainConfig, cache: Path) -> None:
        self.config = config
        fingerprint = gains_fingerprint(config.model, config.max_answer_tokens)
        self.cache = TableCache(cache / "gains", fingerprint, key="content_id")
        self.picture = lru_cache(maxsize=HELD_PICTURES)(read_picture)

    def __call__(self, item: Sequence[IllustratedExchange]) -> Iterator[Tables]:
        """Yield `gains` by content id."""
        yield {"gains": through_cache(self.cache, item, self._score)}

    @cached_property
    def _scorer(self) -> AnswerScorer:
        config = self.config
        loaded = load_once(config.model)
        return ImageTextLikelihood(loaded, config.max_answer_tokens, config.batch_size)

    def _score(self, exchanges: Sequence[IllustratedExchange]) -> pa.Table:
        samples = [
            Illustrated(one.turns, one.answer, list(map(self.picture, one.refs, one.images)))
            for one in exchanges
        ]
        columns = {"content_id": pa.array([one.content_id for one in exchanges], pa.string())}
        for name, with_image in (("seeing", True), ("blind", False)):
            values = self._scorer.answer_logprob(samples, with_image)
            columns[name] = pa.array(values, pa.float64(), from_pandas=True)
        columns["spelled"] = pa.array(self._scorer.spelled(samples), pa.string())
        return pa.table(columns, schema=GAINS)


def _gain(found: pa.Table) -> Doubles:
    """Gains rounded to 4 decimals, below which batches of other shapes differ."""
    seeing, blind = (np.array(found[name].to_pylist(), np.float64) for name in ("seeing", "blind"))
    return np.round(seeing - blind, DECIMALS)
