"""`messages`: JSON Lines of chat messages whose content is a list of parts (OpenAI and TRL)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from curation.exports.croissant import line_fields
from curation.exports.export_format import ExportFormat
from curation.exports.lineage import Lineage
from curation.exports.pictures import Pictures
from curation.exports.turns import Line, chat, facts


def write(batches: Iterator[pa.Table], target: Path, lineage: Lineage, pictures: Pictures) -> int:
    """Write one JSON object a line; return the number of lines."""
    rows = 0
    with target.open("w", encoding="utf-8") as file:
        for batch in batches:
            lines = batch.to_pylist()
            for line, paths in zip(lines, pictures.paths(lines), strict=True):
                file.write(json.dumps(_entry(line, paths), ensure_ascii=False) + "\n")
            rows += batch.num_rows
    return rows


def _entry(line: Line, paths: Sequence[str]) -> dict[str, Any]:
    return {"messages": chat(line), "images": paths, **facts(line)}


FORMAT: Final = ExportFormat(
    "messages",
    folder=False,
    write=write,
    media_type="application/jsonlines",
    fields=line_fields,
)
