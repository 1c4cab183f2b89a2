"""Find the pictures of a benchmark, check them, and give each a lasting reference."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from PIL import ExifTags, Image

from evaluation.benchmarks.dataset_files import Published
from evaluation.benchmarks.item import Box, FoundPicture, MissingPicture, PublishedPicture
from medsift.errors import InputError
from medsift.images.blob_store import BlobStore
from medsift.images.damage import ImageError, foreign_bytes
from medsift.images.decoding import sniff
from medsift.storage.locations import open_input


@dataclass(frozen=True, slots=True)
class PictureFinder:
    """Looks up pictures; those inside a table or archive are copied into `blobs` by content."""

    published: Published
    blobs: BlobStore
    known: dict[tuple[str, ...], FoundPicture | MissingPicture] = field(default_factory=dict)
    sizes: dict[str, tuple[int, int]] = field(default_factory=dict)

    def find(self, picture: PublishedPicture) -> FoundPicture | MissingPicture:
        """Return the picture; of several names the first that exists. Raises StorageError."""
        if isinstance(picture, (FoundPicture, MissingPicture)):
            return picture
        if picture is None or isinstance(picture, bytes):
            return self._store(picture or b"")
        if picture not in self.known:
            name = next(filter(self.published.has, picture), None)
            if name is None:
                self.known[picture] = MissingPicture(f"no {' or '.join(picture)}")
            else:
                path, data = self.published.path(name), self.published.read(name)
                self.known[picture] = self._store(data) if path is None else _check(data, str(path))
        return self.known[picture]

    def shares(self, picture: FoundPicture, boxes: Sequence[Box]) -> list[Box]:
        """Return boxes in pixels as shares of the picture's width and height, cut to the picture.

        Boxes outside the picture altogether are left out. Raises InputError when the picture's
        header cannot be read.
        """
        if picture.digest not in self.sizes:
            self.sizes[picture.digest] = _size(picture.ref)
        width, height = self.sizes[picture.digest]
        cut = [
            (max(x0 / width, 0.0), max(y0 / height, 0.0), min(x1 / width, 1), min(y1 / height, 1))
            for x0, y0, x1, y1 in boxes
        ]
        return [box for box in cut if box[0] < box[2] and box[1] < box[3]]

    def _store(self, data: bytes) -> FoundPicture | MissingPicture:
        checked = _check(data, "embedded picture")
        if isinstance(checked, MissingPicture):
            return checked
        return FoundPicture(self.blobs.put(data), checked.digest)


def _size(ref: str) -> tuple[int, int]:
    """Return width and height of a picture as shown, from its header."""
    try:
        with open_input(ref) as file, foreign_bytes(ref, "picture"), Image.open(file) as picture:
            turned = picture.getexif().get(ExifTags.Base.Orientation, 1) in range(5, 9)
            return picture.size[::-1] if turned else picture.size
    except (OSError, ImageError) as error:
        raise InputError(
            f"{ref}: the picture's size cannot be read: {error}",
            code="benchmark_unreadable",
            file=ref,
        ) from error


def _check(data: bytes, ref: str) -> FoundPicture | MissingPicture:
    if not data:
        return MissingPicture("an empty picture")
    try:
        sniff(data, ref)
    except ImageError as error:
        return MissingPicture(error.detail)
    return FoundPicture(ref, hashlib.sha256(data).hexdigest())
