"""Count the texts that an encoder cannot read, by script, before and after encoding."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from curation.encoders.scripts import main_script
from medsift import records
from medsift.arrays import Flags
from medsift.storage.parts import read_part

STAGE: Final = "embed"
ALL: Final = "texts"
UNREAD: Final = "unread texts"
IN_SCRIPT: Final = "unread texts in "


@dataclass(frozen=True, slots=True)
class Census:
    """The number of distinct texts that are not empty, and of unread ones by script."""

    texts: int
    unread: Mapping[str, int]

    @classmethod
    def of(cls, texts: Sequence[str], read: Flags) -> Census:
        """Count texts (n) of which some are `read` (n,)."""
        unread = [text for text, legible in zip(texts, read.tolist(), strict=True) if not legible]
        scripts = Counter(main_script(text) for text in unread if text.strip())
        return cls(sum(bool(text.strip()) for text in texts), dict(sorted(scripts.items())))

    @property
    def count(self) -> int:
        """The number of texts that cannot be read."""
        return sum(self.unread.values())

    def sentence(self, encoder: str, *, first: bool = False) -> str | None:
        """Return a warning, or None where all can be read; `first`: these are the first texts."""
        if not self.count:
            return None
        ranked = sorted(self.unread.items(), key=lambda item: (-item[1], item[0]))
        scripts = ", ".join(f"{script} {count:,}" for script, count in ranked)
        some = "the first " if first else ""
        return (
            f"{self.count:,} of {some}{self.texts:,} distinct texts cannot be read by encoder "
            f"{encoder} ({scripts}): they are compared by their characters alone, and scores that "
            "need their meaning are null"
        )

    def measures(self) -> pa.Table:
        """Return the counts as ``MEASURES`` of the embed stage."""
        counts = {ALL: self.texts, UNREAD: self.count}
        counts |= {IN_SCRIPT + script: count for script, count in self.unread.items()}
        rows = [{"stage": STAGE, "name": name, "value": count} for name, count in counts.items()]
        return pa.Table.from_pylist(rows, schema=records.MEASURES)


def census_of(measures: Sequence[Mapping[str, Any]]) -> Census:
    """Return the census that the embed stage wrote as ``MEASURES`` rows."""
    value = {str(row["name"]): int(row["value"]) for row in measures}
    scripts = [name for name in value if name.startswith(IN_SCRIPT)]
    unread = {name.removeprefix(IN_SCRIPT): value[name] for name in scripts}
    return Census(value.get(ALL, 0), unread)


def encoded_census(texts: Iterable[pa.Table], vectors: Iterable[Path]) -> Census:
    """Count texts by their vectors: one of zeros was not read.

    Args:
        texts: Tables of `content_id` and `text`, sorted by id.
        vectors: A file for each of them, with the vectors of its texts in their order.
    """
    count, scripts = 0, Counter[str]()
    for table, path in zip(texts, vectors, strict=True):
        column = read_part(path, ["vector"])["vector"].combine_chunks()
        matrix = column.flatten().to_numpy(zero_copy_only=False).reshape(len(column), -1)
        census = Census.of(table["text"].to_pylist(), matrix.any(axis=1))
        count += census.texts
        scripts.update(census.unread)
    return Census(count, dict(sorted(scripts.items())))
