"""Paint a frontal chest radiograph: lungs, heart, spine, ribs and diaphragm."""

from __future__ import annotations

import numpy as np

from curation.phantoms import shapes
from curation.phantoms.cases import Case, lesion_stretches
from curation.phantoms.shapes import Grey, body_frame, ellipse, lay, ridges, smooth_field, soft


def paint_chest(case: Case, rng: np.random.Generator, shape: tuple[int, int]) -> Grey:
    """Paint a frontal chest radiograph, dense tissue bright; (h, w) in [0, 1]."""
    half = (rng.uniform(0.4, 0.52), rng.uniform(0.44, 0.56))
    u, v = body_frame(rng, shape, half, rng.uniform(-9, 9), rng.uniform(0.02, 0.04))
    picture = np.full(shape, 0.04)
    lay(picture, _torso(u, v, rng), rng.uniform(0.5, 0.66) + 0.05 * smooth_field(rng, shape, 3))
    lungs = _lay_lungs(picture, u, v, rng)
    _lay_heart(picture, u, v, rng)
    picture += rng.uniform(0.05, 0.13) * _ribs(u, v, rng) * _torso(u, v, rng)
    # Vertebrae: a faint segmented column in the middle.
    bend = rng.uniform(-0.06, 0.06) * v + rng.uniform(-0.05, 0.05) * v**2
    column = soft(rng.uniform(0.08, 0.11) - np.abs(u - bend), 0.04)
    segments = 0.6 + 0.4 * np.cos(2 * np.pi * v / rng.uniform(0.16, 0.22) + rng.uniform(0, 6))
    picture += 0.14 * column * segments
    for lesion, stretch in zip(case.lesions, lesion_stretches(rng), strict=False):
        box = (lesion.u, lesion.v, lesion.radius, lesion.radius * stretch)
        lay(picture, np.maximum(lungs, 0.7) * ellipse(u, v, box, 0.03), 0.93)
    return picture + shapes.noise(rng, shape, rng.uniform(0.008, 0.02))


def _torso(u: Grey, v: Grey, rng: np.random.Generator) -> Grey:
    """Return the mask of trunk and neck, with shoulders that slope down from the neck."""
    shoulder = -0.98 + rng.uniform(0.12, 0.2) * np.abs(u) ** 1.5 * 2.0
    trunk = soft(rng.uniform(0.98, 1.04) + 0.06 * v - np.abs(u), 0.05) * soft(v - shoulder, 0.06)
    neck = soft(0.24 - np.abs(u), 0.05)
    mask: Grey = np.maximum(trunk, neck)
    return mask


def _lay_lungs(picture: Grey, u: Grey, v: Grey, rng: np.random.Generator) -> Grey:
    """Lay two dark fields above domed diaphragms, crossed by vessels; return their mask (h, w)."""
    shape = (picture.shape[0], picture.shape[1])
    vessels = ridges(smooth_field(rng, shape, rng.uniform(10, 16)), 0.25)
    cloud = smooth_field(rng, shape, rng.uniform(3, 6))
    air = rng.uniform(0.1, 0.26)
    both = np.zeros(shape)
    for side in (-1.0, 1.0):
        centre, width = side * rng.uniform(0.44, 0.52), rng.uniform(0.34, 0.42)
        dome = rng.uniform(0.42, 0.66) + rng.uniform(0.6, 1.4) * (u - centre) ** 2
        field = ellipse(u, v, (centre, rng.uniform(-0.12, 0.05), width, 0.82), 0.05)
        field *= soft(dome - v, 0.05)
        lay(picture, field, air + 0.07 * cloud + rng.uniform(0.08, 0.22) * vessels)
        both = np.maximum(both, field)
    return both


def _lay_heart(picture: Grey, u: Grey, v: Grey, rng: np.random.Generator) -> None:
    """Lay mediastinum, and the heart towards the patient's left, the screen's right."""
    lay(picture, soft(rng.uniform(0.13, 0.2) - np.abs(u), 0.06), rng.uniform(0.62, 0.74))
    width, height = rng.uniform(0.24, 0.36), rng.uniform(0.2, 0.32)
    lean = rng.uniform(0.1, 0.5)
    box = (rng.uniform(0.1, 0.18), rng.uniform(0.2, 0.4), width, height)
    lay(picture, ellipse(u, v - lean * (u - 0.1), box, 0.06), rng.uniform(0.68, 0.8))
    knob = (rng.uniform(0.12, 0.2), rng.uniform(-0.35, -0.2), 0.09, 0.1)
    lay(picture, ellipse(u, v, knob, 0.06), 0.7)


def _ribs(u: Grey, v: Grey, rng: np.random.Generator) -> Grey:
    """Return ribs as arcs that descend from the spine, and two clavicles; (h, w) in [0, 1]."""
    spacing, phase = rng.uniform(0.17, 0.24), rng.uniform(0, 2 * np.pi)
    drop, tilt = rng.uniform(0.3, 0.75), rng.uniform(-0.08, 0.08)
    path = v - drop * u**2 + tilt * u
    bone = soft(np.cos(2 * np.pi * path / spacing + phase) - rng.uniform(0.3, 0.6), 0.5)
    clavicle = np.zeros_like(u)
    for side in (-1.0, 1.0):
        slope, height = rng.uniform(0.1, 0.4), rng.uniform(-0.72, -0.6)
        line = v - height + slope * (side * u - 0.3)
        clavicle += soft(0.035 - np.abs(line), 0.03) * soft(side * u - 0.08, 0.05)
    both: Grey = np.maximum(bone * soft(v + 0.8, 0.1) * 0.8, np.clip(clavicle, 0, 1))
    return both
