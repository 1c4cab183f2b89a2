"""`llava`: one JSON array as LLaVA reads it; `image` is a path, or a list of paths."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from curation.exports.base import ExportFormat, Origin
from curation.exports.sharegpt import conversation, write_array
from curation.exports.turns import Line, facts, references


def write(batches: Iterator[pa.Table], target: Path, origin: Origin) -> int:
    """Write the array; return the number of conversations."""
    return write_array(batches, target, _entry)


def _entry(line: Line) -> dict[str, Any]:
    """Text-only samples have no `image` key: that is how LLaVA tells them apart."""
    images = references(line)
    picture = {"image": images[0] if len(images) == 1 else images} if images else {}
    return {"id": line["row_id"], **picture, "conversations": conversation(line), **facts(line)}


FORMAT: Final = ExportFormat("llava", folder=False, write=write)
