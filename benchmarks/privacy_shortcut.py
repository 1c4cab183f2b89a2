"""Tell by a probe whether masking hides which source a picture is from.

Run: python -m benchmarks.privacy_shortcut --folder data/vqa-rad/images [--pictures 80] [--seed 7].
Pictures of VQA-RAD carry the watermark of their archive. The other source is the same number of
other pictures of the folder, with everything readable taken out: so the two sources differ in the
watermark and other text alone. A ridge probe on the embedded encoder's vectors, cross-fitted in
five folds, tells the sources apart before and after the first one is masked.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.privacy import wilson
from curation.encoders.embedded import EmbeddedConfig
from curation.privacy.mask_picture import PictureMasker
from curation.privacy.settings import PrivacyConfig
from medsift.arrays import Vectors
from medsift.models.load_once import load_once

FOLDS = 5
SIDE = 512
PENALTY = 1.0


def told_apart(first: Vectors, second: Vectors, seed: int) -> int:
    """How many pictures a cross-fitted ridge probe puts into their own source."""
    x = np.concatenate([first, second]).astype(np.float64)
    y = np.repeat([1.0, -1.0], [len(first), len(second)])
    # A stratified fold of each picture.
    rng = np.random.default_rng(seed)
    fold = np.concatenate([rng.permutation(len(part)) % FOLDS for part in (first, second)])
    right = 0
    for number in range(FOLDS):
        train = fold != number
        mean = x[train].mean(axis=0)
        a = x[train] - mean
        gram = a @ a.T + PENALTY * np.eye(len(a))
        weights = a.T @ np.linalg.solve(gram, y[train] - y[train].mean())
        guess = (x[~train] - mean) @ weights + y[train].mean()
        right += int((np.sign(guess) == y[~train]).sum())
    return right


def main() -> None:
    """Print the two figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--pictures", type=int, default=80)
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    files = sorted(
        path
        for path in options.folder.iterdir()
        if path.suffix.lower() in (".jpg", ".jpeg", ".png")
    )
    rng = np.random.default_rng(options.seed)
    chosen = [files[place] for place in rng.permutation(len(files))[: 2 * options.pictures]]
    masker, encoder = PictureMasker(PrivacyConfig(pictures="mask")), load_once(EmbeddedConfig())
    start, before, after, painted = time.process_time(), [], [], []
    for path in chosen:
        with Image.open(path) as opened:
            picture = opened.convert("L")
            picture.thumbnail((SIDE, SIDE))
        masking = masker.mask(picture)
        before.append(encoder.prepare(picture))
        after.append(encoder.prepare(masking.image))
        painted.append(masking.painted)
    seconds = (time.process_time() - start) / len(chosen)
    shown, masked = (encoder.encode_images(np.stack(pixels)) for pixels in (before, after))
    half = len(chosen) // 2
    print(
        f"{len(chosen)} pictures, at most {SIDE} pixels; {np.mean(painted):.1%} painted, "
        f"{seconds:.1f} s of processor time a picture\n"
    )
    print("| source 1 | source 2 | told apart | share | 95% (Wilson) |\n|---|---|---|---|---|")
    lines = (
        ("as it is", "masked", shown[:half], masked[half:]),
        ("masked", "masked", masked[:half], masked[half:]),
    )
    for one, other, first, second in lines:
        right = told_apart(first, second, options.seed)
        low, high = wilson(right, len(chosen))
        print(
            f"| {one} | {other} | {right} of {len(chosen)} | {right / len(chosen):.3f} "
            f"| {low:.3f} to {high:.3f} |"
        )


if __name__ == "__main__":
    main()
