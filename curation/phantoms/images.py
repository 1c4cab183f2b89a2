"""Paint a case as grey levels, and encode grey levels as the bytes of a file."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from curation.phantoms.cases import PIXELS, Case
from curation.phantoms.chest import paint_chest
from curation.phantoms.head_images import paint_ct, paint_mr
from curation.phantoms.shapes import Grey
from curation.phantoms.ultrasound import paint_ultrasound

Pixels8 = NDArray[np.uint8]
PAINTERS = {"ct": paint_ct, "mr": paint_mr, "xray": paint_chest, "us": paint_ultrasound}
JPEG_QUALITY = 90
TWELVE_BITS = 4095
STORED_BLOCK = 65535


def paint(case: Case, seed: int) -> Grey:
    """Paint a case as (height, width) float64 in [0, 1], from `seed` and the case alone."""
    rng = np.random.default_rng([seed, case.index, PIXELS])
    shape = (int(rng.integers(224, 281)), int(rng.integers(224, 281)))
    picture: Grey = np.clip(PAINTERS[case.modality](case, rng, shape), 0.0, 1.0)
    return picture


def to_bytes(picture: Grey) -> Pixels8:
    """Round [0, 1] to 8-bit grey levels (height, width)."""
    return np.floor(picture * 255 + 0.5).astype(np.uint8)


def suffix(case: Case) -> str:
    """Return the file name ending of the case's own picture."""
    return ".png" if case.modality in ("ct", "mr") else ".jpg"


def encode(case: Case, picture: Grey) -> bytes:
    """Encode the case's file: CT and MR as PNG (one in three 12 of 16 bits), others as JPEG."""
    if suffix(case) == ".jpg":
        return jpeg(to_bytes(picture), JPEG_QUALITY)
    if case.index % 3 == 0:
        return png(np.floor(picture * TWELVE_BITS + 0.5).astype(np.uint16))
    return png(to_bytes(picture))


def jpeg(pixels: Pixels8, quality: int) -> bytes:
    """Encode grey pixels (h, w) as JPEG; the bytes depend on Pillow's version only."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="JPEG", quality=quality)
    return stream.getvalue()


def png(pixels: Pixels8 | NDArray[np.uint16]) -> bytes:
    """Encode grey pixels (h, w) of 8 or 16 bits as PNG.

    The data are stored, not compressed: compressors differ between builds of zlib, and noise
    hardly compresses.
    """
    height, width = pixels.shape
    big_endian = np.ascontiguousarray(pixels.astype(pixels.dtype.newbyteorder(">")))
    rows = big_endian.view(np.uint8).reshape(height, -1)
    raw = np.hstack([np.zeros((height, 1), np.uint8), rows]).tobytes()
    return png_file(width, height, 8 * pixels.dtype.itemsize, _stored(raw))


def png_file(width: int, height: int, depth: int, stream: bytes) -> bytes:
    """Return a grey PNG file around finished pixel data.

    Args:
        width: In pixels.
        height: In pixels.
        depth: Bits per pixel.
        stream: Zlib stream of the rows, each after the byte that names its filter.
    """
    header = struct.pack(">IIBBBBB", width, height, depth, 0, 0, 0, 0)
    parts = [b"\x89PNG\r\n\x1a\n"]
    for name, data in ((b"IHDR", header), (b"IDAT", stream), (b"IEND", b"")):
        checksum = zlib.crc32(name + data)
        parts.append(struct.pack(">I", len(data)) + name + data + struct.pack(">I", checksum))
    return b"".join(parts)


def _stored(raw: bytes) -> bytes:
    """Return a zlib stream (RFC 1950) of stored deflate blocks."""
    pieces = [b"\x78\x01"]
    for start in range(0, len(raw), STORED_BLOCK):
        block = raw[start : start + STORED_BLOCK]
        last = start + STORED_BLOCK >= len(raw)
        pieces.append(struct.pack("<BHH", last, len(block), len(block) ^ 0xFFFF) + block)
    return b"".join([*pieces, struct.pack(">I", zlib.adler32(raw))])
