"""`sharegpt`: one JSON array of conversations with ``<image>`` marks and a list of images."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from curation.exports.base import ExportFormat
from curation.exports.croissant import array_fields
from curation.exports.lineage import Lineage
from curation.exports.pictures import Pictures
from curation.exports.turns import Line, facts, marked_turns

SPEAKERS: Final = {"system": "system", "user": "human", "assistant": "gpt"}


def write(batches: Iterator[pa.Table], target: Path, lineage: Lineage, pictures: Pictures) -> int:
    """Write the array; return the number of conversations."""
    return write_array(batches, target, _entry, pictures)


def write_array(
    batches: Iterator[pa.Table],
    target: Path,
    entry: Callable[[Line, Sequence[str]], dict[str, Any]],
    pictures: Pictures,
) -> int:
    """Write one JSON array with an element a sample, without holding it in memory."""
    rows = 0
    with target.open("w", encoding="utf-8") as file:
        file.write("[")
        for batch in batches:
            lines = batch.to_pylist()
            for line, paths in zip(lines, pictures.paths(lines), strict=True):
                file.write(",\n" if rows else "\n")
                file.write(json.dumps(entry(line, paths), ensure_ascii=False))
                rows += 1
        file.write("\n]\n")
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
