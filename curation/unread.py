"""Count the texts that an encoder cannot read, by script, before and after it encodes them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from curation.encoders.scripts import main_script
from medsift import records
from medsift.arrays import Flags
from medsift.storage.vectors import vector_parts

STAGE: Final = "embed"
ALL: Final = "texts"
UNREAD: Final = "unread texts"
IN_SCRIPT: Final = "unread texts in "


@dataclass(frozen=True, slots=True)
class Census:
    """Distinct texts that are not empty, and how many of each script cannot be read."""

    texts: int
    unread: Mapping[str, int]

    @classmethod
    def of(cls, texts: Sequence[str], read: Flags) -> Census:
        """Count texts (n) of which some are `read` (n,)."""
        unread = [text for text, legible in zip(texts, read.tolist(), strict=True) if not legible]
        found = Counter(main_script(text) for text in unread if text.strip())
        return cls(sum(bool(text.strip()) for text in texts), dict(sorted(found.items())))

    @property
    def count(self) -> int:
        """Texts that cannot be read."""
        return sum(self.unread.values())

    def sentence(self, encoder: str, *, first: bool = False) -> str | None:
        """What a person should know, or None where every text can be read.

        `first`: the texts are a share of all.
        """
        if not self.count:
            return None
        ranked = sorted(self.unread.items(), key=lambda line: (-line[1], line[0]))
        scripts = ", ".join(f"{script} {count:,}" for script, count in ranked)
        some = "the first " if first else ""
        return (
            f"{self.count:,} of {some}{self.texts:,} distinct texts cannot be read by encoder "
            f"{encoder} ({scripts}): they are compared by their characters alone, and scores that "
            "need their meaning are null"
        )

    def measures(self) -> pa.Table:
        """MEASURES of the embed stage."""
        lines = [(ALL, self.texts), (UNREAD, self.count)]
        lines += [(IN_SCRIPT + script, count) for script, count in self.unread.items()]
        return pa.Table.from_pylist(
            [
                {"stage": STAGE, "name": name, "threshold": None, "value": count, "note": None}
                for name, count in lines
            ],
            schema=records.MEASURES,
        )


def census_of(measures: Sequence[Mapping[str, Any]]) -> Census:
    """Return the count in MEASURES lines of the embed stage; nothing where there are none."""
    value = {str(line["name"]): int(line["value"]) for line in measures}
    unread = {
        name.removeprefix(IN_SCRIPT): count
        for name, count in value.items()
        if name.startswith(IN_SCRIPT)
    }
    return Census(value.get(ALL, 0), unread)


def encoded_census(texts: Mapping[str, str], vectors: Path) -> Census:
    """Count texts (content id → text) by the vectors in a folder: all zero is unread."""
    blank: set[str] = set()
    for ids, matrix in vector_parts(vectors):
        blank.update(np.asarray(ids, object)[~matrix.any(axis=1)].tolist())
    ids = sorted(texts)
    read = np.array([content not in blank for content in ids], dtype=bool)
    return Census.of([texts[content] for content in ids], read)
