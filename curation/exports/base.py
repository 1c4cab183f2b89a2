"""What an export format is, and how it reads pictures."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from curation.errors import InputError
from curation.images import ImageError, ImagesConfig, decode
from curation.images.decoding import EXTENSIONS, sniff
from curation.sources.references import read_bytes

if TYPE_CHECKING:
    from curation.exports.lineage import Lineage

Json = dict[str, Any]

SUFFIXES: Final = {
    "JPEG": "jpg",
    "PNG": "png",
    "GIF": "gif",
    "BMP": "bmp",
    "TIFF": "tif",
    "WEBP": "webp",
}
"""Of the formats that training libraries open."""
# The run has looked at these pictures under its own limit.
_ANY_SIZE: Final = ImagesConfig(max_pixels=1 << 62, max_bytes=1 << 62)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where exported samples come from: manifest, run and selection."""

    manifest: Path
    run_id: str
    selection: str


@dataclass(frozen=True, slots=True)
class ExportFormat:
    """One format: how it is written, and what its Croissant file says of its data files.

    `write` takes the selection in batches, the path to write (which does not exist yet) and the
    lineage, and returns the number of samples written. `pattern` finds the data files of a folder,
    `media_type` is theirs, `fields` the Croissant fields that a record of such a file has.
    """

    name: str
    folder: bool
    write: Callable[[Iterator[pa.Table], Path, Lineage], int]
    media_type: str
    pattern: str = ""
    fields: Callable[[Path], list[Json]] | None = None


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture's file in a format that trainers open; `suffix` has no dot and does not lie."""

    data: bytes
    name: str
    suffix: str


def picture(ref: str, sample_id: str) -> Picture:
    """The file behind a picture's reference, byte for byte.

    DICOM, which training libraries do not open, becomes the PNG of what the run looked at: one
    frame, 8 bits, through the file's own window. Raises InputError naming the sample.
    """
    name = ref.partition("?")[0].rsplit("/", 1)[-1]
    try:
        data = read_bytes(ref)
        kind = sniff(data, name)
        if kind not in SUFFIXES:
            return Picture(_png(data, name), f"{name}.png", "png")
        return Picture(data, name, _suffix(name, kind))
    except FileNotFoundError as error:
        raise InputError(
            f"sample {sample_id}: no file at {ref!r}; bring it back or curate again"
        ) from error
    except ImageError as error:
        raise InputError(f"sample {sample_id}: {error}; bring it back or curate again") from error


def _png(data: bytes, name: str) -> bytes:
    buffer = io.BytesIO()
    decode(data, name, _ANY_SIZE).image.save(buffer, "PNG")
    return buffer.getvalue()


def _suffix(name: str, kind: str) -> str:
    """The name's own extension where it is true, else the usual one; loaders go by it."""
    own = Path(name).suffix.lower()
    return own[1:] if EXTENSIONS.get(own) == kind else SUFFIXES[kind]
