"""Turn stored pixel values into what a viewer shows: 8 bits, grey or colour."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

LOW_SHARE: Final = 0.001
HIGH_SHARE: Final = 0.999
GREY_PROBE_STEP: Final = 32

Grey = NDArray[np.uint8]


def percentile_window(values: NDArray[np.generic]) -> tuple[float, float]:
    """Return the lowest and highest value shown: 0.1th and 99.9th percentile of finite `values`.

    Both are values of the picture (inverted empirical distribution). Where they coincide, as in a
    mask of few pixels, the full range is taken. A picture without a finite value gives (0, 0).
    """
    finite = values[np.isfinite(values)] if values.dtype.kind == "f" else values.reshape(-1)
    if finite.size == 0:
        return 0.0, 0.0
    ranks = [int(np.ceil(share * finite.size)) - 1 for share in (LOW_SHARE, HIGH_SHARE)]
    low_rank, high_rank = (min(max(rank, 0), finite.size - 1) for rank in ranks)
    ordered = np.partition(finite, (low_rank, high_rank))
    low, high = float(ordered[low_rank]), float(ordered[high_rank])
    return (low, high) if high > low else (float(finite.min()), float(finite.max()))


def windowed(values: NDArray[np.generic], low: float, high: float) -> Grey:
    """Map `values` (h, w) linearly from [low, high] to 0…255; a flat window gives 0.

    Values outside the window take its nearer end; NaN counts as `low`.
    """
    if high <= low:
        return np.zeros(values.shape, np.uint8)
    shares = (values.astype(np.float64) - low) / (high - low)
    return to_bytes(np.nan_to_num(shares, nan=0.0, posinf=1.0, neginf=0.0))


def to_bytes(shares: NDArray[np.float64]) -> Grey:
    """Map brightness shares, clipped to 0…1, to 0…255 rounded to nearest; NaN gives 0."""
    return np.rint(np.clip(np.nan_to_num(shares), 0.0, 1.0) * 255.0).astype(np.uint8)


def without_equal_channels(image: Image.Image) -> Image.Image:
    """Return an RGB picture of three equal channels as grey; any other as it is."""
    pixels = np.asarray(image)
    # Colour pictures differ in almost any row, so a few rows spare the comparison of all.
    probe = pixels[::GREY_PROBE_STEP]
    if _channels_equal(probe) and _channels_equal(pixels):
        return image.getchannel(0)
    return image


def _channels_equal(pixels: NDArray[np.uint8]) -> bool:
    first = pixels[..., 0]
    return bool(np.array_equal(first, pixels[..., 1]) and np.array_equal(first, pixels[..., 2]))


def on_white(image: Image.Image) -> tuple[Image.Image, bool]:
    """Draw a picture with transparency on white, as RGB, and say whether any pixel showed it."""
    layered = image.convert("RGBA")
    alpha = layered.getchannel("A")
    if alpha.getextrema()[0] == 255:
        return layered.convert("RGB"), False
    paper = Image.new("RGB", layered.size, (255, 255, 255))
    paper.paste(layered, mask=alpha)
    return paper, True
