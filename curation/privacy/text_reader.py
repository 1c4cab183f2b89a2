"""Read the text in a picture, with the rectangle of each line."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from medsift.errors import ModelError

if TYPE_CHECKING:
    from PIL import Image

# Sides of the pictures that the reader gets: its time grows with the area, and below 512 pixels
# it misreads the small letters of small pictures.
SHORTEST, LONGEST, LEAST = 512, 960, 128
BORDER: Final = 24
"""Pixels around what is read: text that touches the edge is missed without them."""
LEAST_SCORE: Final = 0.6
LEAST_LETTERS: Final = 3
TILED_BELOW: Final = 0.6
"""Scale below which a picture is read once more in parts, which are scaled down less."""
PART: Final = 0.6
"""Share of width and height of each of four parts, which overlap."""
SAME_PLACE: Final = 0.5


class Box(NamedTuple):
    """A rectangle in pixels: left, upper side, width, height."""

    x: int
    y: int
    width: int
    height: int


class Line(NamedTuple):
    """A line of text in a picture."""

    text: str
    box: Box


class TextReader:
    """Read upright text in pictures with PP-OCRv4, whose weights RapidOCR's wheel contains.

    The text depends on the picture alone: each thread has its own single-threaded models, and each
    picture is read by itself. Upside-down and vertical text may be missed.

    Raises ModelError when the package is not installed, or its models do not load.
    """

    def __init__(self) -> None:
        try:
            self.package: Any = importlib.import_module("rapidocr_onnxruntime")
        except ImportError as error:
            raise ModelError(
                f"reading text in pictures needs rapidocr-onnxruntime ({error}): "
                "pip install 'medsift[privacy]', or set privacy.pictures and "
                "images.burned_in_text to off",
                code="package_missing",
                package="rapidocr-onnxruntime",
            ) from error
        self.of_thread = threading.local()

    def lines(self, image: Image.Image, *, thoroughly: bool = False) -> list[Line]:
        """Return the lines of three or more letters in `image` (mode L or RGB), from the top.

        A large picture, which is scaled down, is read `thoroughly` in four parts too.
        """
        lines = list(self._read(image, 0, 0))
        if thoroughly and _scale(image) < TILED_BELOW:
            for left, right in _parts(image.width):
                for upper, lower in _parts(image.height):
                    lines += self._read(image.crop((left, upper, right, lower)), left, upper)
        return _distinct(lines)

    def _read(self, image: Image.Image, x: int, y: int) -> Iterator[Line]:
        seen, scale = as_read(image), _scale(image)
        boxes, _ = self._engine()(_with_border(seen), use_cls=False)
        for corners, text, score in boxes or ():
            if float(score) < LEAST_SCORE or sum(map(str.isalnum, text)) < LEAST_LETTERS:
                continue
            points = (np.asarray(corners, np.float64) - BORDER) / scale
            low = np.clip(np.floor(points.min(axis=0)), 0, None).astype(int)
            high = np.ceil(points.max(axis=0)).astype(int)
            right, lower = min(high[0], image.width), min(high[1], image.height)
            box = Box(x + int(low[0]), y + int(low[1]), int(right - low[0]), int(lower - low[1]))
            if box.width > 0 and box.height > 0:
                yield Line(str(text), box)

    def _engine(self) -> Any:
        engine = getattr(self.of_thread, "engine", None)
        if engine is None:
            # `as_read` has scaled the picture; 32 keeps the package from scaling it again.
            engine = self.of_thread.engine = self.package.RapidOCR(
                intra_op_num_threads=1,
                inter_op_num_threads=1,
                det_limit_side_len=32,
                det_limit_type="min",
                text_score=LEAST_SCORE,
            )
        return engine


def as_read(image: Image.Image) -> Image.Image:
    """Return the picture in RGB, scaled to sides of SHORTEST to LONGEST pixels, strips padded.

    Its shorter side has at least SHORTEST unless the longer would then pass LONGEST.
    """
    from PIL import Image

    scale = _scale(image)
    width, height = (max(1, round(side * scale)) for side in image.size)
    picture = image.convert("RGB")
    if (width, height) != image.size:
        picture = picture.resize((width, height), Image.Resampling.BILINEAR)
    if min(width, height) >= LEAST:
        return picture
    canvas = Image.new("RGB", (max(width, LEAST), max(height, LEAST)))
    canvas.paste(picture)
    return canvas


def _scale(image: Image.Image) -> float:
    return min(max(1.0, SHORTEST / min(image.size)), LONGEST / max(image.size))


def _with_border(picture: Image.Image) -> Any:
    """Return the pixels as the engine takes them, with a border of the picture's own edge."""
    pixels = np.asarray(picture)[:, :, ::-1]
    edge = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    tall, wide = (side + 2 * BORDER for side in pixels.shape[:2])
    framed = np.empty((tall, wide, 3), np.uint8)
    framed[:] = np.median(edge, axis=0).astype(np.uint8)
    framed[BORDER:-BORDER, BORDER:-BORDER] = pixels
    return framed


def _parts(side: int) -> list[tuple[int, int]]:
    """Return start and end of two overlapping parts of a long side; a short one is left whole."""
    part = max(LONGEST, round(PART * side))
    return [(0, side)] if part >= side else [(0, part), (side - part, side)]


def _distinct(lines: list[Line]) -> list[Line]:
    """Return lines from the top, of two in one place the one with more text."""
    kept: list[Line] = []
    for line in sorted(lines, key=lambda line: -len(line.text)):
        if all(_shared(line.box, other.box) < SAME_PLACE for other in kept):
            kept.append(line)
    return sorted(kept, key=lambda line: (line.box.y, line.box.x, line.text))


def _shared(one: Box, other: Box) -> float:
    """Return how much of the smaller of two rectangles the other covers."""
    wide = min(one.x + one.width, other.x + other.width) - max(one.x, other.x)
    tall = min(one.y + one.height, other.y + other.height) - max(one.y, other.y)
    if wide <= 0 or tall <= 0:
        return 0.0
    return wide * tall / min(one.width * one.height, other.width * other.height)
