"""Embedding stage against its own bound: decode alone plus forward alone, in the same run.

Run: python benchmarks/embedding.py [--images 192] [--rounds 3] [--folder DIR].
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import pyarrow as pa
from PIL import Image

from curation.encoders import EmbeddedConfig
from curation.image_pass import ImagePass
from medsift.images import ImagesConfig


def plant(folder: Path, total: int, side: int = 512) -> list[str]:
    """Write `total` smooth pictures as JPEG and return their paths."""
    random = np.random.default_rng(0)
    paths = []
    for number in range(total):
        small = Image.fromarray(random.integers(0, 256, (24, 24)).astype(np.uint8))
        path = folder / f"{number:05d}.jpg"
        small.resize((side, side), Image.Resampling.BICUBIC).save(path, quality=90)
        paths.append(str(path))
    return paths


def seconds(action: Callable[[], object]) -> float:
    """Return the wall seconds of one call."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def main() -> None:
    """Print the bound, the stage and their ratio, medians over the rounds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=192)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        files = sorted(str(path) for path in options.folder.iterdir()) if options.folder else None
        paths = (files or plant(Path(name), options.images))[: options.images]
        stage = ImagePass(ImagesConfig(), EmbeddedConfig())
        seen = [picture.pixels for picture in stage.pool.map(stage.see, paths)]
        pixels = np.stack([picture for picture in seen if picture is not None])
        stage.encoder.encode_images(pixels[:16])
        table = pa.table({"ref": paths})
        rounds = [
            (
                seconds(lambda: list(stage.pool.map(stage.see, paths))),
                seconds(lambda: stage.encoder.encode_images(pixels)),
                seconds(lambda: stage(table)),
            )
            for _ in range(options.rounds)
        ]
    ratio = median((decode + forward) / both for decode, forward, both in rounds)
    print(f"{len(paths)} images, {options.rounds} rounds, medians")
    for label, column in zip(
        ("decode", "forward", "stage"), zip(*rounds, strict=True), strict=True
    ):
        took = median(column)
        print(f"{label:<10}{took:>9.2f} s{len(paths) / took:>9.1f} images/s")
    print(f"stage rate / bound (decode + forward): {ratio:.2f}")


if __name__ == "__main__":
    main()
