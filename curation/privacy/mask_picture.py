"""Take text out of a picture, and read it again until there is nothing left to take out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from curation.privacy.line_kinds import line_kind
from curation.privacy.picture_header import PictureHeader
from curation.privacy.settings import KEPT_KINDS, PrivacyConfig
from curation.privacy.text_reader import Box, Line, TextReader
from medsift import records

if TYPE_CHECKING:
    from PIL import Image

MOST_READINGS: Final = 6
CLEAN, REVIEW, TEXT_LEFT = "clean", "review", "text_left"
MARGIN: Final = 0.3
"""Share of a line's height by which more than the line is painted."""
REMEMBERED: Final = 512
NO_HEADER: Final = PictureHeader()
Pixels = NDArray[np.uint8]


@dataclass(slots=True)
class Masking:
    """A picture after its text was taken out.

    `found` are lines (kind, action, x, y, width, height) of what was read first and what was
    painted later; `drop` is the class for which the recipe drops the picture, None without one.
    """

    image: Image.Image
    found: list[dict[str, Any]]
    painted: float
    readings: int
    verdict: str
    drop: str | None = None
    boxes: tuple[tuple[Box, int], ...] = ()
    """What was painted: rectangles and how many margins wide, as for `paint`."""


@dataclass
class PictureMasker:
    """Masks pictures by one recipe; equal pictures of one header are read once."""

    config: PrivacyConfig
    reader: TextReader = field(default_factory=TextReader)
    known: dict[str, Masking] = field(default_factory=dict)
    lock: Any = field(default_factory=Lock)

    def mask(self, image: Image.Image, header: PictureHeader = NO_HEADER) -> Masking:
        """Return a picture (8 bits, L or RGB) without the text that the recipe takes out."""
        key = records.digest(image.mode, str(image.size), image.tobytes(), repr(header))
        masking = self.known.get(key)
        if masking is None:
            masking = self._mask(image, header)
            with self.lock:
                while len(self.known) >= REMEMBERED:
                    self.known.pop(next(iter(self.known)))
                self.known[key] = masking
        return masking

    def _mask(self, image: Image.Image, header: PictureHeader) -> Masking:
        boxes = [_inside(box, image) for box in header.boxes]
        device = [("device", box) for box in boxes if box.width > 0 and box.height > 0]
        pixels, covered = np.array(image), np.zeros((image.height, image.width), np.bool_)
        found: list[dict[str, Any]] = []
        painted: list[tuple[Box, int]] = []
        lines = [*device, *self._read(image, header)]
        for reading in range(1, MOST_READINGS + 1):
            taken = []
            for kind, box in lines:
                action = self._action(kind)
                if reading == 1 or action == "mask":
                    found.append({"kind": kind, "action": action, **box._asdict()})
                taken += [box] if action == "mask" else []
            dropped = [line["kind"] for line in found if line["action"] == "drop"]
            if dropped:
                return Masking(image, found, 0.0, reading, CLEAN, dropped[0])
            if not taken:
                share = float(covered.mean())
                verdict = REVIEW if share > self.config.review_above else CLEAN
                return Masking(
                    _picture(pixels), found, share, reading, verdict, None, tuple(painted)
                )
            for box in taken:
                paint(pixels, covered, box, reading)
                painted.append((box, reading))
            lines = self._read(_picture(pixels), header)
        return Masking(_picture(pixels), found, float(covered.mean()), reading, TEXT_LEFT)

    def _read(self, image: Image.Image, header: PictureHeader) -> list[tuple[str, Box]]:
        lines: Sequence[Line] = self.reader.lines(image, thoroughly=True)
        marks = self.config.watermarks
        kinds = [line_kind(line.text, header.names, marks) for line in lines]
        return [
            (kind, line.box)
            for kind, line in zip(kinds, lines, strict=True)
            if self.config.picture_action(kind) != "off"
        ]

    def _action(self, kind: str) -> str:
        return "keep" if kind in KEPT_KINDS else self.config.picture_action(kind)


def paint(pixels: Pixels, covered: NDArray[np.bool_], box: Box, spread: int = 1) -> None:
    """Paint a rectangle and a margin in the median colour around it, in place.

    Args:
        pixels: Picture, (h, w) or (h, w, c).
        covered: Where something was painted, (h, w); set as well.
        box: The rectangle.
        spread: How many margins wide; later readings paint more.
    """
    margin = round(MARGIN * min(box.width, box.height) * spread) + 1
    tall, wide = covered.shape
    left, upper = max(0, box.x - margin), max(0, box.y - margin)
    right, lower = min(wide, box.x + box.width + margin), min(tall, box.y + box.height + margin)
    around = pixels[max(0, upper - 2) : lower + 2, max(0, left - 2) : right + 2]
    ring = np.ones(around.shape[:2], np.bool_)
    ring[upper - max(0, upper - 2) :, left - max(0, left - 2) :][
        : lower - upper, : right - left
    ] = False
    shown = around[ring] if ring.any() else around.reshape(-1, *around.shape[2:])
    pixels[upper:lower, left:right] = np.median(shown, axis=0).astype(pixels.dtype)
    covered[upper:lower, left:right] = True


def _inside(box: Box, image: Image.Image) -> Box:
    x, y = min(box.x, image.width), min(box.y, image.height)
    return Box(x, y, min(box.width, image.width - x), min(box.height, image.height - y))


def _picture(pixels: Pixels) -> Image.Image:
    from PIL import Image

    return Image.fromarray(pixels)
