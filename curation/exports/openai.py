"""Write the format `openai`: JSON Lines of chats whose pictures are data URLs inside the turns."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
from PIL import Image

from curation.exports.croissant import line_fields
from curation.exports.export_format import ExportFormat
from curation.exports.lineage import Lineage
from curation.exports.pictures import Picture, Pictures
from curation.exports.turns import chat, facts

MEDIA_TYPES: Final = {
    "png": "image/png",
    **dict.fromkeys(("jpg", "jpeg", "jpe", "jfif"), "image/jpeg"),
    "webp": "image/webp",
}
"""Formats of pictures that the endpoint takes, by their suffix; others become PNG."""


def write(batches: Iterator[pa.Table], target: Path, lineage: Lineage, pictures: Pictures) -> int:
    """Write one line for each sample; return their number.

    Args:
        batches: The selection.
        target: The file to write.
        lineage: Not used by this format.
        pictures: Reader of pictures, whose bytes go into the lines.
    """
    rows = 0
    with target.open("w", encoding="utf-8") as file:
        for batch in batches:
            for line in batch.to_pylist():
                references = line["images"] or []
                urls = [data_url(pictures.file(one, line["sample_id"])) for one in references]
                turns = chat(line)
                _place(turns, iter(urls))
                file.write(json.dumps({"messages": turns, **facts(line)}, ensure_ascii=False))
                file.write("\n")
            rows += batch.num_rows
    return rows


def _place(turns: list[dict[str, Any]], urls: Iterator[str]) -> None:
    """Give each picture part of a chat the next URL."""
    for turn in turns:
        turn["content"] = [
            {"type": "image_url", "image_url": {"url": next(urls)}}
            if part["type"] == "image"
            else part
            for part in turn["content"]
        ]


def data_url(picture: Picture) -> str:
    """Return a picture as a data URL of a format that the endpoint takes."""
    data, suffix = picture.data, picture.suffix
    if suffix not in MEDIA_TYPES:
        # Any file that is exported as it is shows the run's pixels when converted to RGB.
        buffer = io.BytesIO()
        Image.open(io.BytesIO(data)).convert("RGB").save(buffer, "PNG")
        data, suffix = buffer.getvalue(), "png"
    return f"data:{MEDIA_TYPES[suffix]};base64,{base64.b64encode(data).decode('ascii')}"


FORMAT: Final = ExportFormat(
    "openai", folder=False, write=write, media_type="application/jsonlines", fields=line_fields
)
