"""Compute keys that a sample without a picture shares with all that it may repeat."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from curation.dedup.config import TextConfig
from curation.matching.text_match import whole_text, words_of_turn
from curation.neighbors import band_keys
from medsift.execution import Tables
from medsift.records import digest
from medsift.storage.parts import read_part

KEYS: Final = pa.schema(
    [
        pa.field("talk", pa.string(), nullable=False),
        pa.field("keys", pa.list_(pa.uint64()), nullable=False),
    ]
)
"""The keys of a conversation, which is named by a digest."""


@dataclass(frozen=True, slots=True)
class TextKeys:
    """Compute the keys of a file of (talk, messages) on a worker.

    Samples whose words are nearly the same share the key of a band; those of equal normal forms,
    which would leak from one split into another, share the key of all their turns.
    """

    text: TextConfig
    seed: int

    def __call__(self, path: Path) -> Iterator[Tables]:
        """Yield `text_keys`, a line for each conversation."""
        table = read_part(path, ["talk", "messages"])
        talks = table["messages"].to_pylist()
        place, keys = band_keys(
            [whole_text(turns) for turns in talks],
            threshold=self.text.jaccard,
            shingle=self.text.shingle_words,
            permutations=self.text.permutations,
            seed=self.seed,
        )
        known: dict[tuple[str, str], str] = {}
        forms = [digest(*(_form(turn, known) for turn in turns)) for turns in talks]
        exact = np.array([int(form[:16], 16) for form in forms], np.uint64)
        # The places of `band_keys` come in order, and each conversation has one exact key.
        place = np.concatenate([place, np.arange(len(talks))])
        order = np.argsort(place, kind="stable")
        offsets = np.concatenate([[0], np.cumsum(np.bincount(place, minlength=len(talks)))])
        flat = pa.array(np.concatenate([keys, exact])[order])
        lists = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), flat)
        yield {"text_keys": pa.table([table["talk"], lists], schema=KEYS)}


def _form(turn: Mapping[str, str], known: dict[tuple[str, str], str]) -> str:
    """Return role and normal form of a turn; many samples ask one question."""
    key = turn["role"], turn["content"]
    if key not in known:
        known[key] = "\n".join(words_of_turn(turn))
    return known[key]
