"""Write the format `sharegpt`: one JSON array of conversations with ``<image>`` marks."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

import pyarrow as pa

from curation.exports.croissant import array_fields
from curation.exports.export_format import ExportFormat
from curation.exports.lineage import Lineage
from curation.exports.turns import Line, facts, marked_turns, spells_other_mark

logger = logging.getLogger(__name__)

SPEAKERS: Final = {"system": "system", "user": "human", "assistant": "gpt"}
MAX_LISTED: Final = 10


class PicturePaths(Protocol):
    """Names the pictures of samples; `Pictures` is one."""

    def paths(self, lines: Sequence[Line]) -> list[list[str]]:
        """Return the paths of the pictures of each sample, in order."""
        ...


def write_array(
    batches: Iterator[pa.Table],
    target: Path,
    lineage: Lineage,
    pictures: PicturePaths,
    entry: Callable[[Line, Sequence[str]], dict[str, Any]],
    lines: bool = False,
) -> int:
    """Write one JSON array with an element for each sample; return the number of samples.

    A sample whose text contains the mark of a film or a sound is left out with a warning: trainers
    of these formats look for marks in the text, find no film for it, and stop.

    Args:
        batches: The selection.
        target: The file to write.
        lineage: Not used by an array.
        pictures: Gives the paths of the samples' pictures.
        entry: Returns the element of a sample, from its line and the paths of its pictures.
        lines: Write JSON Lines instead of an array.
    """
    rows = 0
    left_out: list[str] = []
    with target.open("w", encoding="utf-8") as file:
        file.write("" if lines else "[")
        for batch in batches:
            samples = batch.to_pylist()
            plain = [line for line in samples if not spells_other_mark(line)]
            left_out += [line["row_id"] for line in samples if spells_other_mark(line)]
            for line, paths in zip(plain, pictures.paths(plain), strict=True):
                file.write("" if lines else ",\n" if rows else "\n")
                file.write(json.dumps(entry(line, paths), ensure_ascii=False))
                file.write("\n" if lines else "")
                rows += 1
        file.write("" if lines else "\n]\n")
    if left_out:
        logger.warning(
            "%d samples are left out, since trainers take <video> or <audio> in their text for a"
            " mark: %s",
            len(left_out),
            ", ".join(left_out[:MAX_LISTED]) + (" …" if len(left_out) > MAX_LISTED else ""),
        )
    return rows


def _entry(line: Line, paths: Sequence[str]) -> dict[str, Any]:
    return {
        "id": line["row_id"],
        "conversations": [
            {"from": SPEAKERS[turn["role"]], "value": turn["content"]}
            for turn in marked_turns(line)
        ],
        "images": paths,
        **facts(line),
    }


FORMAT: Final = ExportFormat(
    "sharegpt",
    folder=False,
    write=partial(write_array, entry=_entry),
    media_type="application/json",
    fields=array_fields,
)
