"""`sharegpt`: one JSON array of conversations with ``<image>`` marks and a list of images."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from curation.exports.croissant import array_fields
from curation.exports.export_format import ExportFormat
from curation.exports.lineage import Lineage
from curation.exports.pictures import Pictures
from curation.exports.turns import Line, facts, marked_turns, spells_other_mark

logger = logging.getLogger(__name__)

SPEAKERS: Final = {"system": "system", "user": "human", "assistant": "gpt"}
SHOWN: Final = 10


def write(batches: Iterator[pa.Table], target: Path, lineage: Lineage, pictures: Pictures) -> int:
    """Write the array; return the number of conversations."""
    return write_array(batches, target, _entry, pictures)


def write_array(
    batches: Iterator[pa.Table],
    target: Path,
    entry: Callable[[Line, Sequence[str]], dict[str, Any]],
    pictures: Pictures,
) -> int:
    """Write one JSON array with an element a sample, without holding it in memory.

    A sample whose text spells the mark of a film or a sound is left out with a warning: trainers
    of these formats look for marks in the text, find no film to it, and stop.
    """
    rows = 0
    left_out: list[str] = []
    with target.open("w", encoding="utf-8") as file:
        file.write("[")
        for batch in batches:
            given = batch.to_pylist()
            lines = [line for line in given if not spells_other_mark(line)]
            left_out += [line["row_id"] for line in given if spells_other_mark(line)]
            for line, paths in zip(lines, pictures.paths(lines), strict=True):
                file.write(",\n" if rows else "\n")
                file.write(json.dumps(entry(line, paths), ensure_ascii=False))
                rows += 1
        file.write("\n]\n")
    if left_out:
        logger.warning(
            "%d samples are left out, since trainers take <video> or <audio> in their text for a"
            " mark: %s",
            len(left_out),
            ", ".join(left_out[:SHOWN]) + (" …" if len(left_out) > SHOWN else ""),
        )
    return rows


def conversation(line: Line) -> list[dict[str, str]]:
    """The marked turns as (from, value) pairs."""
    return [
        {"from": SPEAKERS[turn["role"]], "value": turn["content"]} for turn in marked_turns(line)
    ]


def _entry(line: Line, paths: Sequence[str]) -> dict[str, Any]:
    return {
        "id": line["row_id"],
        "conversations": conversation(line),
        "images": paths,
        **facts(line),
    }


FORMAT: Final = ExportFormat(
    "sharegpt",
    folder=False,
    write=write,
    media_type="application/json",
    fields=array_fields,
)
