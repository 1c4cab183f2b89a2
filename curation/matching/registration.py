"""Correlate the pixels of two miniatures after registration, batched over pairs.

One picture is warped onto the other by the affine map that fits best, found by the inverse
compositional form of Gauss-Newton (Baker and Matthews, "Lucas-Kanade 20 years on", IJCV 56, 2004)
on zero-mean, unit-norm intensities, so brightness and contrast do not count (the correlation
criterion of Evangelidis and Psarakis, "Parametric image alignment using enhanced correlation
coefficient maximization", PAMI 30, 2008). Bounds keep the map near the identity: a crop of some
6 % at each border, a rotation of some 5°. The outer ring is left out: crops and
rotations lose its content, and annotations are there.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from medsift.arrays import Flags, Floats, Indices
from medsift.records import THUMB_SIDE

if TYPE_CHECKING:
    from torch import Tensor

Thumbs = NDArray[np.uint8]

BATCH = 128  # pairs whose arrays stay in cache
RIDGE = 1e-3  # of the mean curvature: keeps pictures with edges in one direction solvable
LARGEST_STRETCH = 0.22
LARGEST_SHEAR = 0.14  # off-diagonal terms: a rotation of 5° in a picture half as high as wide
LARGEST_SHIFT = 0.2  # of half the picture's side
# Re-encoding a symmetric picture led by less than 0.00001, mirrored VQA-RAD images by 0.048 or
# more. Mirror images of pictures that differ less from their own, by 2 % of grey, count as copies.
MIRROR_LEAD = 0.002
PROMISING = 0.95  # least correlation to go on from either; altered copies reach 0.97


@dataclass(frozen=True, slots=True)
class Level:
    """One resolution: `side` pixels blurred by `blur`, without `margin` at each border."""

    side: int
    margin: int
    blur: float
    steps: int


# A few steps at the first level rule most pairs out at the least cost.
FIRST = Level(side=16, margin=1, blur=2.5, steps=2)
COARSE = Level(side=32, margin=3, blur=1.5, steps=3)
FINE = Level(side=64, margin=6, blur=0.7, steps=4)
DETAIL_BLUR = 2.5  # pixels: structure coarser than this is taken out of the detail


@dataclass(frozen=True, slots=True)
class Agreement:
    """How well pairs of pictures agree, as arrays (p,)."""

    correlation: Floats
    """Correlation of the registered miniatures; of the last level that was tried."""
    detail: Floats
    """Correlation of their fine structure; 0 where a coarser level ruled a copy out."""


def glances(thumbs: Thumbs) -> Floats:
    """Return signatures (n, 196) whose products correlate blurred, unregistered miniatures."""
    import torch

    level = Level(side=16, margin=1, blur=2.0, steps=0)
    parts = [
        unit(_inner(_view(torch.from_numpy(thumbs[start : start + BATCH]), level), level))
        for start in range(0, len(thumbs), BATCH)
    ]
    return np.asarray(torch.cat(parts)) if parts else np.zeros((0, 196), np.float32)


def agree(thumbs: Thumbs, left: Indices, right: Indices, flip: tuple[int, ...] = ()) -> Agreement:
    """Register picture `right` onto `left` for each pair (p,) and measure how well they agree.

    A pair's numbers depend on its two pictures alone, up to rounding.

    Args:
        thumbs: Miniatures (n, 64, 64).
        left: First picture of each pair (p,).
        right: Second picture of each pair (p,).
        flip: Axes along which the second picture is mirrored first.
    """
    correlation = np.zeros(len(left), np.float32)
    detail = np.zeros(len(left), np.float32)

    def register_batch(start: int) -> None:
        part = slice(start, start + BATCH)
        correlation[part], detail[part] = _agree(thumbs[left[part]], thumbs[right[part]], flip)

    with workers() as threads:
        list(threads.map(register_batch, range(0, len(left), BATCH)))
    return Agreement(correlation, detail)


@contextmanager
def workers() -> Iterator[ThreadPoolExecutor]:
    """Open a thread per core, each with torch of one thread: batches are too small to share."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield pool
    finally:
        torch.set_num_threads(threads)


def mirrored(thumbs: Thumbs, left: Indices, right: Indices, detail: Floats) -> Flags:
    """Return whether each pair (p,) fits better with one picture mirrored.

    Mirrored, upside down or both: nearly symmetric anatomy correlates with its mirror image, but
    never as well as the true mirror image does. A symmetric picture fits both ways, and which way
    better is chance: only a clear lead counts.

    Args:
        thumbs: Miniatures (n, 64, 64).
        left: First picture of each pair (p,).
        right: Second picture of each pair (p,).
        detail: Correlation (p,) of their fine structure as they stand, from `agree`.
    """
    better = np.zeros(len(left), bool)
    for flip in ((2,), (1,), (1, 2)):
        better |= agree(thumbs, left, right, flip).detail > detail + MIRROR_LEAD
    return better


def _agree(left: Thumbs, right: Thumbs, flip: tuple[int, ...]) -> tuple[Floats, Floats]:
    import torch

    with torch.inference_mode():
        target, source = torch.from_numpy(left), torch.from_numpy(right).flip(flip)
        maps = torch.eye(2, 3).repeat(len(left), 1, 1)
        correlation, detail = torch.zeros(len(left)), torch.zeros(len(left))
        alive = torch.arange(len(left))
        for level in (FIRST, COARSE):
            maps, reached = register(level, target[alive], source[alive], maps)
            correlation[alive] = reached
            # Register on only what may still be a copy: most pairs end at 16 × 16 pixels.
            alive, maps = alive[reached >= PROMISING], maps[reached >= PROMISING]
        if len(alive):
            target, source = target[alive], source[alive]
            maps, correlation[alive] = register(FINE, target, source, maps)
            # What is left without coarse structure differs between two patients in one view.
            rough = Level(FINE.side, FINE.margin, DETAIL_BLUR, 0)
            wanted = _view(target, FINE) - _view(target, rough)
            offered = _view(source, FINE) - _view(source, rough)
            goal = unit(_inner(wanted, FINE))
            detail[alive] = (unit(warp(offered, maps, FINE)) * goal).sum(1)
        return correlation.numpy(), detail.numpy()


def register(level: Level, target: Tensor, source: Tensor, maps: Tensor) -> tuple[Tensor, Tensor]:
    """Improve maps that take a target's places into its source, and measure the fit.

    Args:
        level: Resolution to work at.
        target: Pictures (p, 64, 64) that stay.
        source: Pictures (p, 64, 64) that are warped onto them.
        maps: Where to start, (p, 2, 3).

    Returns:
        The better maps (p, 2, 3) and the correlations (p,) that they reach.
    """
    import torch

    wanted, offered = _view(target, level), _view(source, level)
    goal = unit(_inner(wanted, level))
    solve = _solver(wanted, goal, level)
    for _ in range(level.steps):
        error = unit(warp(offered, maps, level)) - goal
        maps = _compose(maps, torch.bmm(solve, error.unsqueeze(2)).squeeze(2))
    return maps, (unit(warp(offered, maps, level)) * goal).sum(1)


def _solver(wanted: Tensor, goal: Tensor, level: Level) -> Tensor:
    """Return matrices (p, 6, pixels) from an error image to the parameters of a small map."""
    import torch

    down, across = torch.gradient(wanted, dim=(1, 2))
    inner = _inner(wanted, level)
    scale = (inner - inner.mean(1, keepdim=True)).norm(dim=1, keepdim=True).clamp_min(1e-6)
    slope = level.side / 2 / scale
    gx, gy = _inner(across, level) * slope, _inner(down, level) * slope
    x, y = _grid(level)[:, 0], _grid(level)[:, 1]
    change = torch.stack([gx * x, gx * y, gx, gy * x, gy * y, gy], 1)
    # Brightness and contrast are free: only what they cannot explain steers the map.
    change = change - change.mean(2, keepdim=True)
    change = change - torch.bmm(change, goal.unsqueeze(2)) * goal.unsqueeze(1)
    curvature = torch.bmm(change, change.transpose(1, 2))
    mean = curvature.diagonal(dim1=1, dim2=2).mean(1).clamp_min(1e-12)
    damped = curvature + RIDGE * mean[:, None, None] * torch.eye(6)
    return torch.bmm(torch.linalg.inv(damped), change)


def _compose(maps: Tensor, small: Tensor) -> Tensor:
    """Return maps (p, 2, 3) after the inverse of small ones (p, 6), kept near the identity."""
    import torch

    small = small.view(-1, 2, 3)
    limits = torch.tensor([[LARGEST_STRETCH, LARGEST_SHEAR, LARGEST_SHIFT]] * 2)
    limits[1, :2] = limits[1, :2].flip(0)
    small = torch.maximum(torch.minimum(small, limits), -limits)
    # The step warps the target; moving the source instead is its inverse.
    back = torch.linalg.inv(small[:, :, :2] + torch.eye(2))
    turn = torch.bmm(maps[:, :, :2], back)
    shift = maps[:, :, 2:] - torch.bmm(turn, small[:, :, 2:])
    identity = torch.eye(2, 3)
    moved = torch.cat([turn, shift], 2) - identity
    return identity + torch.maximum(torch.minimum(moved, limits), -limits)


def warp(pictures: Tensor, maps: Tensor, level: Level) -> Tensor:
    """Look up pictures (p, side, side) at the mapped inner grid: (p, pixels)."""
    import torch
    from torch.nn.functional import grid_sample

    places = torch.matmul(_grid(level), maps.transpose(1, 2))
    pixels = grid_sample(
        pictures[:, None], places[:, None], padding_mode="border", align_corners=False
    )
    return pixels[:, 0, 0]


def _inner(pictures: Tensor, level: Level) -> Tensor:
    cut = slice(level.margin, level.side - level.margin)
    return pictures[:, cut, cut].flatten(1)


def unit(vectors: Tensor) -> Tensor:
    """Return vectors (p, pixels) with zero mean and unit norm; a flat picture becomes zeros."""
    centred = vectors - vectors.mean(1, keepdim=True)
    unit: Tensor = centred / centred.norm(dim=1, keepdim=True).clamp_min(1e-3)
    return unit


def _view(thumbs: Tensor, level: Level) -> Tensor:
    """Blur miniatures (p, 64, 64) and shrink them to the level's side."""
    operator = _operator(level.side, level.blur)
    shrunk: Tensor = operator @ thumbs.float() @ operator.T
    return shrunk


@lru_cache(maxsize=8)
def _operator(side: int, blur: float) -> Tensor:
    """Return the matrix (side, 64) of a Gaussian blur in miniature pixels, then box averages."""
    return gaussian(THUMB_SIDE, blur).view(side, THUMB_SIDE // side, THUMB_SIDE).mean(1)


@lru_cache(maxsize=16)
def gaussian(side: int, blur: float) -> Tensor:
    """Return the matrix (side, side) of a blur, whose rows are weights that sum to 1."""
    import torch

    place = torch.arange(float(side))
    apart = place[:, None] - place
    # Cut at four deviations: denormal weights would make the products a hundred times slower.
    weights = torch.exp(-(apart**2) / (2 * blur**2)) * (apart.abs() <= 4 * blur)
    return weights / weights.sum(1, keepdim=True)


@lru_cache(maxsize=8)
def _grid(level: Level) -> Tensor:
    """Return inner pixel centres (pixels, 3) as (x, y, 1), the picture spanning -1 to 1."""
    import torch

    centres = (torch.arange(level.side) + 0.5) / level.side * 2 - 1
    inner = centres[level.margin : level.side - level.margin]
    y, x = torch.meshgrid(inner, inner, indexing="ij")
    return torch.stack([x.flatten(), y.flatten(), torch.ones(x.numel())], 1)
