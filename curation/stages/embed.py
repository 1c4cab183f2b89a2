"""Stage 3: a vector for every distinct text, from the cache where it has one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
import pyarrow as pa

from curation.current_samples import sample_parts
from curation.encoders.encoder import Encoder, EncoderConfig
from curation.encoders.readability import READING_VERSION
from curation.recipe import Recipe
from curation.stage_outputs import Upstream
from curation.stages.images import encoder_resources
from curation.stages.stage import Stage, StageContext
from curation.unread import Census, encoded_census
from medsift import records
from medsift.execution import Tables
from medsift.models.load_once import load_once
from medsift.storage.table_cache import TableCache

COUNTED_BEFORE: Final = 20_000
"""Texts looked at before the run to say how many cannot be read; they are a fair draw."""


def text_fingerprint(config: EncoderConfig) -> str:
    """Return the identity of an encoder's text vectors. Raises ModelError."""
    return records.fingerprint([config.fingerprint(), READING_VERSION])


class EncodeTexts:
    """Worker: vectors of a batch of texts.

    The encoder is loaded for the first text that the cache does not have.
    """

    def __init__(self, config: EncoderConfig, cache: Path) -> None:
        self.config = config
        self.cache = TableCache(cache / "texts", text_fingerprint(config), key="content_id")

    @cached_property
    def encoder(self) -> Encoder:
        """The loaded models. Raises ModelError."""
        return load_once(self.config)

    def __call__(self, texts: list[tuple[str, str]]) -> Iterator[Tables]:
        """Yield `vectors` for (content id, text) pairs, in their order."""
        known = self.cache.lookup([content for content, _ in texts])
        have = set(known["content_id"].to_pylist()) if known.num_rows else set()
        new = [(content, text) for content, text in texts if content not in have]
        tables = [known] if known.num_rows else []
        if new:
            encoded = self._encode(new)
            self.cache.append(encoded)
            tables.append(encoded)
        yield {"vectors": pa.concat_tables(tables).sort_by("content_id")}

    def _encode(self, texts: list[tuple[str, str]]) -> pa.Table:
        vectors = self.encoder.encode_texts([text for _, text in texts])
        flat = pa.array(np.ascontiguousarray(vectors).reshape(-1))
        column = pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1])
        schema = records.vectors_schema(vectors.shape[1])
        ids = pa.array([content for content, _ in texts], pa.string())
        return pa.Table.from_arrays([ids, column], schema=schema)


class EmbedStage(Stage):
    """Encodes every distinct turn and question, and counts those that it cannot read."""

    name: ClassVar[str] = "embed"
    version: ClassVar[int] = 4
    outputs: ClassVar[Mapping[str, pa.Schema]] = {
        "vectors": records.VECTORS,
        "measures": records.MEASURES,
    }

    def settings(self, recipe: Recipe, upstream: Upstream) -> Any:
        """Return the identity of the text vectors."""
        return {"encoder": text_fingerprint(recipe.encoder)}

    def run(self, context: StageContext) -> None:
        """Write `vectors`, all zero for texts that cannot be read, and `measures` of how many.

        Every sample is kept.
        """
        known = distinct_texts(context.upstream)
        texts = sorted(known.items())
        self._warn(context, [text for _, text in texts])
        size = context.recipe.compute.rows_per_batch
        items = [texts[start : start + size] for start in range(0, len(texts), size)]
        context.begin(len(texts), "texts")
        encoder, cache = context.recipe.encoder, context.recipe.cache_dir.absolute()
        with context.timed("encode texts", len(texts)):
            context.executor.stream(
                items,
                lambda: EncodeTexts(encoder, cache),
                context.folder,
                context.advance,
                encoder_resources(),
            )
        census = encoded_census(known, context.outputs.vectors.folder)
        context.outputs.measures.write(census.measures())

    def _warn(self, context: StageContext, texts: list[str]) -> None:
        """Say before the work how many texts will have no vector."""
        some = texts[:COUNTED_BEFORE]
        encoder = context.recipe.encoder
        said = Census.of(some, encoder.reader().reads(some)).sentence(
            encoder.label, first=len(some) < len(texts)
        )
        if said is not None:
            context.warn(said)


def distinct_texts(upstream: Upstream) -> dict[str, str]:
    """Return content id → canonical text of every turn, question and answer of every sample.

    A question is its turn without the marks of its pictures, so that it is a text of its own where
    a mark stands behind or inside it.
    """
    columns = ["messages", "question", "answer"]
    distinct: set[str] = set()
    for table in sample_parts(upstream, columns):
        for messages in table["messages"].to_pylist():
            distinct.update(turn["content"] for turn in messages)
        for name in columns[1:]:
            distinct.update(text for text in table[name].to_pylist() if text)
    texts = map(records.canonical_text, distinct)
    return {records.text_id(text): text for text in texts}
