"""Name each sample's skill: the group of samples whose answers use the same neurons of a model."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
from pydantic import Field

from curation.scoring.illustrated import IllustratedExchange, read_illustrated
from curation.scoring.language import Exchange, read_exchange, read_through
from curation.scoring.scorer import ScoringContext
from curation.scoring.skill_buckets import bucket_samples, top_neurons
from medsift import records
from medsift.config import Config
from medsift.execution import Resources, Tables
from medsift.images.curated import read_picture
from medsift.manifest.schema import arrow_schema
from medsift.models import AnyModel, EmbeddedImageTextModelConfig
from medsift.models.answer_neurons import AnswerNeurons
from medsift.models.chat_format import FRAMING_VERSION
from medsift.models.image_text import IMAGE_TEXT_VERSION, Illustrated
from medsift.models.load_once import load_once
from medsift.storage.table_cache import TableCache
from medsift.storage.vectors import read_vectors

logger = logging.getLogger(__name__)

NEURONS_VERSION: Final = 1
"""Raised when equal samples get other activations."""
SAMPLES_PER_ITEM: Final = 32
SKILLS: Final = arrow_schema("skills")


class SkillsConfig(Config):
    """Settings of skills: buckets of samples whose answers use the same neurons of a model.

    The idea is the skill neurons of MAGIC (arXiv 2605.26004): the feed-forward neurons that are
    most active while a model reads an answer show what it computes. The paper makes each set of top
    neurons a bucket; on a pool of thousands nearly every sample would have one of its own. Here a
    neuron's activation is its mean size over the answer's tokens, compared with the pool's mean in
    standard deviations, and spherical k-means groups the sets of top neurons by what they share.
    """

    model: AnyModel = EmbeddedImageTextModelConfig()
    """Vision-language model, or a language model, which reads the words alone. The embedded one
    has seen no medical picture."""
    depth: float = Field(0.5, ge=0.0, le=1.0)
    """Layer whose neurons are read: 0 is the first and 1 the last."""
    neurons: int = Field(8, ge=1)
    """Neurons that describe a sample: those most above the pool's mean."""
    buckets: int | None = Field(None, ge=1)
    """Number of buckets; the square root of the pool's size when not given."""
    max_answer_tokens: int = Field(512, ge=1)
    """Longest answer in tokens; the end of a longer one is left out."""

    def fingerprint(self) -> Any:
        """Return a JSON-able identity: equal settings and weights, equal skills.

        Raises:
            ModelError: the model cannot be loaded.
        """
        return [self.activations_fingerprint(), self.neurons, self.buckets]

    def activations_fingerprint(self) -> str:
        """Return the name of the activations in the cache. Raises ModelError."""
        versions = [NEURONS_VERSION, IMAGE_TEXT_VERSION, FRAMING_VERSION]
        identity = [self.model.fingerprint(), self.depth, self.max_answer_tokens]
        return records.fingerprint(["answer neurons", versions, *identity])

    def assign(self, context: ScoringContext, device: str) -> pa.Table:
        """Return SKILLS of the pool: each sample's bucket and top neurons.

        Null for samples without question or answer, with a picture that the processor refuses, or
        with a text that spells a token of the model's own.

        Args:
            context: The pool, and where the work runs.
            device: Where k-means runs.

        Raises:
            ModelError: the model cannot be loaded, or has no neurons that every token passes.
        """
        samples = context.pool.samples
        columns = [samples[name].to_pylist() for name in ("messages", "refs", "images")]
        exchanges = [
            read_illustrated(*sample) or read_exchange(sample[0])
            for sample in zip(*columns, strict=True)
        ]
        distinct = {exchange.content_id: exchange for exchange in exchanges if exchange is not None}
        ordered = [distinct[content] for content in sorted(distinct)]
        items = [
            tuple(ordered[start : start + SAMPLES_PER_ITEM])
            for start in range(0, len(ordered), SAMPLES_PER_ITEM)
        ]
        cache = context.cache.absolute()
        context.executor.stream(
            items,
            lambda: ReadAnswers(self, cache),
            context.folder,
            context.advance,
            Resources(lasting=True, accelerated=True),
        )
        vectors = read_vectors(context.folder / "activations")
        row_of = {content: row for row, content in enumerate(vectors.ids)}
        rows = np.array([-1 if e is None else row_of[e.content_id] for e in exchanges], np.int64)
        known = np.flatnonzero(rows >= 0)
        known = known[vectors.matrix[rows[known]].any(axis=1)]
        logger.info("%d of %d samples have no skill", len(rows) - len(known), len(rows))
        skill: list[str | None] = [None] * len(rows)
        neurons: list[list[int] | None] = [None] * len(rows)
        if len(known):
            top = top_neurons(vectors.matrix[rows[known]], self.neurons)
            wanted = self.buckets or max(1, round(len(known) ** 0.5))
            buckets = bucket_samples(top, min(wanted, len(known)), context.seed, device)
            digits = len(str(buckets.max()))
            for row, bucket, own in zip(known, buckets.tolist(), top.tolist(), strict=True):
                skill[row], neurons[row] = f"skill_{bucket:0{digits}d}", own
        return pa.table([samples["sample_id"], skill, neurons], schema=SKILLS)


class ReadAnswers:
    """Worker: read the neurons of exchanges, or take them from the cache."""

    def __init__(self, config: SkillsConfig, cache: Path) -> None:
        self.config = config
        fingerprint = config.activations_fingerprint()
        self.cache = TableCache(cache / "neurons", fingerprint, key="content_id")

    def __call__(self, item: Sequence[Exchange]) -> Iterator[Tables]:
        """Yield `activations` by content id."""
        yield {"activations": read_through(self.cache, item, self._read)}

    @cached_property
    def _neurons(self) -> AnswerNeurons:
        config = self.config
        return AnswerNeurons(load_once(config.model), config.depth, config.max_answer_tokens)

    def _read(self, exchanges: Sequence[Exchange]) -> pa.Table:
        samples = [
            Illustrated(
                exchange.turns,
                exchange.answer,
                [read_picture(*shown) for shown in zip(exchange.refs, exchange.images, strict=True)]
                if isinstance(exchange, IllustratedExchange)
                else [],
            )
            for exchange in exchanges
        ]
        found = self._neurons.activations(samples)
        width = found.shape[1]
        flat = pa.FixedSizeListArray.from_arrays(pa.array(found.ravel()), width)
        ids = pa.array([exchange.content_id for exchange in exchanges], pa.string())
        return pa.table([ids, flat], schema=records.vectors_schema(width))
