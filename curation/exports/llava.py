"""`llava`: one JSON array as LLaVA reads it; `image` is a path, or a list of paths."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from curation.exports.croissant import array_fields
from curation.exports.export_format import ExportFormat
from curation.exports.lineage import Lineage
from curation.exports.pictures import Pictures
from curation.exports.sharegpt import SPEAKERS, write_array
from curation.exports.turns import Line, facts, marked_turns


def write(batches: Iterator[pa.Table], target: Path, lineage: Lineage, pictures: Pictures) -> int:
    """Write the array; return the number of conversations."""
    return write_array(batches, target, _entry, pictures)


def _entry(line: Line, paths: Sequence[str]) -> dict[str, Any]:
    """Text-only samples have no `image` key: that is how LLaVA tells them apart."""
    picture = {"image": paths[0] if len(paths) == 1 else paths} if paths else {}
    return {"id": line["row_id"], **picture, "conversations": _conversation(line), **facts(line)}


def _conversation(line: Line) -> list[dict[str, str]]:
    """The marked turns as (from, value) pairs; a system turn, which LLaVA has none of, leads on."""
    turns, before = [], ""
    for turn in marked_turns(line):
        if turn["role"] == "system":
            before += turn["content"] + "\n\n"
            continue
        turns.append({"from": SPEAKERS[turn["role"]], "value": before + turn["content"]})
        before = ""
    return turns


FORMAT: Final = ExportFormat(
    "llava",
    folder=False,
    write=write,
    media_type="application/json",
    fields=array_fields,
)
