"""Find the slices of a DICOM series: of one patient and shape, by position along the normal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from medsift.arrays import Doubles
from medsift.images.damage import ImageError, foreign_bytes
from medsift.images.dicom_file import KIND, read_head
from medsift.storage.locations import open_input

if TYPE_CHECKING:
    from pydicom import Dataset

    from medsift.images.settings import ImagesConfig

SAME_PLACE_MM: Final = 0.01
"""Distance up to which two slices are at one position."""
GAP: Final = 1.5
"""Distance, in slices, from which slices are missing between two neighbours."""
MOST_OBLIQUE: Final = np.cos(np.radians(35.0))
"""Least share of the normal along its main axis for a plane that has that axis' name."""
PLANES: Final = ("sagittal", "coronal", "axial")
LETTERS: Final = (("R", "L"), ("A", "P"), ("I", "S"))
"""The ends of the three axes of DICOM's patient coordinates, from low to high values."""
DIRECTIONS: Final = 6


@dataclass(frozen=True, slots=True)
class Slice:
    """One frame of a file: `place` in mm and `axes`, the directions of columns and rows, if known.

    `number` is its InstanceNumber, for frames of one file with the frame's place.
    """

    ref: str
    frame: int
    head: Dataset
    number: tuple[float, int] | None
    place: tuple[float, ...] | None
    axes: tuple[float, ...] | None


@dataclass(slots=True)
class Stack:
    """The slices of a volume in order; `positions` in mm along the normal, where they are known."""

    slices: list[Slice]
    positions: list[float] | None = None
    spacing_mm: float | None = None
    missing: int = 0
    duplicates: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def head(self) -> Dataset:
        """The header of the first slice."""
        return self.slices[0].head

    @property
    def axes(self) -> tuple[float, ...] | None:
        """The directions of columns and rows."""
        return self.slices[0].axes


def read_stack(
    name: str,
    files: Sequence[str],
    wanted: str | None,
    several: Literal["only", "largest"],
    config: ImagesConfig,
) -> Stack:
    """Read the headers of files, and return one series as a stack.

    Args:
        name: What errors call the volume.
        files: Its files; those that are no DICOM picture are left out with a note.
        wanted: SeriesNumber or SeriesInstanceUID of the series; None takes the one that there is.
        several: What to do about several series, where none is wanted.
        config: Limits on size.

    Raises:
        ImageError: not_an_image, image_missing, image_truncated or image_unsupported where no
            slice is left; volume_series_several, volume_series_unknown, volume_patients_mixed.
    """
    heads, notes, gone = _heads(name, files, config)
    series = _series(name, heads, wanted, several)
    _check_patient(name, series)
    slices = [one for ref, head in series for one in _frames(ref, head, name)]
    stack = _in_order(*_of_one_shape(slices))
    stack.missing += gone
    stack.notes += notes
    return stack


def _heads(
    name: str, files: Sequence[str], config: ImagesConfig
) -> tuple[list[tuple[str, Dataset]], list[str], int]:
    """Return the headers of DICOM pictures, notes on other files, and the number of absent ones."""
    heads: list[tuple[str, Dataset]] = []
    others: list[str] = []
    faults: list[ImageError] = []
    gone = 0
    for ref in files:
        try:
            head = _head(ref, config)
        except FileNotFoundError:
            gone += 1
        except ImageError as error:
            faults.append(error)
        else:
            if head is None:
                others.append(PurePosixPath(ref).name)
            else:
                heads.append((ref, head))
    if not heads and faults:
        raise faults[0]
    if not heads:
        words = f"{name} has no DICOM picture among its {len(files)} files"
        fix = "name the folder or file of a series"
        raise ImageError("image_missing" if gone else "not_an_image", f"{words}; {fix}")
    said = (
        (others, "{} files are no DICOM pictures, the first is {}"),
        ([error.detail for error in faults], "{} files cannot be read: {}"),
    )
    notes = [words.format(len(listed), listed[0]) for listed, words in said if listed]
    return heads, [*notes, *([f"{gone} files that are listed are missing"] if gone else [])], gone


def _head(ref: str, config: ImagesConfig) -> Dataset | None:
    """Return the header of a DICOM picture; None for other files."""
    with open_input(ref) as file:
        head = read_head(file, PurePosixPath(ref).name, config)
    return head if head is not None and "Rows" in head and "Columns" in head else None


def _series(
    name: str,
    heads: Sequence[tuple[str, Dataset]],
    wanted: str | None,
    several: Literal["only", "largest"],
) -> list[tuple[str, Dataset]]:
    """Return the headers of one series."""
    groups: dict[str, list[tuple[str, Dataset]]] = {}
    for ref, head in heads:
        groups.setdefault(str(head.get("SeriesInstanceUID") or ""), []).append((ref, head))
    numbers = {uid: str(group[0][1].get("SeriesNumber") or "") for uid, group in groups.items()}
    sizes = [f"{numbers[uid] or '?'} ({len(group)} files)" for uid, group in groups.items()]
    if wanted is not None:
        named = [uid for uid in groups if wanted in (uid, numbers[uid])]
        if len(named) == 1:
            return groups[named[0]]
        words = f"{name}: {len(named) or 'no'} series {wanted!r}; it has {', '.join(sizes[:10])}"
        raise ImageError("volume_series_unknown", f"{words}; name one by its SeriesInstanceUID")
    if len(groups) > 1 and several == "only":
        words = f"{name} has {len(groups)} series: {', '.join(sizes[:10])}; name one, as"
        fix = f"{PurePosixPath(name).name}#NUMBER, or set volumes.series to largest"
        raise ImageError("volume_series_several", f"{words} {fix}")
    # Of equal ones the first by its identifier, whatever the files are called.
    return groups[min(groups, key=lambda uid: (-len(groups[uid]), uid))]


def _check_patient(name: str, series: Iterable[tuple[str, Dataset]]) -> None:
    heads = [head for _, head in series]
    for tag in ("PatientID", "PatientName"):
        known = {str(head.get(tag) or "").strip() for head in heads} - {""}
        if len(known) > 1:
            words = f"{name}: {len(known)} patients in one series (by {tag}); separate its files"
            raise ImageError("volume_patients_mixed", words)


def _frames(ref: str, head: Dataset, name: str) -> list[Slice]:
    with foreign_bytes(name, KIND):
        count = max(int(head.get("NumberOfFrames") or 1), 1)
        number = head.get("InstanceNumber")
        first = None if number is None else float(number)
        shared = (head.get("SharedFunctionalGroupsSequence") or [None])[0]
        own = list(head.get("PerFrameFunctionalGroupsSequence") or ())
        slices = []
        for frame in range(count):
            groups = [own[frame] if frame < len(own) else None, shared]
            place = _vector(head, groups, "PlanePositionSequence", "ImagePositionPatient", 3)
            axes = _vector(
                head, groups, "PlaneOrientationSequence", "ImageOrientationPatient", DIRECTIONS
            )
            if count > 1 and not own:
                place = _offset(place, axes, head.get("GridFrameOffsetVector"), frame)
            at = None if first is None and count == 1 else (first or 0.0, frame)
            slices.append(Slice(ref, frame, head, at, place, axes))
    return slices


def _vector(
    head: Dataset, groups: Sequence[Dataset | None], group: str, tag: str, size: int
) -> tuple[float, ...] | None:
    """Return the numbers of a tag, of the frame's own functional groups before the file's."""
    for part in (*((one.get(group) or [None])[0] for one in groups if one is not None), head):
        values = None if part is None else part.get(tag)
        if values is not None and len(values) == size:
            numbers = tuple(float(value) for value in values)
            return numbers if np.isfinite(numbers).all() else None
    return None


def _offset(
    place: tuple[float, ...] | None, axes: tuple[float, ...] | None, offsets: Any, frame: int
) -> tuple[float, ...] | None:
    """Return the position of a frame of a grid, as of a dose; None of frames without one."""
    if place is None or axes is None or offsets is None or frame >= len(offsets):
        return None
    moved = np.asarray(place) + normal_of(axes) * float(offsets[frame])
    return tuple(moved.tolist())


def normal_of(axes: Sequence[float]) -> Doubles:
    """Return the unit normal (3,) of a slice by the directions of its columns and rows."""
    normal = np.cross(np.asarray(axes[:3]), np.asarray(axes[3:]))
    length = float(np.linalg.norm(normal))
    return np.asarray(normal / length if length > 0.0 else np.zeros(3), np.float64)


def plane_of(axes: Sequence[float] | None) -> str | None:
    """Return the name of a slice's plane; `oblique` where it is far from all three."""
    if axes is None:
        return None
    shares = np.abs(normal_of(axes))
    main = int(shares.argmax())
    return PLANES[main] if shares[main] >= MOST_OBLIQUE else "oblique"


def orientation_of(axes: Sequence[float] | None) -> str | None:
    """Return toward which part of the body columns, rows and slices go, by letter."""
    if axes is None:
        return None
    across, down, through = axes[:3], axes[3:], normal_of(axes).tolist()
    vectors = (("columns", across), ("rows", down), ("slices", through))
    return ", ".join(f"{what} toward {_letter(vector)}" for what, vector in vectors)


def _letter(vector: Sequence[float]) -> str:
    main = int(np.abs(np.asarray(vector)).argmax())
    return LETTERS[main][int(vector[main] > 0)]


def _of_one_shape(slices: Sequence[Slice]) -> tuple[list[Slice], list[str]]:
    """Return the slices of the commonest size and orientation, and a note on the others."""

    def shape(one: Slice) -> tuple[Any, ...]:
        # Directions are written with six digits or more; what differs less is one direction.
        axes = None if one.axes is None else tuple(np.round(one.axes, 3).tolist())
        return int(one.head.Rows), int(one.head.Columns), axes

    counted = Counter(map(shape, slices))
    common = min(counted, key=lambda key: (-counted[key], str(key)))
    stack = [one for one in slices if shape(one) == common]
    rest = len(slices) - len(stack)
    words = f"{rest} slices of another size or orientation left out"
    return stack, [words] if rest else []


def _in_order(slices: Sequence[Slice], notes: list[str]) -> Stack:
    """Sort slices by position, else by number, else by name; leave out duplicates, count gaps."""
    ordered = sorted(slices, key=lambda one: (one.number is None, one.number or (0, 0), one.ref))
    unique: dict[tuple[str, int], Slice] = {}
    for one in ordered:
        uid = str(one.head.get("SOPInstanceUID") or one.ref)
        unique.setdefault((uid, one.frame), one)
    copies = len(ordered) - len(unique)
    ordered = list(unique.values())
    axes = ordered[0].axes
    if axes is None or any(one.place is None for one in ordered):
        return _by_number(ordered, copies, notes)
    normal = normal_of(axes)
    height = np.array([np.dot(one.place or (), normal) for one in ordered])
    order = np.argsort(height, kind="stable")
    heights = height[order]
    new = np.concatenate([[True], np.diff(heights) > SAME_PLACE_MM])
    kept = [ordered[at] for at in order[new]]
    positions = heights[new]
    repeated = len(ordered) - len(kept)
    if repeated and len(ordered) == len(kept) * (repeated // len(kept) + 1):
        count = len(ordered) // len(kept)
        notes = [*notes, f"{count} pictures at each position, the first by number is shown"]
    stack = Stack(kept, positions.tolist(), duplicates=copies + repeated, notes=notes)
    if len(kept) > 1:
        steps = np.diff(positions)
        spacing = float(np.median(steps))
        lacking = np.rint(steps[steps > GAP * spacing] / spacing).astype(int) - 1
        stack.spacing_mm, stack.missing = spacing, int(lacking.sum())
    else:
        with foreign_bytes(PurePosixPath(kept[0].ref).name, KIND):
            given = kept[0].head.get("SpacingBetweenSlices")
            stack.spacing_mm = abs(float(given)) if given else None
    return stack


def _by_number(ordered: list[Slice], copies: int, notes: list[str]) -> Stack:
    """Return slices without positions in the order that they have."""
    numbers = [one.number for one in ordered if one.number is not None]
    words = "no positions: sorted by InstanceNumber"
    lacking = 0
    if len(numbers) < len(ordered):
        words = "no positions and no numbers: sorted by file name"
    elif len({one.ref for one in ordered}) == len(ordered) and len(set(numbers)) == len(numbers):
        lacking = int(numbers[-1][0] - numbers[0][0]) + 1 - len(numbers)
    more = [words] if len(ordered) > 1 else []
    return Stack(ordered, None, None, max(lacking, 0), copies, [*notes, *more])
