"""Remember which rows of a run directory were withdrawn, without their content, and skip them.

A row is known by two digests, because files are edited later: that of its place with its words, and
that of its words with its pictures. A withdrawn row stays away where either fits; a row that has
moved to its place does not. A row of the same words and pictures that was not withdrawn is spared.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from medsift import records
from medsift.storage.mirror import exists, fetch
from medsift.storage.parts import read_part, write_table

FILE: Final = "withdrawn.parquet"
WITHDRAWN: Final = pa.schema(
    [
        pa.field("withdrawal_id", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("created_at", pa.timestamp("us"), nullable=False),
        pa.field("from_run", pa.string(), nullable=False),
        pa.field("row", pa.string(), nullable=False),
        pa.field("text", pa.string()),
        pa.field("content", pa.string()),
        pa.field("spared", pa.list_(pa.string())),
    ]
)
"""One line for each withdrawn row: digests alone. `spared` are rows of the same content."""
SAID: Final = ["row_id", "source", "messages", "refs"]


def row_key(row_id: str) -> str:
    """Return the digest that a row id is remembered by: file names may name a patient."""
    return records.digest("row", row_id)


def text_key(source: str, messages: Iterable[Mapping[str, Any]]) -> str:
    """Return the digest of what a row says, whatever its spaces, marks and capitals."""
    turns = []
    for turn in messages:
        words = "".join(filter(str.isalnum, turn["content"].casefold()))
        turns += [turn["role"], words]
    return records.digest("said", source, *turns)


def content_key(text: str, refs: Iterable[str]) -> str:
    """Return the digest of what a row says together with the pictures that it names."""
    return records.digest("content", text, *refs)


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """The withdrawn rows of a run directory.

    `rows` gives the digest of a row's words by that of its place, None where it was no sample;
    `contents` gives the places that are spared by the digest of words and pictures.
    """

    rows: Mapping[str, str | None] = field(default_factory=dict)
    contents: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def __len__(self) -> int:
        """Count the rows."""
        return len(self.rows)

    def among(self, samples: pa.Table, decisions: pa.Table) -> list[str]:
        """Return the row ids, of samples and of rows decided on, that are withdrawn."""
        gone = [
            row["row_id"] for row in samples.select(SAID).to_pylist() if self._is_withdrawn(row)
        ]
        decided = decisions["row_id"].to_pylist()
        return gone + [row for row in decided if row_key(row) in self.rows]

    def _is_withdrawn(self, sample: Mapping[str, Any]) -> bool:
        place = row_key(sample["row_id"])
        text = text_key(sample["source"], sample["messages"])
        if place in self.rows and self.rows[place] in (None, text):
            return True
        spared = self.contents.get(content_key(text, sample["refs"] or ()))
        return spared is not None and place not in spared


def read_withdrawn(run_dir: Path) -> Withdrawn:
    """Read what was withdrawn from a run directory. Raises StorageError for damage."""
    rows: dict[str, str | None] = {}
    contents: dict[str, frozenset[str]] = {}
    for line in withdrawn_table(run_dir).to_pylist():
        rows[line["row"]] = line["text"]
        if line["content"] is not None:
            spared = frozenset(line["spared"] or ())
            # Spared at first and withdrawn later is withdrawn.
            contents[line["content"]] = contents.get(line["content"], spared) & spared
    return Withdrawn(rows, contents)


def withdrawn_table(run_dir: Path) -> pa.Table:
    """Read the lines of every withdrawal; empty where there was none."""
    path = run_dir / FILE
    if not exists(path):
        return WITHDRAWN.empty_table()
    # Another machine may have withdrawn rows since this one has its copy.
    return read_part(fetch(path, again=True)).cast(WITHDRAWN)


def withdrawn_fingerprint(run_dir: Path) -> str | None:
    """Return the identity of what was withdrawn; None where nothing was."""
    rows = withdrawn_table(run_dir)["row"].to_pylist()
    return records.digest(*sorted(rows)) if rows else None


def remember(run_dir: Path, lines: pa.Table) -> None:
    """Add lines of ``WITHDRAWN`` to a run directory that this process has locked."""
    write_table(pa.concat_tables([withdrawn_table(run_dir), lines]), run_dir / FILE)


def keys_of(samples: pa.Table, row_ids: Sequence[str]) -> list[dict[str, Any]]:
    """Return row, text, content and spared of each row id, from the samples of its run."""
    wanted = pa.array(row_ids, pa.string())
    own = samples.filter(pc.is_in(samples["row_id"], wanted))
    keys = {row: {"row": row_key(row)} for row in row_ids}
    of_content: dict[str, list[str]] = {}
    # Only rows of the same words can have the same content: the others need no digest.
    alike = samples.filter(pc.is_in(samples["answer"], own["answer"].combine_chunks()))
    alike = alike.filter(pc.is_in(alike["question"], own["question"].combine_chunks()))
    for sample in alike.select(SAID).to_pylist():
        text = text_key(sample["source"], sample["messages"])
        content = content_key(text, sample["refs"] or ())
        if sample["row_id"] in keys:
            keys[sample["row_id"]] |= {"text": text, "content": content}
        else:
            of_content.setdefault(content, []).append(row_key(sample["row_id"]))
    return [
        key | {"spared": of_content.get(key["content"], [])} if "content" in key else key
        for key in keys.values()
    ]
