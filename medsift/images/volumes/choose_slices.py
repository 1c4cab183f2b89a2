"""Choose slices of a volume by a stated rule."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from medsift.images.damage import ImageError

_RULES: Final = re.compile(
    r"(?P<uniform>uniform):(?P<count>[1-9]\d{0,4})"
    r"|(?P<every>every):\s*(?P<step>\d+(?:\.\d+)?)\s*mm"
    r"|(?P<middle>middle)"
    r"|(?P<around>around):(?P<at>\w+)(?::(?P<width>[1-9]\d{0,4}))?"
)
_PLACE: Final = re.compile(r"(?P<value>[-+]?\d+(?:\.\d+)?)\s*(?P<unit>mm)?")
USUAL_AROUND: Final = 3


@dataclass(frozen=True, slots=True)
class Sampler:
    """A rule that chooses slices: `count` of them, every `step` mm, or `count` around `at`."""

    rule: Literal["uniform", "every", "middle", "around"]
    count: int = 1
    step: float = 0.0
    at: str = ""

    @property
    def column(self) -> str | None:
        """The target that says around which slice, where `at` is no number."""
        return self.at if self.rule == "around" and not self.at.isdecimal() else None


def parse_sampler(words: str) -> Sampler:
    """Return the rule that a recipe names. Raises ValueError with the rules that there are."""
    match = _RULES.fullmatch(words.strip())
    if match is None:
        allowed = "uniform:8, every:5mm, middle or around:z:3"
        raise ValueError(f"{words!r} chooses no slices; write for example {allowed}")
    if match["uniform"]:
        return Sampler("uniform", int(match["count"]))
    if match["every"]:
        if not float(match["step"]) > 0.0:
            raise ValueError(f"{words!r}: slices are a distance above 0 mm apart")
        return Sampler("every", step=float(match["step"]))
    if match["around"]:
        return Sampler("around", int(match["width"] or USUAL_AROUND), at=match["at"])
    return Sampler("middle")


def choose_slices(
    sampler: Sampler,
    count: int,
    positions: Sequence[float] | None,
    at: str | None,
    most: int,
    name: str,
) -> list[int]:
    """Return the places of the slices that a sampler takes of `count`, ascending.

    Args:
        sampler: The rule.
        count: The slices of the volume, 1 or more.
        positions: Their positions in mm, ascending; None where they are not known.
        at: Value of the target that `around` names: a number from 1, or a position in mm.
        most: Most slices that may be shown.
        name: What errors call the volume.

    Raises:
        ImageError: volume_positions_missing, volume_slice_unknown or volume_slices_too_many.
    """
    chosen = _chosen(sampler, count, positions, at, name)
    if len(chosen) > most:
        words = f"{name}: {len(chosen)} slices, at most {most} are shown; choose fewer by"
        raise ImageError("volume_slices_too_many", f"{words} volumes.slices or raise max_slices")
    return chosen


def _chosen(
    sampler: Sampler, count: int, positions: Sequence[float] | None, at: str | None, name: str
) -> list[int]:
    if sampler.rule == "middle":
        return [count // 2]
    if sampler.rule == "uniform":
        shown = min(sampler.count, count)
        return [(2 * part + 1) * count // (2 * shown) for part in range(shown)]
    if sampler.rule == "every":
        place = _known(positions, name)
        targets = np.arange(place[0], place[-1] + 1e-6, sampler.step)
        return sorted({int(np.abs(place - target).argmin()) for target in targets})
    middle = _place(at if sampler.column else sampler.at, count, positions, name)
    shown = min(sampler.count, count)
    first = min(max(middle - (shown - 1) // 2, 0), count - shown)
    return list(range(first, first + shown))


def _place(at: str | None, count: int, positions: Sequence[float] | None, name: str) -> int:
    """Return the place, from 0, of the slice that a row names."""
    match = _PLACE.fullmatch((at or "").strip())
    if match is None:
        words = f"{name}: {at!r} names no slice; give a number from 1, or a position like -12.5 mm"
        raise ImageError("volume_slice_unknown", words)
    value = float(match["value"])
    if match["unit"]:
        place = _known(positions, name)
        # A position between two slices is shown by the nearer; one outside the volume by none.
        slack = float(np.diff(place).max()) if count > 1 else 0.5
        if place[0] - slack <= value <= place[-1] + slack:
            return int(np.abs(place - value).argmin())
        words = f"{name}: {value:g} mm is outside {place[0]:g} to {place[-1]:g} mm"
        raise ImageError("volume_slice_unknown", words)
    if value != int(value) or not 1 <= value <= count:
        words = f"{name}: there is no slice {value:g}; it has slices 1 to {count}"
        raise ImageError("volume_slice_unknown", words)
    return int(value) - 1


def _known(
    positions: Sequence[float] | None, name: str
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    if positions is None:
        words = f"{name}: the positions of its slices are not known; choose by number, not by mm"
        raise ImageError("volume_positions_missing", words)
    return np.asarray(positions, np.float64)
