"""Alter a picture's file: copies, mirrors, names burned in, damage."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from curation.phantoms.cases import Case
from curation.phantoms.images import Pixels8, encode, jpeg, paint, png, png_file, to_bytes

BOMB_SIZE: Final = (20_000, 12_000)
COPY_QUALITY: Final = 40
LEAK_QUALITY: Final = 60
BRIGHTER: Final = 1.2
CROP: Final = 0.05
ROTATION: Final = 3.0
FAMILY_NAMES: Final = ("DOE", "ROE", "PUBLIC", "SAMPLE", "EXAMPLE")
GIVEN_NAMES: Final = ("JANE", "JOHN", "MARY", "RICHARD", "ALEX")
MATCH_LENGTH: Final = 258


def _pixels(case: Case, seed: int) -> Pixels8:
    return to_bytes(paint(case, seed))


def _half_size(case: Case, seed: int) -> bytes:
    picture = Image.fromarray(_pixels(case, seed))
    half = (picture.width // 2, picture.height // 2)
    return png(np.asarray(picture.resize(half, Image.Resampling.LANCZOS)))


def _brighter(case: Case, seed: int) -> bytes:
    pixels = _pixels(case, seed).astype(np.float64)
    return png(np.floor(np.minimum(pixels * BRIGHTER, 255.0) + 0.5).astype(np.uint8))


def _cropped(case: Case, seed: int) -> bytes:
    """Cut 5% of the width and height from each border."""
    pixels = _pixels(case, seed)
    top, left = (int(size * CROP + 0.5) for size in pixels.shape)
    return png(np.ascontiguousarray(pixels[top:-top, left:-left]))


def _rotated(case: Case, seed: int) -> bytes:
    """Turn by three degrees, clockwise or not by the case's index; corners become black."""
    angle = ROTATION if case.index % 2 else -ROTATION
    picture = Image.fromarray(_pixels(case, seed))
    return png(np.asarray(picture.rotate(angle, Image.Resampling.BILINEAR)))


def _burned_in(case: Case, seed: int) -> bytes:
    """Draw a made-up name and birth date into the picture."""
    picture = Image.fromarray(_pixels(case, seed))
    font = ImageFont.load_default_imagefont()
    ImageDraw.Draw(picture).text((8, 8), burned_name(case), fill=255, font=font)
    return png(np.asarray(picture))


def burned_name(case: Case) -> str:
    """Return the made-up patient name and date that `burned_in_name` draws."""
    family = FAMILY_NAMES[case.index % len(FAMILY_NAMES)]
    given = GIVEN_NAMES[case.index // len(FAMILY_NAMES) % len(GIVEN_NAMES)]
    month, day = 1 + case.index % 12, 1 + case.index % 28
    return f"{family}^{given} {month:02d}/{day:02d}/{1930 + case.index % 70}"


def _truncated(case: Case, seed: int) -> bytes:
    original = encode(case, paint(case, seed))
    return original[: len(original) * 2 // 5]


def _bomb(case: Case, seed: int) -> bytes:
    """Return a small file of a black 1-bit PNG of 240 megapixels."""
    width, height = BOMB_SIZE
    return png_file(width, height, 1, _deflated_zeros((1 + (width + 7) // 8) * height))


def _deflated_zeros(count: int) -> bytes:
    """Return a zlib stream of `count` zero bytes, coded by hand so that no compressor matters.

    One block of fixed Huffman codes (RFC 1951, 3.2.6): a literal zero, then matches of the
    longest length at distance one, then literals for the rest.
    """
    matches, rest = divmod(count - 1, MATCH_LENGTH)
    literal, match, ending = "00110000", "1100010100000", "0000000"
    bits = f"110{literal}{match * matches}{literal * rest}{ending}".encode()
    packed = np.packbits(np.frombuffer(bits, np.uint8) == ord("1"), bitorder="little")
    # Adler-32 of zeros: the first sum stays 1, the second counts the bytes.
    return b"\x78\x01" + packed.tobytes() + struct.pack(">I", (count % 65521) << 16 | 1)


ALTERATIONS: Final[dict[str, Callable[[Case, int], bytes]]] = {
    "original": lambda case, seed: encode(case, paint(case, seed)),
    "copy_jpeg": lambda case, seed: jpeg(_pixels(case, seed), COPY_QUALITY),
    "copy_resize": _half_size,
    "copy_brightness": _brighter,
    "copy_crop": _cropped,
    "copy_rotation": _rotated,
    "mirrored": lambda case, seed: png(np.ascontiguousarray(_pixels(case, seed)[:, ::-1])),
    "leak_copy": lambda case, seed: jpeg(_pixels(case, seed), LEAK_QUALITY),
    # PNG bytes for a file whose name ends in .jpg.
    "wrong_extension": lambda case, seed: png(_pixels(case, seed)),
    # One grey level, another for each case.
    "blank_image": lambda case, seed: png(
        np.full((200, 200 + case.index % 40), 40 + case.index % 160, np.uint8)
    ),
    "burned_in_name": _burned_in,
    "truncated_file": _truncated,
    "empty_file": lambda case, seed: b"",
    "not_an_image": lambda case, seed: (
        f"This is a note about patient {case.patient_id}, not a picture.\n".encode() * 8
    ),
    "decompression_bomb": _bomb,
}


def altered(name: str, case: Case, seed: int) -> bytes:
    """Return the case's file after the alteration `name`, a key of ``ALTERATIONS``."""
    return ALTERATIONS[name](case, seed)
