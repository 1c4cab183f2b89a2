"""Read a volume that a row names: chosen slices as 8-bit pictures, with what is known of them."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from medsift.errors import InputError, StorageError
from medsift.images.damage import ImageError, foreign_bytes
from medsift.images.decoding import EXTENSIONS
from medsift.images.dicom import (
    modality_values,
    read_frame,
    read_header,
    show_frame,
    without_padding,
)
from medsift.images.dicom_file import BARE_SUFFIXES, KIND, is_encrypted, read_dataset
from medsift.images.display import percentile_window
from medsift.images.facts import histogram_facts
from medsift.images.references import TooManyBytes, read_bytes
from medsift.images.settings import ImagesConfig
from medsift.images.volumes.choose_slices import choose_slices, parse_sampler
from medsift.images.volumes.dicom_series import (
    Slice,
    Stack,
    orientation_of,
    plane_of,
    read_stack,
)
from medsift.images.volumes.folder_files import (
    DICOMDIR,
    files_of_dicomdir,
    files_of_folder,
    is_folder,
)
from medsift.images.volumes.header_tags import header_tags, keyed
from medsift.images.volumes.nifti import (
    HEAD_BYTES,
    ORIENTATIONS,
    SUFFIXES,
    is_nifti,
    read_nifti,
)
from medsift.images.volumes.settings import VolumesConfig
from medsift.images.volumes.windows import (
    BY_BODY_PART,
    Range,
    parse_window,
    show,
    window_of,
)
from medsift.storage.locations import local_path, open_input, without_query

if TYPE_CHECKING:
    from pydicom import Dataset

PICTURES: Final = frozenset(suffix for suffix, kind in EXTENSIONS.items() if kind != "DICOM")
SERIES: Final = re.compile(r"(.+)#([\d.]+)", re.DOTALL)
BLANK: Final = ImagesConfig().blank_share
KEY_BYTES: Final = 16
SQUARE: Final = 1.02
"""Ratio of the sides of a pixel up to which a slice is shown pixel for pixel."""


@dataclass(frozen=True, slots=True)
class Volume:
    """Slices of a volume as PNG files in order, the tags that its header fills, and its facts.

    `facts` are columns of the manifest's table `volumes`.
    """

    pictures: list[bytes]
    tags: dict[str, str]
    facts: dict[str, Any]


def may_be_volume(ref: str) -> bool:
    """Return whether a reference may be a volume: everything but names of plain pictures."""
    name = PurePosixPath(without_query(split_series(ref)[0]))
    return name.suffix.lower() not in PICTURES


def split_series(ref: str) -> tuple[str, str | None]:
    """Return a reference without the series that it names after `#`, and that series."""
    match = SERIES.fullmatch(ref)
    return (match[1], match[2]) if match else (ref, None)


def read_volume(
    ref: str, config: VolumesConfig, row: Mapping[str, str | None], at: str | None
) -> Volume | None:
    """Return the slices of the volume at a resolved reference; None for a file of another kind.

    Args:
        ref: Folder, DICOMDIR, DICOM or NIfTI file; after `#` the series of several.
        config: How it is read.
        row: The row's own tags; modality and body part choose a window.
        at: Around which slice, where the sampler asks the row.

    Raises:
        ImageError: With its reason code.
    """
    path, series = split_series(ref)
    limits = ImagesConfig(max_bytes=config.max_bytes)
    name = PurePosixPath(without_query(path)).name
    try:
        files, kind = _files(path, name, limits)
        if kind == "nifti":
            return _nifti(path, name, config, limits, row, at)
        if kind is None:
            return None
        stack = read_stack(name, files, series, config.series, limits)
        return _dicom(path, kind, stack, config, limits, row, at)
    except FileNotFoundError as error:
        raise ImageError("image_missing", f"no file at {path}; add it or remove its row") from error
    except TooManyBytes as error:
        raise ImageError("image_too_large", str(error)) from error
    except StorageError as error:
        raise ImageError("image_unreadable", str(error)) from error


def _files(path: str, name: str, limits: ImagesConfig) -> tuple[list[str], str | None]:
    """Return the files of a volume, and what they are."""
    if is_folder(path):
        return files_of_folder(path), "dicom series"
    if name.upper() == DICOMDIR:
        return files_of_dicomdir(path, limits), "dicom series"
    with open_input(path) as file:
        start = file.read(HEAD_BYTES)
    lowered = name.lower()
    if lowered.endswith(SUFFIXES) or is_nifti(start):
        return [path], "nifti"
    dicom = start[128:132] == b"DICM" or lowered.endswith(BARE_SUFFIXES)
    return [path], "dicom" if dicom or is_encrypted(start) else None


def _dicom(
    path: str,
    kind: str,
    stack: Stack,
    config: VolumesConfig,
    limits: ImagesConfig,
    row: Mapping[str, str | None],
    at: str | None,
) -> Volume:
    name = PurePosixPath(without_query(path)).name
    key = read_key(config)
    tags = header_tags(stack.head, key, name)
    sampler = parse_sampler(config.slices)
    count = len(stack.slices)
    chosen = choose_slices(sampler, count, stack.positions, at, config.max_slices, name)
    known = {tag: row.get(tag) or tags.get(tag) for tag in ("modality", "body_part")}
    shown = [stack.slices[place] for place in chosen]
    pictures, window = _frames(shown, config, known, limits)
    pictures, chosen, blank = _without_blank(pictures, chosen)
    plane = plane_of(stack.axes)
    pixel = _pixel_mm(stack)
    facts = {
        "ref": path,
        "kind": kind,
        "sampler": config.slices,
        "slices": count,
        "shown": [place + 1 for place in chosen],
        "plane": plane,
        "spacing_mm": stack.spacing_mm,
        "pixel_mm": pixel,
        "window_shown": window,
        "orientation": orientation_of(stack.axes),
        "missing": stack.missing,
        "duplicates": stack.duplicates,
        "notes": [*stack.notes, *blank],
    }
    tags |= {"plane": plane} if plane else {}
    return Volume([_png(one, pixel) for one in pictures], tags if config.tags else {}, facts)


def _frames(
    slices: Sequence[Slice],
    config: VolumesConfig,
    known: Mapping[str, str | None],
    limits: ImagesConfig,
) -> tuple[list[Image.Image], str]:
    """Return slices of DICOM files as pictures, and the words for their window."""
    dataset_of = lru_cache(maxsize=1)(lambda ref: _dataset(ref, limits))  # of several frames
    own: list[tuple[Image.Image, list[str]]] = []
    values: list[NDArray[Any]] = []
    inside: list[NDArray[Any]] = []
    inverted: list[bool] = []
    ranges, words = ranges_of(config, known)
    for one in slices:
        name = PurePosixPath(one.ref).name
        dataset = dataset_of(one.ref)
        header = read_header(dataset, name, limits, one.frame)
        stored = read_frame(dataset, header, one.frame, name, limits)
        coloured = stored.ndim == 3 or header.photometric == "PALETTE COLOR"
        if coloured or (words == "header" and (header.has_table or header.window is not None)):
            own.append(show_frame(dataset, header, stored, name))
            continue
        grey = modality_values(dataset, stored, name)
        values.append(grey)
        inside.append(grey[without_padding(header, stored)])
        inverted.append(header.photometric == "MONOCHROME1")
    if own and values:
        detail = "some slices have colours or a window of their own and others not; set a window"
        raise ImageError("image_unsupported", f"{PurePosixPath(slices[0].ref).name}: {detail}")
    if own:
        distinct = list(dict.fromkeys(note for _, notes in own for note in notes))
        return [picture for picture, _ in own], "; ".join(distinct[:3]) or "as stored"
    return _through(values, inside, inverted, ranges, words)


def _dataset(ref: str, limits: ImagesConfig) -> Any:
    data = read_bytes(ref, limits.max_bytes)
    return read_dataset(data, PurePosixPath(ref).name, limits)


def ranges_of(
    config: VolumesConfig, known: Mapping[str, str | None]
) -> tuple[list[Range] | None, str]:
    """Return the ranges of a recipe's windows and their words; None where the values say them."""
    if config.rgb is not None:
        return [parse_window(one) for one in config.rgb], f"rgb: {', '.join(config.rgb)}"
    if config.window in ("header", "percentile"):
        return None, config.window
    preset = config.window
    if preset == BY_BODY_PART:
        named = window_of(known.get("modality"), known.get("body_part"))
        if named is None:
            return None, "header"
        preset = named
    low, high = parse_window(preset)
    return [(low, high)], f"{preset}: {low:g} to {high:g}"


def _through(
    values: Sequence[NDArray[Any]],
    inside: Sequence[NDArray[Any]],
    inverted: Sequence[bool],
    ranges: list[Range] | None,
    words: str,
) -> tuple[list[Image.Image], str]:
    """Return grey values as pictures, all through the same ranges."""
    if ranges is None:
        low, high = percentile_window(np.concatenate([one.reshape(-1) for one in inside]))
        absent = "no window in the header, " if words == "header" else ""
        ranges, words = [(low, high)], f"{absent}percentiles: {low:g} to {high:g}"
    shown = show(values, ranges)
    pictures = [
        Image.fromarray(255 - one if dark else one)
        for one, dark in zip(shown, inverted, strict=True)
    ]
    return pictures, words


def _nifti(
    path: str,
    name: str,
    config: VolumesConfig,
    limits: ImagesConfig,
    row: Mapping[str, str | None],
    at: str | None,
) -> Volume:
    data = read_bytes(path, limits.max_bytes)
    volume = read_nifti(data, name, config.plane, limits)
    count = len(volume.positions)
    sampler = parse_sampler(config.slices)
    chosen = choose_slices(sampler, count, volume.positions, at, config.max_slices, name)
    slices = [volume.slice(place) for place in chosen]
    ranges, words = ranges_of(config, row)
    if ranges is None and words == "header" and volume.window is not None:
        ranges, words = [volume.window], "header: {:g} to {:g}".format(*volume.window)
    pictures, window = _through(slices, slices, [False] * len(slices), ranges, words)
    pictures, chosen, blank = _without_blank(pictures, chosen)
    facts = {
        "ref": path,
        "kind": "nifti",
        "sampler": config.slices,
        "slices": count,
        "shown": [place + 1 for place in chosen],
        "plane": volume.plane,
        "spacing_mm": volume.spacing_mm,
        "pixel_mm": list(volume.pixel_mm),
        "window_shown": window,
        "orientation": f"{ORIENTATIONS[volume.plane]}; stored as {volume.stored_axes}",
        "missing": 0,
        "duplicates": 0,
        "notes": blank,
    }
    # Equal files are one series, wherever they lie; nobody is named by it.
    content = hashlib.sha256(data).hexdigest()
    tags = {"plane": str(volume.plane), "series_id": keyed(content, read_key(config))}
    drawn = [_png(one, volume.pixel_mm) for one in pictures]
    return Volume(drawn, tags if config.tags else {}, facts)


def _without_blank(
    pictures: Sequence[Image.Image], chosen: Sequence[int]
) -> tuple[list[Image.Image], list[int], list[str]]:
    """Return the pictures that show something, their places, and a note on the others.

    A slice outside the body would otherwise drop the whole sample as blank; where all are blank,
    they stay, and the stage `images` judges.
    """
    shares = [histogram_facts(one.convert("L"))["blank_share"] for one in pictures]
    seen = [at for at, share in enumerate(shares) if share < BLANK] or list(range(len(shares)))
    gone = len(shares) - len(seen)
    note = [f"{gone} blank slices left out"] if gone else []
    return [pictures[at] for at in seen], [chosen[at] for at in seen], note


def _pixel_mm(stack: Stack) -> list[float] | None:
    """Return the distances of rows and of columns that the header gives."""
    head, name = stack.head, PurePosixPath(stack.slices[0].ref).name
    with foreign_bytes(name, KIND):
        return _given_pixel_mm(head)


def _given_pixel_mm(head: Dataset) -> list[float] | None:
    groups = (head.get("SharedFunctionalGroupsSequence") or [None])[0]
    measured = None if groups is None else (groups.get("PixelMeasuresSequence") or [None])[0]
    for part in (measured, head):
        for tag in ("PixelSpacing", "ImagerPixelSpacing"):
            given = None if part is None else part.get(tag)
            if given is not None and len(given) == 2 and all(0 < float(one) < 1e4 for one in given):
                return [float(one) for one in given]
    return None


def _png(picture: Image.Image, pixel_mm: Sequence[float] | None) -> bytes:
    """Return a picture as PNG, with square pixels."""
    if pixel_mm is not None and max(pixel_mm) > SQUARE * min(pixel_mm):
        rows, columns = (side / min(pixel_mm) for side in pixel_mm)
        size = round(picture.width * columns), round(picture.height * rows)
        picture = picture.resize(size, Image.Resampling.BILINEAR)
    out = io.BytesIO()
    picture.save(out, "PNG")
    return out.getvalue()


@lru_cache(maxsize=8)
def _key_of(path: str) -> bytes:
    data = local_path(path).read_bytes()
    if len(data) < KEY_BYTES:
        words = f"volumes.patient_key {path!r} has {len(data)} bytes; write {KEY_BYTES} or more"
        raise InputError(f"{words}, for example by openssl rand", code="patient_key_short")
    return data


def read_key(config: VolumesConfig) -> bytes | None:
    """Return the secret under which identifiers become digests; None without one.

    Raises InputError where its file is not there or too short.
    """
    if config.patient_key is None:
        return None
    try:
        return _key_of(str(config.patient_key))
    except OSError as error:
        words = f"volumes.patient_key {str(config.patient_key)!r} cannot be read: {error.strerror}"
        raise InputError(f"{words}; make the file", code="patient_key_missing") from error
