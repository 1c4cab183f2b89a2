"""Cut samples with their pictures into row groups of Parquet, which are built in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from curation.exports.export_format import Json
from curation.exports.pictures import Pictures
from curation.exports.turns import Line

GROUP_ROWS: Final = 100
"""Most samples in a row group, all of which a reader loads to look at one."""
GROUP_BYTES: Final = 64_000_000
"""A row group ends after pictures of this size, because it is built in memory."""


def picture_cells(line: Line, pictures: Pictures) -> list[Json]:
    """Return the pictures of a sample as `datasets` stores them: bytes and file name."""
    files = [pictures.file(reference, line["sample_id"]) for reference in line["images"] or ()]
    return [{"bytes": file.data, "path": file.name} for file in files]


def grouped(entries: Iterable[Json]) -> Iterator[list[Json]]:
    """Yield entries, which have their `images`, in row groups; one at least, which may be empty."""
    group: list[Json] = []
    size, made = 0, False
    for entry in entries:
        group.append(entry)
        size += sum(len(image["bytes"]) for image in entry["images"])
        if len(group) == GROUP_ROWS or size >= GROUP_BYTES:
            yield group
            group, size, made = [], 0, True
    if group or not made:
        yield group
