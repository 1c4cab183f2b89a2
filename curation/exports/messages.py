"""Write the format `messages`: JSON Lines of chat messages, as OpenAI and TRL read them.

The content of a message is a list of parts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pyarrow as pa

from curation.exports.croissant import line_fields
from curation.exports.export_format import ExportFormat
from curation.exports.lineage import Lineage
from curation.exports.pictures import Pictures
from curation.exports.turns import chat, facts


def write(batches: Iterator[pa.Table], target: Path, lineage: Lineage, pictures: Pictures) -> int:
    """Write one line for each sample; return their number.

    Args:
        batches: The selection.
        target: The file to write.
        lineage: Not used by this format.
        pictures: Reader of pictures, whose paths go into the lines.
    """
    rows = 0
    with target.open("w", encoding="utf-8") as file:
        for batch in batches:
            lines = batch.to_pylist()
            for line, paths in zip(lines, pictures.paths(lines), strict=True):
                entry = {"messages": chat(line), "images": paths, **facts(line)}
                file.write(json.dumps(entry, ensure_ascii=False) + "\n")
            rows += batch.num_rows
    return rows


FORMAT: Final = ExportFormat(
    "messages", folder=False, write=write, media_type="application/jsonlines", fields=line_fields
)
