"""Read, decode, measure and encode pictures in one pass."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.encoders.encoder import EncoderConfig
from curation.privacy.curated_pictures import MASKED, CuratedPictures
from curation.privacy.picture_header import inspect_with_header
from curation.privacy.quick_look import burned_in_notes
from curation.privacy.settings import PrivacyConfig
from curation.privacy.text_reader import TextReader
from medsift import records
from medsift.arrays import Pixels, Vectors
from medsift.device_clock import WAITED, WORKED
from medsift.errors import StorageError
from medsift.images.blob_store import BlobStore
from medsift.images.decoder_process import DecoderProcess
from medsift.images.inspect_image import inspect
from medsift.images.settings import DECODE_SECONDS, ImagesConfig
from medsift.models.load_once import load_once

DEFAULT_PIECE: Final = 32


class Seen(NamedTuple):
    """One row of ``IMAGES`` and the encoder's input, None for a picture with an error."""

    row: dict[str, Any]
    pixels: Pixels | None


class ImagePass:
    """Compute facts and vectors of referenced files; usable as an actor of Ray Data.

    A pool of `threads` reads, decodes and measures the next piece while the model encodes the
    present one. A picture's row and vector depend on its bytes alone, never on its neighbours.
    Each thread decodes in a process of its own, see `DecoderProcess`; `seconds` limits a picture.

    Text burned into a picture becomes notes of its row where the recipe asks for it. With
    `privacy.pictures`, what comes out is the picture after it was masked, which `blobs` stores, and
    the rows have the columns of `MASKED` as well.

    Raises ModelError when the encoder, or the reader of burned-in text, cannot be loaded.
    """

    def __init__(
        self,
        images: ImagesConfig,
        encoder: EncoderConfig,
        threads: int = 2,
        seconds: float = DECODE_SECONDS,
        privacy: PrivacyConfig | None = None,
        blobs: BlobStore | None = None,
    ) -> None:
        self.images = images
        looks = privacy is not None and privacy.pictures != "off"
        # First, because they start while this process loads the models.
        self.decoders: SimpleQueue[DecoderProcess] = SimpleQueue()
        for _ in range(threads):
            self.decoders.put(
                DecoderProcess(images, seconds, inspect_with_header if looks else None)
            )
        self.curated: CuratedPictures | None = None
        if privacy is not None and looks:
            assert blobs is not None
            self.curated = CuratedPictures(privacy, blobs)
        reads = images.burned_in_text == "flag" and self.curated is None
        self.reader = TextReader() if reads else None
        self.encoder = load_once(encoder)
        self.piece = int(getattr(self.encoder, "batch_size", DEFAULT_PIECE))
        self.pool = ThreadPoolExecutor(threads, thread_name_prefix="decode")
        self.spent: dict[str, float] = {}

    def __call__(self, refs: pa.Table) -> pa.Table:
        """Return ``IMAGES`` rows and `vector` (null with an error) of a table of `ref`.

        `spent` is then how long the encoder worked, and how long it waited for pixels.
        """
        self.spent = dict.fromkeys((WORKED, WAITED), 0.0)
        names: list[str] = refs["ref"].to_pylist()
        pieces = [names[start : start + self.piece] for start in range(0, len(names), self.piece)]
        rows: list[dict[str, Any]] = []
        dimension = self.encoder.image_dimension
        vectors: list[Vectors] = [np.empty((0, dimension), np.float32)]
        ahead: list[Future[Seen]] = []
        for following in [*pieces, []]:
            with self._counted(WAITED):
                seen = [future.result() for future in ahead]
            ahead = [self.pool.submit(self.see, name) for name in following]
            rows += [picture.row for picture in seen]
            pixels = [picture.pixels for picture in seen if picture.pixels is not None]
            of_piece = np.zeros((len(seen), dimension), np.float32)
            if pixels:
                decoded = [picture.pixels is not None for picture in seen]
                with self._counted(WORKED):
                    of_piece[decoded] = self.encoder.encode_images(np.stack(pixels))
            vectors.append(of_piece)
        schema = records.IMAGES if self.curated is None else MASKED
        table = pa.Table.from_pylist(rows, schema=schema)
        flat = pa.array(np.concatenate(vectors).reshape(-1))
        column = pa.FixedSizeListArray.from_arrays(
            flat, dimension, mask=pc.is_valid(table["error"]).combine_chunks()
        )
        return table.append_column(pa.field("vector", pa.list_(pa.float32(), dimension)), column)

    @contextmanager
    def _counted(self, what: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.spent[what] += time.perf_counter() - start

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
        if data is None:
            row, image = inspect(ref, None, self.images)
        else:
            decoder = self.decoders.get()
            try:
                row, image = decoder.inspect(ref, data)
            finally:
                self.decoders.put(decoder)
        if image is None:
            return Seen(row, None)
        if self.reader is not None:
            lines = self.reader.lines(image)
            row["notes"] = [*row["notes"], *burned_in_notes(line.text for line in lines)]
        if self.curated is not None:
            row, image = self.curated.treat(row, image)
            if image is None:
                return Seen(row, None)
        return Seen(row, self.encoder.prepare(image))
