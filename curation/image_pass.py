"""The one pass over pixels: read, decode, measure and encode, pixels never leaving the process."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import PurePosixPath
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
from PIL import Image

from curation.encoders.encoder import EncoderConfig
from curation.privacy import TextReader
from medsift import records
from medsift.arrays import Pixels, Vectors
from medsift.errors import StorageError
from medsift.images.damage import ImageError
from medsift.images.decoding import decode
from medsift.images.facts import facts
from medsift.images.settings import ImagesConfig
from medsift.models.load_once import load_once

DEFAULT_PIECE: Final = 32


class Seen(NamedTuple):
    """One line of ``IMAGES`` and the encoder's input, None for a picture with an error."""

    line: dict[str, Any]
    pixels: Pixels | None


def inspect(
    ref: str, data: bytes | None, config: ImagesConfig
) -> tuple[dict[str, Any], Image.Image | None]:
    """Return all ``IMAGES`` fields of one file, and the picture as shown (8 bits, L or RGB).

    `data` of None represents a file that is not there. What cannot be decoded has `error` (a
    reason code), `detail`, no facts and no picture; a missing file has the byte hash "".
    """
    line: dict[str, Any] = dict.fromkeys(records.IMAGES.names)
    line |= {"ref": ref, "byte_hash": "", "notes": []}
    if data is None:
        detail = f"no file at {ref}; add it or remove its row"
        return line | {"error": "image_missing", "detail": detail}, None
    line |= {"byte_hash": hashlib.sha256(data).hexdigest(), "size_bytes": len(data)}
    try:
        decoded = decode(data, PurePosixPath(ref).name, config)
    except ImageError as error:
        return line | {"error": error.reason, "detail": error.detail}, None
    return line | facts(decoded), decoded.image


class ImagePass:
    """Facts and vectors of referenced files; makes an actor of Ray Data as it is.

    A pool of `threads` reads, decodes and measures the next piece while the model encodes the
    present one. A picture's line and vector depend on its bytes alone, never on its neighbours.

    Text burned into a picture becomes notes of its line where the recipe asks for it.

    Raises ModelError when the encoder, or the reader of burned-in text, cannot be loaded.
    """

    def __init__(self, images: ImagesConfig, encoder: EncoderConfig, threads: int = 2) -> None:
        self.images = images
        self.reader = TextReader() if images.burned_in_text == "flag" else None
        self.encoder = load_once(encoder)
        self.piece = int(getattr(self.encoder, "batch_size", DEFAULT_PIECE))
        self.pool = ThreadPoolExecutor(threads, thread_name_prefix="decode")

    def __call__(self, refs: pa.Table) -> pa.Table:
        """Return ``IMAGES`` lines and `vector` (null with an error) of a table of `ref`."""
        names: list[str] = refs["ref"].to_pylist()
        pieces = [names[start : start + self.piece] for start in range(0, len(names), self.piece)]
        lines: list[dict[str, Any]] = []
        vectors: list[Vectors | None] = []
        ahead = self._start(pieces[0]) if pieces else []
        for following in [*pieces[1:], []]:
            seen = [future.result() for future in ahead]
            ahead = self._start(following)
            lines += [one.line for one in seen]
            vectors += self._encode(seen)
        return _table(lines, vectors, self.encoder.image_dimension)

    def see(self, ref: str) -> Seen:
        """Read, decode, measure and prepare one file, and read what is written in its picture."""
        from medsift.images.references import TooManyBytes, read_bytes

        try:
            data: bytes | None = read_bytes(ref, self.images.max_bytes)
        except FileNotFoundError:
            data = None
        except TooManyBytes as error:
            line, _ = inspect(ref, None, self.images)
            return Seen(line | {"error": "image_too_large", "detail": str(error)}, None)
        except StorageError as error:
            line, _ = inspect(ref, None, self.images)
            return Seen(line | {"error": "image_unreadable", "detail": str(error)}, None)
        line, image = inspect(ref, data, self.images)
        if image is None:
            return Seen(line, None)
        if self.reader is not None:
            line["notes"] = [*line["notes"], *self.reader.notes(image)]
        return Seen(line, self.encoder.prepare(image))

    def _start(self, names: Sequence[str]) -> list[Future[Seen]]:
        return [self.pool.submit(self.see, name) for name in names]

    def _encode(self, seen: Sequence[Seen]) -> list[Vectors | None]:
        pixels = [one.pixels for one in seen if one.pixels is not None]
        encoded = iter(self.encoder.encode_images(np.stack(pixels)) if pixels else ())
        return [None if one.pixels is None else next(encoded) for one in seen]


def _table(
    lines: Sequence[dict[str, Any]], vectors: Sequence[Vectors | None], dimension: int
) -> pa.Table:
    """Return ``IMAGES`` with a `vector` column of fixed-size lists."""
    table = pa.Table.from_pylist(list(lines), schema=records.IMAGES)
    blank = np.zeros(dimension, np.float32)
    rows = [blank if vector is None else vector for vector in vectors]
    flat = np.concatenate(rows) if rows else np.empty(0, np.float32)
    missing = pa.array([vector is None for vector in vectors], pa.bool_())
    column = pa.FixedSizeListArray.from_arrays(pa.array(flat), dimension, mask=missing)
    return table.append_column(pa.field("vector", pa.list_(pa.float32(), dimension)), column)
