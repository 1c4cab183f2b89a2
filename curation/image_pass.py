"""Read, decode, measure and encode pictures in one pass; pixels never leave the process."""

from __future__ import annotations

import hashlib
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import PurePosixPath
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
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
    """One row of ``IMAGES`` and the encoder's input, None for a picture with an error."""

    row: dict[str, Any]
    pixels: Pixels | None


def inspect(
    ref: str, data: bytes | None, config: ImagesConfig
) -> tuple[dict[str, Any], Image.Image | None]:
    """Return all ``IMAGES`` fields of one file, and the picture as shown (8 bits, L or RGB).

    `data` is None for a file that is missing. A file that cannot be decoded has `error` (a reason
    code), `detail`, no facts and no picture; a missing file has the byte hash "".
    """
    row: dict[str, Any] = dict.fromkeys(records.IMAGES.names)
    row |= {"ref": ref, "byte_hash": "", "notes": []}
    if data is None:
        detail = f"no file at {ref}; add it or remove its row"
        return row | {"error": "image_missing", "detail": detail}, None
    row |= {"byte_hash": hashlib.sha256(data).hexdigest(), "size_bytes": len(data)}
    try:
        decoded = decode(data, PurePosixPath(ref).name, config)
    except ImageError as error:
        return row | {"error": error.reason, "detail": error.detail}, None
    return row | facts(decoded), decoded.image


class ImagePass:
    """Compute facts and vectors of referenced files; usable as an actor of Ray Data.

    A pool of `threads` reads, decodes and measures the next piece while the model encodes the
    present one. A picture's row and vector depend on its bytes alone, never on its neighbours.

    Text burned into a picture becomes notes of its row where the recipe asks for it.

    Raises ModelError when the encoder, or the reader of burned-in text, cannot be loaded.
    """

    def __init__(self, images: ImagesConfig, encoder: EncoderConfig, threads: int = 2) -> None:
        self.images = images
        self.reader = TextReader() if images.burned_in_text == "flag" else None
        self.encoder = load_once(encoder)
        self.piece = int(getattr(self.encoder, "batch_size", DEFAULT_PIECE))
        self.pool = ThreadPoolExecutor(threads, thread_name_prefix="decode")

    def __call__(self, refs: pa.Table) -> pa.Table:
        """Return ``IMAGES`` rows and `vector` (null with an error) of a table of `ref`."""
        names: list[str] = refs["ref"].to_pylist()
        pieces = [names[start : start + self.piece] for start in range(0, len(names), self.piece)]
        rows: list[dict[str, Any]] = []
        dimension = self.encoder.image_dimension
        vectors: list[Vectors] = [np.empty((0, dimension), np.float32)]
        ahead: list[Future[Seen]] = []
        for following in [*pieces, []]:
            seen = [future.result() for future in ahead]
            ahead = [self.pool.submit(self.see, name) for name in following]
            rows += [picture.row for picture in seen]
            pixels = [picture.pixels for picture in seen if picture.pixels is not None]
            of_piece = np.zeros((len(seen), dimension), np.float32)
            if pixels:
                decoded = [picture.pixels is not None for picture in seen]
                of_piece[decoded] = self.encoder.encode_images(np.stack(pixels))
            vectors.append(of_piece)
        table = pa.Table.from_pylist(rows, schema=records.IMAGES)
        flat = pa.array(np.concatenate(vectors).reshape(-1))
        column = pa.FixedSizeListArray.from_arrays(
            flat, dimension, mask=pc.is_valid(table["error"]).combine_chunks()
        )
        return table.append_column(pa.field("vector", pa.list_(pa.float32(), dimension)), column)

    def see(self, ref: str) -> Seen:
        """Read, decode, measure and prepare one file, and read what is written in its picture."""
        from medsift.images.references import TooManyBytes, read_bytes

        try:
            data: bytes | None = read_bytes(ref, self.images.max_bytes)
        except FileNotFoundError:
            data = None
        except (TooManyBytes, StorageError) as error:
            too_large = isinstance(error, TooManyBytes)
            reason = "image_too_large" if too_large else "image_unreadable"
            row, _ = inspect(ref, None, self.images)
            return Seen(row | {"error": reason, "detail": str(error)}, None)
        row, image = inspect(ref, data, self.images)
        if image is None:
            return Seen(row, None)
        if self.reader is not None:
            row["notes"] = [*row["notes"], *self.reader.notes(image)]
        return Seen(row, self.encoder.prepare(image))
