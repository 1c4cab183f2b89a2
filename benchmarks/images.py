"""Rate of validity, hashes and quality facts on 2,400 pictures of 224 x 224, copies planted.

Run: python benchmarks/images.py [--images 2400]. Peer: cleanvision, from the `bench` extra.
"""

from __future__ import annotations

import argparse
import importlib.util
import io
import tempfile
import time
from collections import Counter
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from medsift.images import ImagesConfig
from medsift.images.inspect_image import inspect

SIDE = 224
JPEG_QUALITY = 60
NEAR_BITS = 6
WORKERS = 2


def jpeg(image: Image.Image, quality: int = 90) -> bytes:
    """`image` as JPEG bytes."""
    out = io.BytesIO()
    image.save(out, "JPEG", quality=quality)
    return out.getvalue()


def picture(random: np.random.Generator) -> Image.Image:
    """A smooth grey scene with some noise, as radiographs are."""
    field = gaussian_filter(random.standard_normal((SIDE, SIDE)), 12)
    scaled = (field - field.min()) / np.ptp(field) * 220
    return Image.fromarray((scaled + random.uniform(0, 20, field.shape)).astype(np.uint8))


def plant(folder: Path, total: int) -> tuple[int, int]:
    """Write `total` files, a twelfth of them identical and a twelfth re-encoded copies."""
    random = np.random.default_rng(0)
    copies = total // 12
    originals = total - 2 * copies
    for number in range(originals):
        image = picture(random)
        (folder / f"o{number:05d}.jpg").write_bytes(jpeg(image))
        if number < copies:
            (folder / f"c{number:05d}.jpg").write_bytes(jpeg(image))
        elif number < 2 * copies:
            smaller = image.resize((SIDE * 4 // 5, SIDE * 4 // 5), Image.Resampling.LANCZOS)
            (folder / f"r{number:05d}.jpg").write_bytes(jpeg(smaller, JPEG_QUALITY))
    return copies, originals


def look(path: Path) -> dict[str, Any]:
    """The facts of one file, from reading to hashes."""
    line, _ = inspect(str(path), path.read_bytes(), ImagesConfig())
    return line


def timed(pool: Executor, paths: list[Path]) -> tuple[list[dict[str, Any]], float]:
    """Facts of all files and the seconds they took, workers already started."""
    list(pool.map(look, paths[:WORKERS]))
    start = time.perf_counter()
    lines = list(pool.map(look, paths, chunksize=32))
    return lines, time.perf_counter() - start


def found(lines: list[dict[str, Any]]) -> tuple[int, int]:
    """Byte-identical copies, and re-encoded ones whose pHash is near their original's."""
    identical = sum(count - 1 for count in Counter(one["byte_hash"] for one in lines).values())
    by_name = {Path(one["ref"]).stem: int(one["phash"], 16) for one in lines}
    near = [
        (bits ^ by_name["o" + name[1:]]).bit_count() <= NEAR_BITS
        for name, bits in by_name.items()
        if name.startswith("r")
    ]
    return identical, sum(near)


def peer(folder: Path) -> None:
    """Time cleanvision on the same files."""
    if importlib.util.find_spec("cleanvision") is None:
        print("cleanvision: skipped, not installed (pip install 'medsift[bench]')")
        return
    from cleanvision import Imagelab

    start = time.perf_counter()
    Imagelab(data_path=str(folder), verbose=False).find_issues(n_jobs=WORKERS, verbose=False)
    seconds = time.perf_counter() - start
    count = len(list(folder.iterdir()))
    print(f"{'cleanvision':<24}{seconds:>9.2f}{count / seconds:>12.0f}")


def main() -> None:
    """Print one line a way of running."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=2400)
    total = parser.parse_args().images
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        copies, originals = plant(folder, total)
        paths = sorted(folder.iterdir())
        print(f"{originals} pictures, {copies} identical and {copies} re-encoded copies")
        print(f"{'workers':<24}{'seconds':>9}{'images/s':>12}{'identical':>12}{'near':>8}")
        for kind in (ThreadPoolExecutor, ProcessPoolExecutor):
            with kind(WORKERS) as pool:
                lines, seconds = timed(pool, paths)
            label = f"{WORKERS} {'threads' if kind is ThreadPoolExecutor else 'processes'}"
            identical, near = found(lines)
            rate = len(paths) / seconds
            print(f"{label:<24}{seconds:>9.2f}{rate:>12.0f}{identical:>12}{near:>8}")
        peer(folder)


if __name__ == "__main__":
    main()
