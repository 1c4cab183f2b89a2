"""Name the windows through which values are shown, and show slices through one or three of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from medsift.images.display import windowed

Range = tuple[float, float]
"""The values that are shown black and white."""

PRESETS: Final[dict[str, Range]] = {
    "brain": (40, 80),
    "stroke": (40, 40),
    "subdural": (75, 215),
    "temporal_bone": (600, 2800),
    "lung": (-600, 1500),
    "mediastinum": (50, 350),
    "abdomen": (50, 400),
    "liver": (30, 150),
    "spine": (50, 250),
    "bone": (400, 1800),
    "soft_tissue": (40, 350),
    "wide": (0, 2048),
}
"""Centre and width in Hounsfield units, as radiology's textbooks give them."""
BY_BODY_PART: Final = "body_part"
PRESET_OF: Final = {
    **dict.fromkeys(("head", "brain", "skull"), "brain"),
    **dict.fromkeys(("chest", "thorax", "mediastinum", "heart"), "mediastinum"),
    **dict.fromkeys(("lung", "lungs"), "lung"),
    **dict.fromkeys(("abdomen", "pelvis", "abdomenpelvis", "kidney", "pancreas"), "abdomen"),
    **dict.fromkeys(("liver",), "liver"),
    **dict.fromkeys(("spine", "cspine", "tspine", "lspine"), "spine"),
    **dict.fromkeys(("neck",), "soft_tissue"),
    **dict.fromkeys(("knee", "hip", "shoulder", "ankle", "foot", "hand", "wrist", "elbow"), "bone"),
}
_NUMBERS: Final = re.compile(r"([-+]?\d+(?:\.\d+)?)\s*/\s*(\d+(?:\.\d+)?)")
WIDEST: Final = 2.0**32


def parse_window(words: str) -> Range:
    """Return lowest and highest value of a preset or of `centre/width`. Raises ValueError."""
    match = _NUMBERS.fullmatch(words.strip())
    if match is not None:
        centre, width = float(match[1]), float(match[2])
        if not (0.0 < width <= WIDEST and abs(centre) <= WIDEST):
            raise ValueError(f"{words!r}: a window's width is above 0 and at most 2^32")
    elif words in PRESETS:
        centre, width = PRESETS[words]
    else:
        allowed = f"header, percentile, {BY_BODY_PART}, {', '.join(PRESETS)}"
        raise ValueError(f"{words!r} is no window; allowed: {allowed}, or centre/width as 40/400")
    return centre - width / 2, centre + width / 2


def window_of(modality: str | None, body_part: str | None) -> str | None:
    """Return the preset of a body part in CT; None where there is none."""
    if modality != "ct" or not body_part:
        return None
    plain = re.sub(r"[\W_]+", "", body_part.casefold())
    return PRESET_OF.get(plain)


def show(slices: Sequence[NDArray[Any]], ranges: Sequence[Range]) -> list[NDArray[np.uint8]]:
    """Return slices (h, w) through one range, or (h, w, 3) through three as red, green, blue."""
    shown = [[windowed(values, low, high) for low, high in ranges] for values in slices]
    return [bands[0] if len(bands) == 1 else np.dstack(bands) for bands in shown]
