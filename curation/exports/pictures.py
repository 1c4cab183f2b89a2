"""Export pictures as files that training libraries open and that show what the run saw.

Trainers open a file with Pillow and call `convert("RGB")`. That turns 16 bits white and floats
black, ignores EXIF orientation and what is behind transparency, and does not open DICOM. So it is
tried on every picture: where it gives the pixels that the run used, the file is exported byte for
byte, otherwise these pixels as PNG.
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
from medsift.storage.mirror import location

SUFFIXES: Final = {
    "JPEG": "jpg",
    "PNG": "png",
    "GIF": "gif",
    "BMP": "bmp",
    "TIFF": "tif",
    "WEBP": "webp",
}
"""File extension of each format that training libraries open."""
PLAIN_MODES: Final = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX")
"""Modes that every library converts to RGB in the same way."""
FOLDER_SUFFIX: Final = ".pictures"
THREADS: Final = min(8, os.cpu_count() or 1)
KNOWN_FILES: Final = 100_000
"""Files that are remembered, so that a picture with many questions is decoded once."""

Reference = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture's file in a format that trainers open; `suffix` has no dot and is never wrong."""

    data: bytes
    name: str
    suffix: str


class Pictures:
    """Reads the pictures of a selection, one at a time, and compares them with its run.

    Args:
        config: Limits on size, those of the run.
        staging: Folder into which PNGs go that are named by path; made for the first of them.
        folder: Where that folder will be when the export is complete.
    """

    def __init__(self, config: ImagesConfig, staging: Path, folder: Path) -> None:
        self.config, self.staging, self.folder = config, staging, folder
        self.known: OrderedDict[tuple[str, str], bool] = OrderedDict()
        self.named: OrderedDict[tuple[str, str], str] = OrderedDict()

    def file(self, picture: Reference, sample_id: str) -> Picture:
        """Return the file of a picture, byte for byte, or what the run saw of it as PNG.

        Raises:
            InputError: the file is gone, no picture any more, or has other pixels than in the run;
                the message names the sample.
        """
        data, name = self._read(picture, sample_id)
        if not self._is_plain(picture, data, name, sample_id):
            return Picture(_png(self._decode(picture, data, name, sample_id)), f"{name}.png", "png")
        # Loaders go by the extension, so a wrong one is replaced.
        suffix, kind = Path(name).suffix.lower(), sniff(data, name)
        return Picture(data, name, suffix[1:] if EXTENSIONS.get(suffix) == kind else SUFFIXES[kind])

    def paths(self, lines: Sequence[Mapping[str, Any]]) -> list[list[str]]:
        """Return the paths or URLs of the pictures of each sample, in order.

        That is the path of a picture itself, or of a PNG written here. Pictures are decoded by
        several threads, each once. Raises as `file` does, for the first sample with a fault.
        """
        # Reversed, so that of the samples of a picture the first is named in an error.
        new = {
            _key(picture): (picture, line["sample_id"])
            for line in reversed(lines)
            for picture in reversed(line["images"] or [])
            if _key(picture) not in self.named
        }
        pairs = list(new.values())[::-1]
        with ThreadPoolExecutor(THREADS, thread_name_prefix="pictures") as pool:
            written = pool.map(lambda pair: self._path(*pair), pairs)
            for (picture, _), path in zip(pairs, written, strict=True):
                self.named[_key(picture)] = path
        paths = [[self.named[_key(picture)] for picture in line["images"] or []] for line in lines]
        while len(self.named) > KNOWN_FILES:
            self.named.popitem(last=False)
        return paths

    def _path(self, picture: Reference, sample_id: str) -> str:
        data, name = self._read(picture, sample_id)
        if self._is_plain(picture, data, name, sample_id):
            return str(picture["ref"])
        # Named by the file's bytes, not by its values: DICOM files of equal values may be shown
        # through different windows.
        written = f"{records.digest(data)}.png"
        if not (self.staging / written).is_file():
            self.staging.mkdir(exist_ok=True)
            # Two threads may convert one file that has two names at the same time.
            partial = self.staging / f".{written}.{get_ident()}"
            partial.write_bytes(_png(self._decode(picture, data, name, sample_id)))
            partial.rename(self.staging / written)
        return location(self.folder / written)

    def _read(self, picture: Reference, sample_id: str) -> tuple[bytes, str]:
        """Return the bytes of a picture, no more than the run would read, and its file name."""
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

    def _is_plain(self, picture: Reference, data: bytes, name: str, sample_id: str) -> bool:
        """Return whether trainers see in a file what the run saw; checked once for each content."""
        key = str(picture["image_id"]), records.digest(name, data)
        if key not in self.known:
            decoded = self._decode(picture, data, name, sample_id)
            self.known[key] = _opens_as_seen(data, decoded)
            if len(self.known) > KNOWN_FILES:
                self.known.popitem(last=False)
        return self.known[key]

    def _decode(self, picture: Reference, data: bytes, name: str, sample_id: str) -> Decoded:
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
    """Return the limits on size of a run from its recipe (JSON); the defaults where it has none."""
    settings = json.loads(recipe or "{}").get("images")
    known = settings if isinstance(settings, dict) else {}
    limits = {
        name: known[name]
        for name in ("max_pixels", "max_bytes")
        if isinstance(known.get(name), int) and known[name] > 0
    }
    return ImagesConfig(**limits)


def _opens_as_seen(data: bytes, decoded: Decoded) -> bool:
    """Return whether Pillow's `convert("RGB")` gives the pixels that the run saw."""
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
