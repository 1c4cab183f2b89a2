"""Paint ultrasound: liver or kidney in a sector, with speckle along the beam."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from curation.phantoms.cases import Case, lesion_stretches
from curation.phantoms.shapes import Grey, ellipse, lay, ridges, smooth_field, soft

BEAMS, DEPTHS = 160, 220


class Sector(NamedTuple):
    """Polar coordinates of every pixel (h, w): `beam` and `depth` in [0, 1], `inside` the fan."""

    beam: Grey
    depth: Grey
    inside: NDArray[np.bool_]


def paint_ultrasound(case: Case, rng: np.random.Generator, shape: tuple[int, int]) -> Grey:
    """Paint a sector of liver or kidney with cysts and multiplicative speckle; in [0, 1].

    Fully developed speckle has a Rayleigh envelope: Burckhardt, IEEE Trans. Sonics Ultrason. 25
    (1978).
    """
    sector = _sector(rng, shape)
    # Upright coordinates of the organ; sides are those of the picture.
    u = ((np.arange(shape[1]) + 0.5) / shape[1] - 0.5)[None, :] / rng.uniform(0.38, 0.44)
    v = ((np.arange(shape[0]) + 0.5) / shape[0] - 0.52)[:, None] / rng.uniform(0.38, 0.44)
    u = u + 0.035 * smooth_field(rng, shape, 2.5)
    v = v + 0.035 * smooth_field(rng, shape, 2.5)
    echo = rng.uniform(0.32, 0.46) + 0.06 * smooth_field(rng, shape, rng.uniform(3, 6))
    if case.organ == "liver":
        _lay_liver(echo, u, sector, rng)
    else:
        _lay_kidney(echo, u, v, rng)
    for lesion, stretch in zip(case.lesions, lesion_stretches(rng), strict=False):
        box = (lesion.u, lesion.v, lesion.radius * 1.15, lesion.radius * 1.15 * stretch)
        lay(echo, ellipse(u, v, (box[0], box[1], box[2] + 0.03, box[3] + 0.03), 0.03), 0.75)
        lay(echo, ellipse(u, v, box, 0.02), 0.02)
    gain = 1.0 + rng.uniform(-0.3, 0.3) * (sector.depth - 0.5) + 0.12 * smooth_field(rng, shape, 2)
    picture: Grey = np.where(sector.inside, echo * gain * _speckle(rng, sector), 0.0)
    return picture


def _sector(rng: np.random.Generator, shape: tuple[int, int]) -> Sector:
    height, width = shape
    x = ((np.arange(width) + 0.5) / width - 0.5 - rng.uniform(-0.05, 0.05))[None, :]
    apex = rng.uniform(-0.35, -0.12)
    y = ((np.arange(height) + 0.5) / height - apex)[:, None]
    angle = np.arctan2(x * width / height, y) - np.deg2rad(rng.uniform(-5, 5))
    near = 0.05 - apex + rng.uniform(-0.02, 0.04)
    depth = (np.sqrt((x * width / height) ** 2 + y**2) - near) / (
        rng.uniform(0.95, 1.05) - apex - near
    )
    beam = angle / np.deg2rad(2 * rng.uniform(28, 40)) + 0.5
    inside = (depth >= 0) & (depth < 1) & (beam >= 0) & (beam < 1)
    return Sector(beam, depth, inside)


def _lay_liver(echo: Grey, u: Grey, sector: Sector, rng: np.random.Generator) -> None:
    """Lay branching dark vessels with bright walls, and the diaphragm as a bright deep arc."""
    shape = (echo.shape[0], echo.shape[1])
    tree = smooth_field(rng, shape, rng.uniform(3, 5))
    lay(echo, 0.5 * ridges(tree, 0.3), 0.7)
    lay(echo, ridges(tree, 0.12), 0.08)
    arc = sector.depth - rng.uniform(0.8, 0.9) + rng.uniform(-0.15, 0.15) * u
    lay(echo, soft(0.015 - np.abs(arc), 0.02), 1.0)
    lay(echo, soft(arc - 0.02, 0.03), rng.uniform(0.1, 0.2))


def _lay_kidney(echo: Grey, u: Grey, v: Grey, rng: np.random.Generator) -> None:
    """Lay a dark bean with a bright rim and a bright, irregular central sinus."""
    shape = (echo.shape[0], echo.shape[1])
    tilt = rng.uniform(-0.45, 0.45)
    along, across = u + tilt * v, v - tilt * u
    place = (rng.uniform(-0.1, 0.1), rng.uniform(-0.12, 0.12))
    size = (rng.uniform(0.72, 0.98), rng.uniform(0.45, 0.68))
    lay(echo, ellipse(along, across, (*place, size[0] + 0.05, size[1] + 0.05), 0.05), 0.72)
    lay(echo, ellipse(along, across, (*place, *size), 0.05), rng.uniform(0.15, 0.24))
    ragged = 0.12 * smooth_field(rng, shape, 6)
    sinus = (*place, size[0] * rng.uniform(0.4, 0.55), size[1] * rng.uniform(0.25, 0.42))
    lay(echo, ellipse(along + ragged, across + ragged, sinus, 0.06), 0.66)


def _speckle(rng: np.random.Generator, sector: Sector) -> Grey:
    """Draw a Rayleigh envelope (h, w) of mean 1 in beam coordinates, wider with depth."""
    real, imaginary = rng.standard_normal((2, DEPTHS, BEAMS))
    grain = np.sqrt(real**2 + imaginary**2) / np.sqrt(np.pi / 2)
    grain = 0.5 * grain + 0.5 * np.roll(grain, 1, axis=1)
    rows = np.clip((sector.depth * DEPTHS).astype(np.int64), 0, DEPTHS - 1)
    columns = np.clip((sector.beam * BEAMS).astype(np.int64), 0, BEAMS - 1)
    envelope: Grey = grain[rows, columns]
    return envelope
