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
    """Wall seconds of one call."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def main() -> None:
    """Print the bound, the stage and their ratio, medians over the rounds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=192)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        found = sorted(str(path) for path in given.folder.iterdir()) if given.folder else None
        paths = (found or plant(Path(name), given.images))[: given.images]
        stage = ImagePass(ImagesConfig(), EmbeddedConfig())
        seen = [one.pixels for one in stage.pool.map(stage.see, paths)]
        pixels = np.stack([one for one in seen if one is not None])
        stage.encoder.encode_images(pixels[:16])
        table = pa.table({"ref": paths})
        rounds = [
            (
                seconds(lambda: list(stage.pool.map(stage.see, paths))),
                seconds(lambda: stage.encoder.encode_images(pixels)),
                seconds(lambda: stage(table)),
            )
            for _ in range(given.rounds)
        ]
    decode, forward, whole = (median(column) for column in zip(*rounds, strict=True))
    ratio = median((one[0] + one[1]) / one[2] for one in rounds)
    print(f"{len(paths)} images, {given.rounds} rounds, medians")
    for label, taken in (("decode", decode), ("forward", forward), ("stage", whole)):
        print(f"{label:<10}{taken:>9.2f} s{len(paths) / taken:>9.1f} images/s")
    print(f"stage rate / bound (decode + forward): {ratio:.2f}")


if __name__ == "__main__":
    main()
