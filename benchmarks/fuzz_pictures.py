"""Decode mutated pictures of every format: each must be read or refused with a reason.

Run: python -m benchmarks.fuzz_pictures [--mutants 20000] [--seeds 0 1 2]. Prints the fates by
format and seed, the slowest file and the memory added; the exit status is 1 when anything else was
raised, or one of both is beyond its bound.
"""

from __future__ import annotations

import argparse
import io
import logging
import resource
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from benchmarks.picture_mutations import mutate
from medsift.images import ImagesConfig
from medsift.images.inspect_image import inspect

CONFIG = ImagesConfig(max_pixels=4_000_000, max_bytes=16 << 20)
LARGEST = 120_000
MOST_SECONDS = 10.0
"""Processor time that one file of these sizes may take."""
MOST_BYTES = 1 << 30
"""Memory that all of them may add to the process."""
JPEG_2000 = "1.2.840.10008.1.2.4.90"


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
    for image in (grey, colour):
        codestream = _saved(image, "JPEG2000", no_jp2=True)
        yield "DICOM", _wrapped(codestream, image)
        yield "JPEG2000", _saved(image, "JPEG2000")
        yield "JPEG2000", codestream


def _wrapped(codestream: bytes, image: Image.Image) -> bytes:
    """A DICOM file with a JPEG 2000 frame of the picture."""
    from pydicom import dcmread, dcmwrite
    from pydicom.data import get_testdata_file
    from pydicom.encaps import encapsulate

    dataset = dcmread(str(get_testdata_file("CT_small.dcm", download=False)))
    dataset.file_meta.TransferSyntaxUID = JPEG_2000
    dataset.Columns, dataset.Rows = image.size
    dataset.SamplesPerPixel = len(image.getbands())
    dataset.PhotometricInterpretation = "MONOCHROME2" if image.mode == "L" else "RGB"
    dataset.PlanarConfiguration = dataset.PixelRepresentation = 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
    dataset.PixelData = encapsulate([codestream])
    dataset["PixelData"].is_undefined_length = True
    out = io.BytesIO()
    dcmwrite(out, dataset)
    return out.getvalue()


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


class Fuzzed(NamedTuple):
    """The fates of the files by format, and the most processor time that one of them took."""

    fates: dict[str, Counter[str]]
    slowest: float


def fuzz(mutants: int, seed: int) -> Fuzzed:
    """Try `mutants` files, the formats in equal shares."""
    random = np.random.default_rng(seed)
    known: dict[str, list[bytes]] = {}
    for kind, data in pictures():
        known.setdefault(kind, []).append(data)
    fates: dict[str, Counter[str]] = {kind: Counter() for kind in known}
    slowest = 0.0
    for number in range(mutants):
        kind = list(known)[number % len(known)]
        picked = known[kind][int(random.integers(len(known[kind])))]
        data = mutate(kind, picked, random)
        start = time.process_time()
        fates[kind][fate(kind, data)] += 1
        slowest = max(slowest, time.process_time() - start)
    return Fuzzed(fates, slowest)


def peak_memory() -> int:
    """Return the most bytes that this process has had in memory."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> int:
    """Print the fates of every seed; return 1 where one was a crash, or cost too much."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutants", type=int, default=20_000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    asked = parser.parse_args()
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    faults = 0
    for seed in asked.seeds:
        start, memory = time.perf_counter(), peak_memory()
        fates, slowest = fuzz(asked.mutants, seed)
        for kind, counts in fates.items():
            print(f"seed {seed} {kind:<8}{sum(counts.values()):>6}  {dict(counts.most_common())}")
            faults += sum(count for name, count in counts.items() if name.startswith("CRASH"))
        added = peak_memory() - memory
        faults += (slowest > MOST_SECONDS) + (added > MOST_BYTES)
        print(
            f"seed {seed}: {asked.mutants} mutants, {time.perf_counter() - start:.0f} s, the "
            f"slowest {slowest:.2f} s of processor time, {added >> 20} MiB more memory",
            flush=True,
        )
    print(f"{faults} crashes or costs beyond the bounds")
    return int(faults > 0)


if __name__ == "__main__":
    raise SystemExit(main())
