"""Paint heads: axial CT, and MR in three planes with bias field and Rician noise."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from curation.phantoms import shapes
from curation.phantoms.cases import Case, lesion_stretches
from curation.phantoms.shapes import Grey, body_frame, ellipse, lay, ridges, smooth_field, soft

VERTEX, BASE = 0, 2


class Palette(NamedTuple):
    """Grey levels in [0, 1] of the head's tissues for one kind of picture."""

    scalp: float
    skull: float
    cortex: float
    white: float
    fluid: float
    falx: float
    lesion: float


def paint_ct(case: Case, rng: np.random.Generator, shape: tuple[int, int]) -> Grey:
    """Paint an axial CT head: bright skull, grey brain, dark ventricles; (h, w) about [0, 1]."""
    grey = rng.uniform(0.36, 0.56)
    palette = Palette(
        scalp=rng.uniform(0.2, 0.38),
        skull=rng.uniform(0.8, 1.0),
        cortex=grey + rng.uniform(0.03, 0.1),
        white=grey - rng.uniform(0.03, 0.1),
        fluid=rng.uniform(0.04, 0.16),
        falx=0.68,
        lesion=rng.uniform(0.8, 0.92),
    )
    picture = _paint_head(case, rng, shape, palette)
    return picture + shapes.noise(rng, shape, rng.uniform(0.015, 0.035))


def paint_mr(case: Case, rng: np.random.Generator, shape: tuple[int, int]) -> Grey:
    """Paint an MR of the head: bright fat, dark skull, bias field, Rician noise; in [0, 1].

    Magnitude noise is Rician: Gudbjartsson and Patz, Magn. Reson. Med. 34 (1995).
    """
    grey = rng.uniform(0.3, 0.44)
    palette = Palette(
        scalp=rng.uniform(0.5, 0.8),
        skull=0.06,
        cortex=grey,
        white=grey + rng.uniform(0.08, 0.16),
        fluid=rng.uniform(0.05, 0.14),
        falx=0.15,
        lesion=1.0,
    )
    picture = _paint_head(case, rng, shape, palette)
    bias = np.exp(rng.uniform(0.08, 0.18) * smooth_field(rng, shape, 1.0))
    level = rng.uniform(0.02, 0.045)
    real, imaginary = (
        picture * bias + shapes.noise(rng, shape, level),
        shapes.noise(rng, shape, level),
    )
    magnitude: Grey = np.sqrt(real**2 + imaginary**2)
    return magnitude / max(1.0, float(np.quantile(magnitude[::2, ::2], 0.998)))


def _paint_head(
    case: Case, rng: np.random.Generator, shape: tuple[int, int], palette: Palette
) -> Grey:
    """Paint the layers that CT and MR share, from the scalp inwards."""
    length = rng.uniform(0.35, 0.5)
    aspect = rng.uniform(0.72, 0.95) if case.plane != "sagittal" else rng.uniform(1.0, 1.2)
    half = (length * aspect, length) if case.plane != "sagittal" else (0.43, 0.43 / aspect)
    u, v = body_frame(rng, shape, half, rng.uniform(-16, 16), rng.uniform(0.03, 0.06))
    radius = np.sqrt(u**2 + v**2)
    picture = np.full(shape, 0.02)
    if case.plane != "axial":
        _lay_neck(picture, u, v, case, palette, rng)
    outer = rng.uniform(0.88, 0.95)
    inner = outer - rng.uniform(0.05, 0.13)
    lay(picture, soft(1.0 - radius, 0.04), palette.scalp)
    lay(picture, soft(outer - radius, 0.04), palette.skull)
    brain = soft(inner - radius, 0.04)
    lay(picture, brain, _brain_tissue(rng, radius, palette))
    if case.plane == "sagittal":
        _lay_sagittal(picture, u, v, palette, rng)
    else:
        # The falx: a thin, slightly bent line before and behind the ventricles.
        bend = rng.uniform(-0.03, 0.03) + rng.uniform(-0.06, 0.06) * v
        line = soft(0.014 - np.abs(u - bend), 0.02) * soft(np.abs(v) - rng.uniform(0.3, 0.5), 0.1)
        lay(picture, line * brain, palette.falx)
        _lay_cavities(picture, u, v, case, palette, rng)
    for lesion, stretch in zip(case.lesions, lesion_stretches(rng), strict=False):
        box = (lesion.u, lesion.v, lesion.radius, lesion.radius * stretch)
        lay(picture, brain * ellipse(u, v, box, 0.03), palette.lesion)
    return picture


def _brain_tissue(rng: np.random.Generator, radius: Grey, palette: Palette) -> Grey:
    """Paint cortex, white matter and winding dark sulci, thicker towards the surface; (h, w)."""
    shape = (radius.shape[0], radius.shape[1])
    folds = smooth_field(rng, shape, rng.uniform(9, 14))
    border = 0.62 + 0.1 * folds
    tissue = palette.cortex + soft(border - radius, 0.12) * (palette.white - palette.cortex)
    tissue += 0.075 * smooth_field(rng, shape, 4)
    depth = soft(radius - rng.uniform(0.3, 0.5), 0.35)
    sulci = ridges(folds, rng.uniform(0.16, 0.4)) * depth * rng.uniform(0.6, 0.95)
    lay(tissue, sulci, palette.fluid)
    return tissue


def _lay_cavities(
    picture: Grey, u: Grey, v: Grey, case: Case, palette: Palette, rng: np.random.Generator
) -> None:
    """Lay ventricles, or at the base a fourth ventricle between two petrous bones."""
    if case.level == VERTEX:
        return
    if case.level == BASE and case.plane == "axial":
        lay(picture, ellipse(u, v, (0.0, 0.3, rng.uniform(0.06, 0.1), 0.08), 0.03), palette.fluid)
        slope, height = rng.uniform(0.15, 0.45), rng.uniform(0.2, 0.3)
        wedge = 0.11 * np.abs(u) - np.abs(v - height + slope * np.abs(u))
        within = soft(np.abs(u) - 0.3, 0.05) * soft(0.9 - u**2 - v**2, 0.05)
        lay(picture, soft(wedge, 0.03) * within, 0.4 * palette.skull + 0.6 * palette.white)
        return
    for side in (-1.0, 1.0):
        width, length = rng.uniform(0.04, 0.1), rng.uniform(0.16, 0.34)
        lean = rng.uniform(0.15, 0.4)
        box = (side * rng.uniform(0.1, 0.15), rng.uniform(-0.15, 0.0), width, length)
        lay(picture, ellipse(u + side * lean * (v + 0.1), v, box, 0.03), palette.fluid)
        horn = (side * rng.uniform(0.16, 0.24), rng.uniform(0.2, 0.36), width, length * 0.7)
        lay(picture, ellipse(u - side * lean * (v - 0.3), v, horn, 0.03), palette.fluid)


def _lay_neck(
    picture: Grey, u: Grey, v: Grey, case: Case, palette: Palette, rng: np.random.Generator
) -> None:
    """Lay soft tissue below the head, and in the sagittal plane a face in front of it."""
    centre, width = (0.25, 0.45) if case.plane == "sagittal" else (0.0, 0.55)
    neck = soft(width * rng.uniform(0.85, 1.15) - np.abs(u - centre), 0.06) * soft(v - 0.5, 0.1)
    lay(picture, neck, palette.scalp * rng.uniform(0.4, 0.8))
    if case.plane == "sagittal":
        face = (-0.55, rng.uniform(0.6, 0.8), rng.uniform(0.4, 0.5), rng.uniform(0.5, 0.65))
        lay(picture, ellipse(u, v, face, 0.06), palette.scalp * rng.uniform(0.5, 0.8))
        lay(picture, ellipse(u, v, (-0.55, 0.72, 0.22, 0.12), 0.06), 0.05)


def _lay_sagittal(
    picture: Grey, u: Grey, v: Grey, palette: Palette, rng: np.random.Generator
) -> None:
    """Lay corpus callosum, brain stem and cerebellum of a midsagittal slice."""
    height = rng.uniform(0.16, 0.26)
    arch = v + height - rng.uniform(0.5, 1.0) * u**2
    callosum = soft(rng.uniform(0.035, 0.06) - np.abs(arch), 0.03) * soft(0.45 - np.abs(u), 0.08)
    lay(picture, callosum, palette.white + 0.18)
    stem = soft(rng.uniform(0.07, 0.11) - np.abs(u - 0.12 - 0.15 * v), 0.03)
    lay(picture, stem * soft(v - 0.18, 0.05) * soft(1.15 - v, 0.2), palette.white)
    size = rng.uniform(0.2, 0.27)
    small = ellipse(u, v, (0.45, 0.52, size, size * rng.uniform(0.75, 1.0)), 0.03)
    leaves = 0.5 + 0.5 * np.sin(rng.uniform(40, 60) * (v - 0.5 * u))
    lay(picture, small, palette.cortex + 0.12 * leaves)
