"""Group samples that no split may separate: one picture, one case, one patient."""

from __future__ import annotations

from typing import Final, Literal, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from medsift.arrays import Indices
from medsift.connected import connected_components
from medsift.records import text_id

Level = Literal["image", "case", "patient"]
LEVELS: Final[tuple[Level, ...]] = get_args(Level)
SERIES: Final = "series_id"
"""The tag of slices of one volume, which are one picture of a body."""
TAG_OF_LEVEL: Final = {"case": "study_id", "patient": "patient_id"}


def components(samples: pa.Table, groups: pa.Table, level: Level) -> Indices:
    """Label samples (n,), equal where something of this level, or below, connects them.

    `image` connects samples that show one picture, or pictures of one group (`groups`: image_id,
    group_id; copies, and neighbouring slices where they were sought), or slices of one series of
    one source, or that have no picture and the same words; `case` also those of one study of one
    source, `patient` also those of one patient. Connections chain. A label is the first member's
    place.
    """
    tags = [TAG_OF_LEVEL[wider] for wider in LEVELS[1 : LEVELS.index(level) + 1]]
    keys = [_by_picture(samples, groups), _by_tag(samples, SERIES), _by_words(samples)]
    keys += [_by_tag(samples, tag) for tag in tags]
    # A link to the first sample of each key is enough, as links chain: all pairs are quadratic.
    links = [_first_of_key(row, key)[key] for row, key in keys]
    rows = np.concatenate([row for row, _ in keys])
    return connected_components(samples.num_rows, np.concatenate(links), rows)


Keyed = tuple[Indices, Indices]
"""Rows (k,) of samples, ascending, and the number (k,) of a key that each has."""


def _first_of_key(row: Indices, key: Indices) -> Indices:
    """Return the first row of each key, by the key's number."""
    first = np.full(int(key.max(initial=-1)) + 1, -1, np.int64)
    # Backwards, as the last of several values stays.
    first[key[::-1]] = row[::-1]
    return first


def _by_picture(samples: pa.Table, groups: pa.Table) -> Keyed:
    shown = samples["images"].cast(pa.list_(pa.string()))
    size = pc.fill_null(pc.list_value_length(shown), 0).to_numpy(zero_copy_only=False)
    known = groups["image_id"].cast(pa.string()).combine_chunks()
    place = pc.index_in(pc.list_flatten(shown), known)
    # Every picture that a sample shows is of a group.
    assert not place.null_count
    group = _numbered(groups["group_id"])[place.to_numpy().astype(np.int64)]
    return np.repeat(np.arange(samples.num_rows), size), group


def _by_words(samples: pa.Table) -> Keyed:
    """Key the samples without a picture by their words."""
    size = pc.fill_null(pc.list_value_length(samples["images"].cast(pa.list_(pa.string()))), 0)
    bare = pc.equal(size, 0)
    row = np.flatnonzero(bare.to_numpy())
    # Filtered chunk by chunk: the texts of all rows may be more than one array can have.
    pairs = (
        pair
        for batch in samples.select(["question", "answer"]).filter(bare).to_batches()
        for pair in zip(*(column.to_pylist() for column in batch.columns), strict=True)
    )
    known: dict[str, int] = {}
    words = (words_id(question, answer) for question, answer in pairs)
    key = np.array([known.setdefault(word, len(known)) for word in words], np.int64)
    return row.astype(np.int64), key


def words_id(question: str | None, answer: str | None) -> str:
    """Return the identity of the words of a sample, which does not regard their case."""
    return text_id(f"{question or ''}\n{answer or ''}".casefold())


def _by_tag(samples: pa.Table, tag: str) -> Keyed:
    # Each source numbers its own ids: two sources may use one for two patients.
    given = pc.not_equal(samples[tag].cast(pa.string()), "")
    row = np.flatnonzero(pc.fill_null(given, False).to_numpy())
    named = samples.select(["source", tag]).take(pa.array(row))
    source, value = _numbered(named["source"]), _numbered(named[tag])
    key = source * (int(value.max(initial=0)) + 1) + value
    return row.astype(np.int64), np.unique(key, return_inverse=True)[1].astype(np.int64)


def _numbered(column: pa.ChunkedArray) -> Indices:
    """Return a number for each value, equal for equal values."""
    encoded = pc.dictionary_encode(column.cast(pa.string()).combine_chunks())
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.unify_dictionaries().combine_chunks()
    return np.asarray(encoded.indices.to_numpy(), np.int64)
