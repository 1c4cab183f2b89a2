"""Name each sample's skill: the group of samples whose answers use the same neurons of a model."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
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
from medsift.arrays import Floats
from medsift.config import Config
from medsift.device_clock import DeviceClock
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

    The idea is MAGIC's (arXiv 2605.26004): the feed-forward neurons that are most active while a
    model reads an answer are a signature of what it computes, and each signature has a share of the
    budget. Signatures that are equal neuron by neuron would leave nearly every sample of a pool of
    thousands alone, and neurons that are strong in all samples would make the rest equal. So here a
    neuron's activation, its mean size over the answer's tokens, is compared with the pool's mean in
    standard deviations, and spherical k-means groups signatures by the neurons that they share.
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
        activations = self.activations(context)
        known = np.flatnonzero(activations.any(axis=1))
        n = len(activations)
        logger.info("%d of %d samples have no skill", n - len(known), n)
        skill: list[str | None] = [None] * n
        neurons: list[list[int] | None] = [None] * n
        if len(known):
            top = top_neurons(activations[known], self.neurons)
            wanted = self.buckets or max(1, round(len(known) ** 0.5))
            buckets = bucket_samples(top, min(wanted, len(known)), context.seed, device)
            digits = len(str(buckets.max()))
            for row, bucket, own in zip(known, buckets.tolist(), top.tolist(), strict=True):
                skill[row], neurons[row] = f"skill_{bucket:0{digits}d}", own
        ids = context.pool.samples["sample_id"]
        return pa.table([ids, skill, neurons], schema=SKILLS)

    def activations(self, context: ScoringContext) -> Floats:
        """Return the neurons' activations (n, w) of each sample, zero where it cannot be read.

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
        asked = [row for row, exchange in enumerate(exchanges) if exchange is not None]
        wanted = [exchange.content_id for exchange in exchanges if exchange is not None]
        activations = np.zeros((len(exchanges), vectors.matrix.shape[1]), np.float32)
        activations[asked] = vectors.rows(wanted, "answers")
        return activations


class ReadAnswers:
    """Worker: read the neurons of exchanges, or take them from the cache."""

    def __init__(self, config: SkillsConfig, cache: Path) -> None:
        self.config = config
        fingerprint = config.activations_fingerprint()
        self.cache = TableCache(cache / "neurons", fingerprint, key="content_id")
        self.clock = DeviceClock()

    @property
    def spent(self) -> Mapping[str, float]:
        """How long the model worked on the last item, and how long it waited."""
        return self.clock.spent

    def __call__(self, item: Sequence[Exchange]) -> Iterator[Tables]:
        """Yield `activations` by content id."""
        with self.clock.item():
            yield {"activations": read_through(self.cache, item, self._read)}

    @cached_property
    def _neurons(self) -> AnswerNeurons:
        config = self.config
        return AnswerNeurons(load_once(config.model), config.depth, config.max_answer_tokens)

    def _read(self, exchanges: Sequence[Exchange]) -> pa.Table:
        with self.clock.loading():
            neurons = self._neurons
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
        with self.clock.working():
            readings = neurons.activations(samples)
        width = readings.shape[1]
        flat = pa.FixedSizeListArray.from_arrays(pa.array(readings.ravel()), width)
        ids = pa.array([exchange.content_id for exchange in exchanges], pa.string())
        return pa.table([ids, flat], schema=records.vectors_schema(width))
