"""Draw on float64 arrays: smooth random fields, soft shapes, body coordinates.

Everything stays in float64 until one final rounding, so that the last-bit differences between
machines' mathematical libraries do not reach the stored grey levels.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Grey = NDArray[np.float64]


@lru_cache(maxsize=256)
def _spline_weights(size: int, knots: int) -> Grey:
    """Return cubic B-spline weights (size, knots) of `size` pixels over `knots` coefficients."""
    position = np.linspace(1.0, knots - 2.0, size)[:, None] - np.arange(knots)[None, :]
    distance = np.abs(position)
    near = 2 / 3 - distance**2 + distance**3 / 2
    far = np.clip(2 - distance, 0, None) ** 3 / 6
    weights: Grey = np.where(distance < 1, near, far)
    return weights


def smooth_field(rng: np.random.Generator, shape: tuple[int, int], cells: float) -> Grey:
    """Draw a smooth Gaussian field (height, width) of about unit variance, `cells` bumps a side."""
    knots = int(cells) + 4
    coarse = rng.standard_normal((knots, knots))
    rows, columns = _spline_weights(shape[0], knots), _spline_weights(shape[1], knots)
    # Averaging over B-spline weights lowers the variance; 2.1 restores it.
    field: Grey = 2.1 * (rows @ coarse @ columns.T)
    return field


def ridges(field: Grey, width: float) -> Grey:
    """Return winding lines in [0, 1] where a smooth field crosses zero: sulci, vessels."""
    lines: Grey = np.exp(-((field / width) ** 2))
    return lines


def soft(inside: Grey, edge: float) -> Grey:
    """Return a mask: 1 where `inside` > edge / 2, 0 below -edge / 2, linear between."""
    mask: Grey = np.clip(inside / edge + 0.5, 0.0, 1.0)
    return mask


def ellipse(u: Grey, v: Grey, box: tuple[float, float, float, float], edge: float) -> Grey:
    """Return a soft mask (height, width) of an ellipse, 1 inside it.

    Args:
        u: First coordinate (height, width) of every pixel.
        v: Second coordinate (height, width) of every pixel.
        box: The ellipse's centre u, centre v, half width and half height.
        edge: Width of the soft border where it is narrowest, in the unit of u and v.
    """
    centre_u, centre_v, half_u, half_v = box
    radius = np.sqrt(((u - centre_u) / half_u) ** 2 + ((v - centre_v) / half_v) ** 2)
    return soft(1.0 - radius, edge / min(half_u, half_v))


def lay(picture: Grey, mask: Grey, value: Grey | float) -> None:
    """Cover `picture` in place with `value` where `mask` is 1, blending at its edge."""
    picture += mask * (value - picture)


def body_frame(
    rng: np.random.Generator,
    shape: tuple[int, int],
    half: tuple[float, float],
    tilt: float,
    warp: float,
) -> tuple[Grey, Grey]:
    """Draw one patient's pose and outline: body coordinates u, v (height, width) of every pixel.

    Args:
        rng: Random numbers.
        shape: Height and width of the picture.
        half: The body's half extent, as a share of the picture's width and height.
        tilt: Its rotation in degrees.
        warp: Size of a smooth displacement, which bends the outline.
    """
    height, width = shape
    x = (np.arange(width) + 0.5)[None, :] / width - 0.5 - rng.uniform(-0.07, 0.07)
    y = (np.arange(height) + 0.5)[:, None] / height - 0.5 - rng.uniform(-0.07, 0.07)
    angle = np.deg2rad(tilt)
    u = (x * np.cos(angle) + y * np.sin(angle)) / half[0]
    v = (y * np.cos(angle) - x * np.sin(angle)) / half[1]
    return u + warp * smooth_field(rng, shape, 2.5), v + warp * smooth_field(rng, shape, 2.5)


def noise(rng: np.random.Generator, shape: tuple[int, int], level: float) -> Grey:
    """Draw white Gaussian noise (height, width) of standard deviation `level`."""
    return level * rng.standard_normal(shape)
