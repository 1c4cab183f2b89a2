"""Measure a decoded picture, all from one grey version of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from PIL import Image

from medsift import records
from medsift.images.decoded import Decoded
from medsift.images.settings import ImagesConfig

SHARPNESS_SIDE: Final = 256


def facts(decoded: Decoded) -> dict[str, Any]:
    """Return the columns of ``IMAGES`` that depend on the pixels only."""
    grey = decoded.image.convert("L")
    return {
        "image_id": decoded.image_id,
        "width": grey.width,
        "height": grey.height,
        "mode": decoded.mode,
        "bit_depth": decoded.bit_depth,
        "format": decoded.format,
        "phash": perceptual_hash(grey),
        **histogram_facts(grey),
        "sharpness": sharpness(grey),
        "thumb": miniature(grey),
        "notes": list(decoded.notes),
    }


def perceptual_hash(grey: Image.Image) -> str:
    """Return the 64-bit hash of the lowest cosine frequencies (imagehash.phash), in hex."""
    import imagehash

    return str(imagehash.phash(grey))


def histogram_facts(grey: Image.Image) -> dict[str, float]:
    """Return mean, contrast, entropy (bits) and blank share of the 256 grey levels' histogram."""
    shares = np.asarray(grey.histogram(), np.float64) / (grey.width * grey.height)
    levels = np.arange(256, dtype=np.float64)
    mean = float(shares @ levels)
    present = shares[shares > 0]
    return {
        "mean": mean,
        "contrast": float(np.sqrt(shares @ (levels - mean) ** 2)),
        "entropy": max(0.0, -float(present @ np.log2(present))),
        "blank_share": float(shares.max()),
    }


def sharpness(grey: Image.Image) -> float:
    """Return the variance of the 4-neighbour Laplacian at 256 x 256 pixels (Pech-Pacheco 2000)."""
    size = (SHARPNESS_SIDE, SHARPNESS_SIDE)
    same = grey if grey.size == size else grey.resize(size, Image.Resampling.BILINEAR)
    values = np.asarray(same, np.uint8).astype(np.int16)
    edges = values[:-2, 1:-1] + values[2:, 1:-1] + values[1:-1, :-2] + values[1:-1, 2:]
    return float((edges - 4 * values[1:-1, 1:-1]).var(dtype=np.float64))


def miniature(grey: Image.Image) -> bytes:
    """Return the entire picture at THUMB_SIDE x THUMB_SIDE by area averages, row by row."""
    side = records.THUMB_SIDE
    return grey.resize((side, side), Image.Resampling.BOX).tobytes()


def is_blank(row: Mapping[str, Any], config: ImagesConfig) -> bool:
    """Return whether the recipe drops the picture of an ``IMAGES`` row as blank (`image_blank`)."""
    share = row["blank_share"]
    return config.drop_blank and share is not None and float(share) >= config.blank_share
