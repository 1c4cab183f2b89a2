"""Decode mutated pictures of every format: each must be read or refused with a reason.

Run: python benchmarks/fuzz_pictures.py [--mutants 20000] [--seeds 0 1 2]. Prints the fates by
format and seed; the exit status is 1 when anything else was raised.
"""

from __future__ import annotations

import argparse
import io
import logging
import time
import traceback
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from curation.image_pass import inspect
from medsift.images import ImagesConfig

CONFIG = ImagesConfig(max_pixels=4_000_000, max_bytes=16 << 20)
LARGEST = 120_000
HEAD = 512
PNG_MARK = b"\x89PNG\r\n\x1a\n"
ODD = (0, 1, 6, 127, 128, 254, 255)
Bytes = bytearray
Random = np.random.Generator


def pictures() -> Iterator[tuple[str, bytes]]:
    """(format, file) of every kind that the decoder reads, small ones."""
    random = np.random.default_rng(0)
    y, x = np.mgrid[0:40, 0:56]
    values = (x * 3 + y * 2 + random.integers(0, 30, x.shape)).astype(np.uint8)
    grey = Image.fromarray(values)
    deep = Image.fromarray(values.astype(np.uint16) * 200)
    colour = Image.merge("RGB", [grey, grey.rotate(180), grey])
    clear = colour.convert("RGBA")
    clear.putalpha(grey)
    exif = Image.Exif()
    exif[0x0112] = 6
    for kind, options in (
        ("JPEG", {}),
        ("JPEG", {"progressive": True, "exif": exif}),
        ("PNG", {}),
        ("PNG", {"exif": exif}),
        ("GIF", {}),
        ("BMP", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("TIFF", {"compression": "tiff_deflate", "exif": exif}),
        ("TIFF", {"compression": "packbits"}),
        ("TIFF", {"compression": "jpeg"}),
        ("WEBP", {}),
        ("WEBP", {"lossless": True}),
    ):
        for image in (grey, colour):
            yield kind, _saved(image, kind, **options)
    for kind in ("PNG", "TIFF"):
        yield kind, _saved(deep, kind)
        yield kind, _saved(grey.convert("1"), kind)
        yield kind, _saved(clear, kind)
    yield "TIFF", _saved(Image.fromarray(values.astype(np.float32)), "TIFF")
    yield "PNG", _saved(colour.quantize(16), "PNG", transparency=3)
    yield "JPEG", _saved(colour.convert("CMYK"), "JPEG")
    for kind in ("GIF", "WEBP", "TIFF"):
        yield kind, _saved(colour, kind, save_all=True, append_images=[colour.rotate(90)])
    yield from _dicoms()


def _saved(image: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def _dicoms() -> Iterator[tuple[str, bytes]]:
    """The small DICOM files with pixels that pydicom brings along, one of them deflated."""
    from pydicom.data import get_testdata_file

    marker = get_testdata_file("CT_small.dcm", download=False)
    for path in sorted(Path(str(marker)).parent.glob("*.dcm")):
        if path.stat().st_size <= LARGEST and fate("DICOM", path.read_bytes()) != "not_an_image":
            yield "DICOM", path.read_bytes()


def mutate(data: bytes, random: Random) -> bytes:
    """A copy with a change or a few, half of them near the head, where the structure is."""
    changed = bytearray(data)
    for _ in range(int(random.geometric(0.5))):
        if not changed:
            break
        end = min(HEAD, len(changed)) if random.random() < 0.5 else len(changed)
        CHANGES[int(random.integers(len(CHANGES)))](changed, int(random.integers(end)), random)
    if changed.startswith(PNG_MARK) and random.random() < 0.8:
        _repair(changed)  # else a checksum keeps nearly every change from the decoder
    return bytes(changed)


def _repair(data: Bytes) -> None:
    """Put the right checksum behind every chunk of a PNG, as far as its lengths lead."""
    place = len(PNG_MARK)
    while place + 12 <= len(data):
        end = place + 8 + int.from_bytes(data[place : place + 4], "big")
        if end + 4 > len(data):
            break
        data[end : end + 4] = zlib.crc32(data[place + 4 : end]).to_bytes(4, "big")
        place = end + 4


def _set(data: Bytes, place: int, random: Random) -> None:
    """Flip a bit, or set a byte to an odd or to any value."""
    values = (data[place] ^ 1 << int(random.integers(8)), random.choice(ODD), random.integers(256))
    data[place] = int(values[int(random.integers(3))])


def _extreme(data: Bytes, place: int, random: Random) -> None:
    """A length or a count of two or four bytes becomes nothing or all there is."""
    size = 2 << int(random.integers(2))
    data[place : place + size] = bytes([0xFF if random.random() < 0.5 else 0] * size)


def _cut(data: Bytes, place: int, random: Random) -> None:
    del data[place : place + int(random.integers(1, 17))]


def _insert(data: Bytes, place: int, random: Random) -> None:
    data[place:place] = random.bytes(int(random.integers(1, 17)))


def _copy(data: Bytes, place: int, random: Random) -> None:
    start = int(random.integers(len(data)))
    piece = data[start : start + int(random.integers(1, 65))]
    data[place : place + len(piece)] = piece


def _end(data: Bytes, place: int, random: Random) -> None:
    if random.random() < 0.2:  # rarely, since what is cut short hides every later change
        del data[place:]


CHANGES: tuple[Callable[[Bytes, int, Random], None], ...] = (
    *(_set, _set, _set),  # the most frequent change
    *(_extreme, _cut, _insert, _copy, _end),
)


def fate(kind: str, data: bytes) -> str:
    """The reason of one file, "read", or "CRASH" with the type of what came out."""
    try:
        line, image = inspect(f"a.{kind.lower()}", data, CONFIG)
    except Exception as error:  # noqa: BLE001 - this is what is looked for
        traceback.print_exc(limit=-3)
        return f"CRASH {type(error).__name__}"
    if (image is None) != (line["error"] is not None):
        return "CRASH unbalanced"
    return line["error"] or "read"


def fuzz(mutants: int, seed: int) -> dict[str, Counter[str]]:
    """Fates by format of `mutants` files, the formats in equal shares."""
    random = np.random.default_rng(seed)
    known: dict[str, list[bytes]] = {}
    for kind, data in pictures():
        known.setdefault(kind, []).append(data)
    fates: dict[str, Counter[str]] = {kind: Counter() for kind in known}
    for number in range(mutants):
        kind = list(known)[number % len(known)]
        picked = known[kind][int(random.integers(len(known[kind])))]
        fates[kind][fate(kind, mutate(picked, random))] += 1
    return fates


def main() -> int:
    """Print the fates of every seed; return 1 where one was a crash."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutants", type=int, default=20_000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    asked = parser.parse_args()
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    crashes = 0
    for seed in asked.seeds:
        start = time.perf_counter()
        fates = fuzz(asked.mutants, seed)
        for kind, counts in fates.items():
            print(f"seed {seed} {kind:<6}{sum(counts.values()):>6}  {dict(counts.most_common())}")
            crashes += sum(count for name, count in counts.items() if name.startswith("CRASH"))
        print(f"seed {seed}: {asked.mutants} mutants, {time.perf_counter() - start:.0f} s")
    print(f"{crashes} crashes")
    return int(crashes > 0)


if __name__ == "__main__":
    raise SystemExit(main())
