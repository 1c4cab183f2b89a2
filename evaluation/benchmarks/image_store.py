"""Pictures of a benchmark: found, checked to be pictures, and given a reference that stays."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from PIL import ExifTags, Image

from evaluation.benchmarks.dataset_files import Published
from evaluation.benchmarks.item import Absent, Box, PublishedPicture, Shown
from medsift.errors import InputError
from medsift.images.blob_store import BlobStore
from medsift.images.damage import ImageError
from medsift.images.decoding import sniff


@dataclass(frozen=True, slots=True)
class Gallery:
    """Looks up pictures; those that lie in a table or archive are put into `blobs` by content."""

    published: Published
    blobs: BlobStore
    known: dict[tuple[str, ...], Shown | Absent] = field(default_factory=dict)
    sizes: dict[str, tuple[int, int]] = field(default_factory=dict)

    def find(self, picture: PublishedPicture) -> Shown | Absent:
        """The picture, of several names the first that is there. Raises StorageError."""
        if isinstance(picture, (Shown, Absent)):
            return picture
        if picture is None or isinstance(picture, bytes):
            return self._store(picture or b"")
        if picture not in self.known:
            self.known[picture] = self._look(picture)
        return self.known[picture]

    def shares(self, shown: Shown, boxes: Sequence[Box]) -> list[Box]:
        """Boxes in pixels as shares of the picture's width and height, cut to the picture.

        Boxes that lie outside altogether are left out. Raises InputError when the picture's
        header cannot be read.
        """
        if shown.digest not in self.sizes:
            self.sizes[shown.digest] = _size(shown.ref)
        width, height = self.sizes[shown.digest]
        cut = [
            (max(x0 / width, 0.0), max(y0 / height, 0.0), min(x1 / width, 1), min(y1 / height, 1))
            for x0, y0, x1, y1 in boxes
        ]
        return [box for box in cut if box[0] < box[2] and box[1] < box[3]]

    def _look(self, names: tuple[str, ...]) -> Shown | Absent:
        name = next(filter(self.published.has, names), None)
        if name is None:
            return Absent(f"no {' or '.join(names)}")
        path, data = self.published.path(name), self.published.read(name)
        return self._store(data) if path is None else _checked(data, str(path))

    def _store(self, data: bytes) -> Shown | Absent:
        found = _checked(data, "embedded picture")
        return found if isinstance(found, Absent) else Shown(self.blobs.put(data), found.digest)


def _size(ref: str) -> tuple[int, int]:
    """Width and height of a picture as shown, from its header."""
    try:
        with Image.open(ref) as picture:
            turned = picture.getexif().get(ExifTags.Base.Orientation, 1) in range(5, 9)
            return picture.size[::-1] if turned else picture.size
    except OSError as error:
        raise InputError(
            f"{ref}: the picture's size cannot be read: {error}", code="benchmark_unreadable"
        ) from error


def _checked(data: bytes, ref: str) -> Shown | Absent:
    if not data:
        return Absent("an empty picture")
    try:
        sniff(data, ref)
    except ImageError as error:
        return Absent(error.detail)
    return Shown(ref, hashlib.sha256(data).hexdigest())
