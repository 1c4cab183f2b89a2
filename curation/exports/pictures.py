"""Pictures of an export: files that training libraries open and that show what the run saw.

Trainers open a file with Pillow and call `convert("RGB")`. That turns 16 bits white and floats
black, leaves out EXIF orientation and what lies behind transparency, and does not open DICOM. So
it is tried on every picture: where it gives the pixels that the run looked at, the file goes out
byte for byte, else these pixels do, as PNG.
"""

from __future__ import annotations

import io
import json
import os
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import get_ident
from typing import Any, Final

import numpy as np

from medsift import records
from medsift.errors import InputError
from medsift.images import Decoded, ImageError, ImagesConfig, decode
from medsift.images.damage import foreign_bytes
from medsift.images.decoding import EXTENSIONS, PLUGINS, sniff
from medsift.images.references import read_bytes

SUFFIXES: Final = {
    "JPEG": "jpg",
    "PNG": "png",
    "GIF": "gif",
    "BMP": "bmp",
    "TIFF": "tif",
    "WEBP": "webp",
}
"""Of the formats that training libraries open."""
PLAIN_MODES: Final = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX")
"""Modes that every reader of pictures understands; others differ between libraries."""
FOLDER_SUFFIX: Final = ".pictures"
THREADS: Final = min(8, os.cpu_count() or 1)
KNOWN_FILES: Final = 100_000
"""Files whose verdict is kept: a picture with many questions is decoded once."""

Reference = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture's file in a format that trainers open; `suffix` has no dot and does not lie."""

    data: bytes
    name: str
    suffix: str


class Pictures:
    """Reads the pictures of a selection, one at a time, and holds them against its run.

    Args:
        config: Limits on size, those of the run.
        staging: Folder into which PNGs go that are named by path; made for the first of them.
        place: Where that folder will stand when the export is complete.
    """

    def __init__(self, config: ImagesConfig, staging: Path, place: Path) -> None:
        self.config, self.staging, self.place = config, staging, place
        self.known: OrderedDict[tuple[str, str], bool] = OrderedDict()
        self.named: OrderedDict[tuple[str, str], str] = OrderedDict()

    def file(self, picture: Reference, sample_id: str) -> Picture:
        """The file of a picture, byte for byte, or what the run saw of it as PNG.

        Raises InputError naming the sample: the file is gone, no picture any more, or shows other
        pixels than in the run.
        """
        data, name = self._read(picture, sample_id)
        if self._plain(picture, data, name, sample_id):
            return Picture(data, name, _suffix(name, sniff(data, name)))
        shown = self._decoded(picture, data, name, sample_id)
        return Picture(_png(shown), f"{name}.png", "png")

    def paths(self, lines: Sequence[Mapping[str, Any]]) -> list[list[str]]:
        """Paths or URLs under which the pictures of some samples are found, in order.

        That is a picture's own, or that of a PNG written here. Pictures are decoded by several
        threads, each once. Raises as `file` does, of the first sample that has a fault.
        """
        asked = [(one, line["sample_id"]) for line in lines for one in line["images"] or []]
        new = {_key(one): (one, name) for one, name in asked[::-1] if _key(one) not in self.named}
        pairs = list(new.values())[::-1]
        with ThreadPoolExecutor(THREADS, thread_name_prefix="pictures") as pool:
            paths = pool.map(lambda pair: self._path(*pair), pairs)
            for (one, _), path in zip(pairs, paths, strict=True):
                self.named[_key(one)] = path
        found = [[self.named[_key(one)] for one in line["images"] or []] for line in lines]
        while len(self.named) > KNOWN_FILES:
            self.named.popitem(last=False)
        return found

    def _path(self, picture: Reference, sample_id: str) -> str:
        data, name = self._read(picture, sample_id)
        if self._plain(picture, data, name, sample_id):
            return str(picture["ref"])
        # Not by the picture's identity: DICOM files of equal values may name other windows.
        written = f"{records.digest(data)}.png"
        if not (self.staging / written).is_file():
            self.staging.mkdir(exist_ok=True)
            shown = _png(self._decoded(picture, data, name, sample_id))
            # Two names of one file may be drawn at the same time.
            partial = self.staging / f".{written}.{get_ident()}"
            partial.write_bytes(shown)
            partial.rename(self.staging / written)
        return str(self.place / written)

    def _read(self, picture: Reference, sample_id: str) -> tuple[bytes, str]:
        """The bytes of a picture, no more than the run would read, and its file name."""
        ref = str(picture["ref"])
        try:
            data = read_bytes(ref, self.config.max_bytes)
        except FileNotFoundError as error:
            raise InputError(
                f"sample {sample_id}: no file at {ref!r}; bring it back or curate again",
                code="export_picture_missing",
                sample=sample_id,
            ) from error
        return data, ref.partition("?")[0].rsplit("/", 1)[-1]

    def _plain(self, picture: Reference, data: bytes, name: str, sample_id: str) -> bool:
        """Whether trainers see in a file what the run saw, which is looked at once a content."""
        key = str(picture["image_id"]), records.digest(name, data)
        if key not in self.known:
            decoded = self._decoded(picture, data, name, sample_id)
            self.known[key] = _shows_itself(data, decoded)
            if len(self.known) > KNOWN_FILES:
                self.known.popitem(last=False)
        return self.known[key]

    def _decoded(self, picture: Reference, data: bytes, name: str, sample_id: str) -> Decoded:
        try:
            decoded = decode(data, name, self.config)
        except ImageError as error:
            raise InputError(
                f"sample {sample_id}: {error}; bring it back or curate again",
                code="export_picture_unreadable",
                sample=sample_id,
            ) from error
        if decoded.image_id != picture["image_id"]:
            raise InputError(
                f"sample {sample_id}: {picture['ref']!r} shows another picture than in the run; "
                "bring the old one back or curate again",
                code="export_picture_changed",
                sample=sample_id,
            )
        return decoded


def _key(picture: Reference) -> tuple[str, str]:
    return str(picture["image_id"]), str(picture["ref"])


def run_limits(recipe: str | None) -> ImagesConfig:
    """The limits on size of the run that a recipe (JSON) made; the default where it names none."""
    settings = json.loads(recipe or "{}").get("images")
    given = settings if isinstance(settings, dict) else {}
    limits = {
        name: given[name]
        for name in ("max_pixels", "max_bytes")
        if isinstance(given.get(name), int) and given[name] > 0
    }
    return ImagesConfig(**limits)


def _shows_itself(data: bytes, decoded: Decoded) -> bool:
    """Whether Pillow's `convert("RGB")` gives the pixels that the run saw."""
    if decoded.format not in SUFFIXES or decoded.mode not in PLAIN_MODES:
        return False
    try:
        with foreign_bytes(decoded.format, decoded.format):
            # By its plugin, as `decode` does: Pillow's own limit on pixels is not the run's.
            seen = PLUGINS[decoded.format](io.BytesIO(data)).convert("RGB")
    except ImageError:
        return False
    return np.array_equal(np.asarray(seen), np.asarray(decoded.image.convert("RGB")))


def _png(decoded: Decoded) -> bytes:
    buffer = io.BytesIO()
    decoded.image.save(buffer, "PNG")
    return buffer.getvalue()


def _suffix(name: str, kind: str) -> str:
    """The name's own extension where it is true, else the usual one; loaders go by it."""
    own = Path(name).suffix.lower()
    return own[1:] if EXTENSIONS.get(own) == kind else SUFFIXES[kind]
