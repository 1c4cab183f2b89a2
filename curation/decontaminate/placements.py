"""Find where in one picture another may be placed, compared by their edges.

A picture is described by the directions of its edges in 8 × 8 cells, the double of each angle, so
that brightness, contrast, gamma, window and inversion count for little (Bigün and Granlund,
"Optimal orientation detection of linear symmetry", ICCV 1987). The whole of one picture, in its
eight orientations, with and without its flat borders, is compared with many parts of the other,
and the other way round: a crop is part of the benchmark's picture, a collage contains it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from curation.matching.registration import Thumbs, gaussian
from medsift.arrays import Floats, Indices
from medsift.records import THUMB_SIDE

if TYPE_CHECKING:
    from torch import Tensor

Maps = NDArray[np.float32]

SIDE = 32  # pixels of a part whose edges are described
CELLS = 8
WIDTH = 2 * CELLS * CELLS
ORIENTATIONS = 8
ALIAS_BLUR = 0.7  # pixels of the miniature
FAINT = 4.0  # grey levels a pixel from which an edge counts half: noise and JPEG blocks are below
FLAT = 12.0  # grey levels that a row or column of a picture's content spans at least
LEAST_CONTENT = THUMB_SIDE // 4
NESTED = 2
PICTURES_AT_A_TIME = 16
PRODUCTS_AT_A_TIME = 16_000_000

# Height and width of parts as shares of the picture, and how many are across and down. Steps of
# a tenth: cells of an eighth tolerate half of that.
_PARTS = (
    *((side, side, count, count) for side, count in ((0.88, 3), (0.77, 3), (0.67, 4), (0.58, 5))),
    *((0.5, 0.5, 5, 5), (0.85, 0.68, 3, 3), (0.68, 0.85, 3, 3)),
    *((side, 1.0, 3, 1) for side in (0.82, 0.68, 0.5, 1 / 3)),
    *((1.0, side, 1, 3) for side in (0.82, 0.68, 0.5, 1 / 3)),
)
_TILTS = ((1.0, -14), (1.0, -7), (1.0, 7), (1.0, 14), (1.2, -8), (1.2, 8))


@lru_cache(maxsize=1)
def parts() -> Tensor:
    """Return maps (k, 2, 3) from a part's square, -1 to 1, into the picture; the whole first."""
    import torch

    maps = [_map(1.0, 1.0, 0.5, 0.5, 0.0)]
    for width, height, across, down in _PARTS:
        for y in np.linspace(height / 2, 1 - height / 2, down).tolist():
            for x in np.linspace(width / 2, 1 - width / 2, across).tolist():
                maps.append(_map(width, height, x, y, 0.0))
    maps += [_map(side, side, 0.5, 0.5, angle) for side, angle in _TILTS]
    return torch.tensor(maps, dtype=torch.float32)


def _map(width: float, height: float, x: float, y: float, angle: float) -> list[list[float]]:
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    return [
        [width * cos, -width * sin, 2 * x - 1],
        [height * sin, height * cos, 2 * y - 1],
    ]


@lru_cache(maxsize=1)
def orientations() -> Tensor:
    """Return maps (8, 2, 2): quarter turns, then quarter turns of the mirror image."""
    import torch

    turns = [torch.tensor([[1.0, 0.0], [0.0, 1.0]])]
    for _ in range(3):
        turns.append(turns[-1] @ torch.tensor([[0.0, -1.0], [1.0, 0.0]]))
    mirror = torch.tensor([[-1.0, 0.0], [0.0, 1.0]])
    return torch.stack([*turns, *(turn @ mirror for turn in turns)])


def contents(thumb: NDArray[np.uint8]) -> list[list[list[float]]]:
    """Return maps (2, 2, 3) of what is inside a miniature's flat borders, and inside those of that.

    A black scan on a white page has two: the scan, and the body in it.
    """
    top, bottom, left, right = 0, THUMB_SIDE, 0, THUMB_SIDE
    maps = []
    for _ in range(NESTED):
        above, below = _ends(thumb[top:bottom, left:right])
        before, after = _ends(thumb[top + above : top + below, left:right].T)
        above, below = _ends(thumb[top:bottom, left + before : left + after])
        top, bottom, left, right = top + above, top + below, left + before, left + after
        x, y = (left + right) / 2 / THUMB_SIDE, (top + bottom) / 2 / THUMB_SIDE
        width, height = (right - left) / THUMB_SIDE, (bottom - top) / THUMB_SIDE
        maps.append(_map(width, height, x, y, 0.0))
    return maps


def _ends(rows: NDArray[np.uint8]) -> tuple[int, int]:
    """Return the first row with content and the row after the last; all if little would be left."""
    low, high = np.percentile(rows, (3, 97), axis=1)
    textured = np.flatnonzero(high - low > FLAT)
    if not len(textured) or textured[-1] + 1 - textured[0] < LEAST_CONTENT:
        return 0, len(rows)
    first, last = int(textured[0]), int(textured[-1])
    # A border's last row is a mixture that would look like an edge around the content.
    return first + (first > 0), last + (last + 1 == len(rows))


@dataclass(frozen=True, slots=True)
class Described:
    """Pictures (n) by the edges of their parts and of their wholes.

    `parts` (n, k + 2, d): the parts, then the contents. `wholes` (w, d): each of eight
    orientations of the whole picture and, where it has flat borders, of its contents; `owner`
    (w,) is the picture, `places` (w, 2, 3) the maps, `contents` (n, 2, 2, 3) those of contents.
    """

    parts: Tensor
    wholes: Tensor
    owner: Tensor
    places: Tensor
    contents: Tensor

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self.parts)


def describe(thumbs: Thumbs) -> Described:
    """Describe miniatures (n, 64, 64) by the edges of their parts and wholes."""
    import torch

    # Sampled at 32 pixels without a blur, a whole of 64 would alias.
    pictures = smooth(torch.from_numpy(np.ascontiguousarray(thumbs)).float(), ALIAS_BLUR)
    inner = torch.tensor([contents(thumb) for thumb in thumbs], dtype=torch.float32)
    inner = inner.view(-1, NESTED, 2, 3)
    owner, places = _wholes(inner)
    pieces, wholes = [torch.empty(0, len(parts()) + NESTED, WIDTH)], [torch.empty(0, WIDTH)]
    with torch.inference_mode():
        for start in range(0, len(pictures), PICTURES_AT_A_TIME):
            some = pictures[start : start + PICTURES_AT_A_TIME]
            own = inner[start : start + PICTURES_AT_A_TIME]
            maps = torch.cat([parts().expand(len(some), -1, -1, -1), own], 1)
            seen = _edges(sample(some, maps, SIDE).view(-1, SIDE, SIDE))
            pieces.append(seen.view(len(some), -1, WIDTH))
        for start in range(0, len(owner), PICTURES_AT_A_TIME * ORIENTATIONS):
            few = slice(start, start + PICTURES_AT_A_TIME * ORIENTATIONS)
            wholes.append(_edges(sample(pictures[owner[few]], places[few, None], SIDE)[:, 0]))
    return Described(torch.cat(pieces), torch.cat(wholes), owner, places, inner)


def _wholes(inner: Tensor) -> tuple[Tensor, Tensor]:
    """Return owners (w,) and maps (w, 2, 3) of whole pictures and of contents that are less."""
    import torch

    frames = torch.cat([parts()[:1].expand(len(inner), 1, -1, -1), inner], 1)
    new = torch.ones(len(inner), 1 + NESTED, dtype=torch.bool)
    new[:, 1:] = (frames[:, 1:] != frames[:, :-1]).flatten(2).any(2)
    frames, pictures = frames[new], new.nonzero()[:, 0]
    owner = pictures.repeat_interleave(ORIENTATIONS)
    turned = frames[:, None, :, :2] @ orientations()
    places = torch.cat([turned, frames[:, None, :, 2:].expand(-1, ORIENTATIONS, -1, -1)], 3)
    return owner, places.flatten(0, 1)


def sample(pictures: Tensor, maps: Tensor, side: int) -> Tensor:
    """Return parts (n, k, side, side) of pictures (n, 64, 64) at maps (n, k, 2, 3)."""
    from torch.nn.functional import affine_grid, grid_sample

    count, each = maps.shape[:2]
    grid = affine_grid(maps.flatten(0, 1), [count * each, 1, side, side], False)
    grid = grid.view(count, each * side, side, 2)
    pixels: Tensor = grid_sample(
        pictures[:, None], grid, padding_mode="border", align_corners=False
    )
    return pixels.view(count, each, side, side)


def smooth(pictures: Tensor, blur: float) -> Tensor:
    """Blur pictures (..., side, side) by a Gaussian of `blur` pixels."""
    height, width = pictures.shape[-2:]
    blurred: Tensor = gaussian(height, blur) @ pictures @ gaussian(width, blur).T
    return blurred


def _edges(pictures: Tensor) -> Tensor:
    """Return unit descriptions (n, d) of pictures (n, 32, 32); zeros for a flat one."""
    import torch
    from torch.nn.functional import avg_pool2d

    down, across = torch.gradient(smooth(pictures, 0.8), dim=(1, 2))
    square = across**2 + down**2
    weight = 1 / (square + FAINT * square.sqrt() + 1e-6)
    # Of double the angle, so that an edge and its inverse count the same.
    doubled = torch.stack([(across**2 - down**2) * weight, 2 * across * down * weight], 1)
    cells: Tensor = avg_pool2d(doubled, SIDE // CELLS).flatten(1)
    unit: Tensor = cells / cells.norm(dim=1, keepdim=True).clamp_min(1e-3)
    return unit


def products(pool: Described, bench: Described) -> Floats:
    """Return the best product (n, m) of a part of one picture with the whole of the other.

    A crop has its whole in the other's part, a collage the other way round: both are tried.
    """
    best = _best_products(pool, bench)
    return np.maximum(best, _best_products(bench, pool).T)


def _best_products(parted: Described, whole: Described) -> Floats:
    """Return the best product (n, m) of parts of n pictures with any whole of each of m."""
    import torch

    best = torch.full((len(parted), len(whole)), -1.0)
    step = max(1, PRODUCTS_AT_A_TIME // max(1, len(whole.wholes) * parted.parts.shape[1]))
    for rows in blocks(len(parted), step):
        pieces = parted.parts[rows]
        product = pieces.flatten(0, 1) @ whole.wholes.T
        product = product.view(*pieces.shape[:2], -1).amax(1)
        best[rows].scatter_reduce_(1, whole.owner.expand(len(pieces), -1), product, "amax")
    return np.asarray(best)


def place(pool: Described, bench: Described, left: Indices, right: Indices) -> tuple[Maps, Maps]:
    """Return maps (p, 2, 3) into both pictures of each pair that show the most alike.

    Args:
        pool: Pictures of one side.
        bench: Pictures of the other side.
        left: Numbers of the pool's pictures (p,).
        right: Numbers of the benchmark's pictures (p,).
    """
    maps = np.empty((2, len(left), 2, 3), np.float32)
    for pair, (a, b) in enumerate(zip(left.tolist(), right.tolist(), strict=True)):
        part_of_left, part_of_right = _fit(pool, a, bench, b), _fit(bench, b, pool, a)
        if part_of_left[0] >= part_of_right[0]:
            _, maps[0, pair], maps[1, pair] = part_of_left
        else:
            _, maps[1, pair], maps[0, pair] = part_of_right
    return maps[0], maps[1]


def _fit(parted: Described, a: int, whole: Described, b: int) -> tuple[float, Tensor, Tensor]:
    """Return the best product of a part of picture `a` with the whole of `b`, and both maps."""
    own = (whole.owner == b).nonzero().flatten()
    product = parted.parts[a] @ whole.wholes[own].T
    part, turn = divmod(int(product.argmax()), len(own))
    known = parts()
    shown = known[part] if part < len(known) else parted.contents[a, part - len(known)]
    return float(product.max()), shown, whole.places[own[turn]]


def blocks(count: int, size: int) -> Iterator[slice]:
    """Yield slices of at most `size` that cover `count` rows."""
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))
