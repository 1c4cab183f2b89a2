"""Decode DICOM pictures: one frame, through the modality table and window of the file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from medsift.images.damage import ImageError, damaged, foreign_bytes, words
from medsift.images.decoded import Decoded, check_size
from medsift.images.dicom_file import KIND, check_frame, read_dataset
from medsift.images.display import percentile_window, to_bytes, windowed, without_equal_channels
from medsift.images.settings import ImagesConfig

if TYPE_CHECKING:
    from pydicom import Dataset

MOST_BITS: Final = 64
FRAME_VALUES: Final = {
    "PixelValueTransformationSequence": ("RescaleSlope", "RescaleIntercept"),
    "FrameVOILUTSequence": ("WindowCenter", "WindowWidth", "VOILUTFunction"),
}
"""What a functional group says of the values of its frames."""
MOST_SPANS: Final = 16
"""How many times wider than the values of a file's bits a window may be: then 16 greys are left."""


@dataclass(frozen=True, slots=True)
class Header:
    """The description of a file's pixels: `bits` are stored bits a channel, 0 if not given.

    `window` is centre, width and function of the first window, None where there is none or no
    value of the file's bits could be seen through it, which `unusable` then says; `padding` is
    the stored value outside the picture.
    """

    columns: int
    rows: int
    frames: int
    bits: int
    photometric: str
    window: tuple[float, float, str] | None
    unusable: str | None
    padding: float | None
    has_table: bool


def decode_dicom(data: bytes, name: str, config: ImagesConfig) -> Decoded:
    """Decode one frame of a DICOM file: the only one, or the middle one of several.

    Grey values pass the modality LUT or rescale, then the first window or VOI LUT (DICOM PS3.3
    C.11.1 and C.11.2); without one, the window runs from the 0.1th to the 99.9th percentile.
    MONOCHROME1 is inverted. The stored values alone are the picture's identity: another window
    on the same values is the same picture.

    Raises:
        ImageError: not_an_image (no pixels inside), image_unsupported (a compression that is not
            installed), image_truncated, image_too_large or image_too_small.
    """
    dataset = read_dataset(data, name, config)
    index = read_header(dataset, name, config).frames // 2
    header = read_header(dataset, name, config, index)
    stored = read_frame(dataset, header, index, name, config)
    image, notes = show_frame(dataset, header, stored, name)
    if header.frames > 1:
        notes.insert(0, f"frame {index + 1} of {header.frames}")
    return Decoded(image, stored, header.photometric, header.bits, KIND, tuple(notes))


def read_header(
    dataset: Dataset, name: str, config: ImagesConfig, frame: int | None = None
) -> Header:
    """Return the description of a file's pixels, those of one frame where one is named.

    What a frame's functional groups say (rescale, window) is written to the dataset itself, where
    pydicom looks for it.

    Raises:
        ImageError: image_truncated for values that cannot be read, image_too_large or
            image_too_small.
    """
    with foreign_bytes(name, KIND):
        if frame is not None:
            _use_functional_groups(dataset, frame)
        header = _header(dataset)
    check_size(header.columns, header.rows, name, config)
    return header


def read_frame(
    dataset: Dataset, header: Header, index: int, name: str, config: ImagesConfig
) -> NDArray[np.generic]:
    """Return the stored values of a frame: (h, w), or (h, w, 3) as RGB.

    Raises:
        ImageError: image_unsupported, image_truncated or image_too_large.
    """
    with foreign_bytes(name, KIND):
        if "TransferSyntaxUID" not in getattr(dataset, "file_meta", {}):
            dataset.file_meta.TransferSyntaxUID = _implied_syntax(dataset)
    check_frame(dataset, index, name, config)
    stored = _stored(dataset, index, name)
    _check_values(header, stored, name)
    return stored


def _use_functional_groups(dataset: Dataset, frame: int) -> None:
    """Write rescale and window of a frame of an enhanced file to the dataset (PS3.3 C.7.6.16)."""
    own = list(dataset.get("PerFrameFunctionalGroupsSequence") or ())
    groups = [*own[frame : frame + 1], *(dataset.get("SharedFunctionalGroupsSequence") or ())]
    for sequence, names in FRAME_VALUES.items():
        items: list[Any] = next(
            (list(one[sequence].value) for one in groups if sequence in one), []
        )
        for first in items[:1]:
            for name in (name for name in names if name in first):
                setattr(dataset, name, first[name].value)


def _header(dataset: Dataset) -> Header:
    """Return the header's values; raises what pydicom does for those that cannot be read."""
    window, unusable = _window(dataset)
    return Header(
        columns=int(dataset.Columns),
        rows=int(dataset.Rows),
        frames=int(dataset.get("NumberOfFrames") or 1),
        bits=int(dataset.get("BitsStored") or dataset.get("BitsAllocated") or 0),
        photometric=str(dataset.PhotometricInterpretation),
        window=window,
        unusable=unusable,
        padding=_first(dataset.get("PixelPaddingValue")),
        has_table=bool(dataset.get("VOILUTSequence")),
    )


def _check_values(header: Header, stored: NDArray[np.generic], name: str) -> None:
    """Refuse pixels that would be shown wrong. Raises ImageError image_truncated."""
    if stored.ndim not in (2, 3) or (stored.ndim == 3 and stored.shape[2] != 3):
        problem = ValueError(f"pixels of shape {stored.shape} are neither grey nor colour")
        raise damaged(name, KIND, problem)
    if not 0 <= header.bits <= MOST_BITS or (stored.ndim == 3 and not header.bits):
        raise damaged(name, KIND, ValueError(f"{header.bits} bits stored"))


def _stored(dataset: Dataset, index: int, name: str) -> NDArray[np.generic]:
    """Return the stored values of frame `index`: (h, w), or (h, w, 3) as RGB."""
    from pydicom.pixels import pixel_array

    with foreign_bytes(name, KIND):
        try:
            values: NDArray[np.generic] = pixel_array(dataset, index=index)
        except RecursionError:
            raise
        except RuntimeError as error:  # pydicom has no decoder that reads the frame
            detail = f"{name}: {words(error)}; convert it to an uncompressed DICOM or PNG"
            raise ImageError("image_unsupported", detail) from error
    return values


def _implied_syntax(dataset: Dataset) -> str:
    """Return the transfer syntax of a file that names none, as its encoding shows."""
    from pydicom import uid

    implicit, little = dataset.original_encoding
    if implicit:
        return str(uid.ImplicitVRLittleEndian)
    return str(uid.ExplicitVRLittleEndian if little else uid.ExplicitVRBigEndian)


def show_frame(
    dataset: Dataset, header: Header, stored: NDArray[np.generic], name: str
) -> tuple[Image.Image, list[str]]:
    """Return stored values as a viewer shows them by the file's own header, and notes."""
    if header.photometric == "PALETTE COLOR":
        from pydicom.pixels import apply_color_lut

        with foreign_bytes(name, KIND):
            coloured = apply_color_lut(stored, dataset)[..., :3]
        return _colour(coloured, 8 * coloured.dtype.itemsize)
    if stored.ndim == 3:
        return _colour(stored, header.bits)
    grey, notes = _grey(dataset, header, stored, name)
    if header.photometric == "MONOCHROME1":
        return Image.fromarray(255 - grey), [*notes, "MONOCHROME1 inverted"]
    return Image.fromarray(grey), notes


def _colour(values: NDArray[Any], bits: int) -> tuple[Image.Image, list[str]]:
    """Return colour values of `bits` bits as an 8-bit picture; the full range is shown."""
    if bits > 8:
        values = to_bytes(values.astype(np.float64) / (2**bits - 1))
    image = Image.fromarray(np.ascontiguousarray(values, dtype=np.uint8))
    return without_equal_channels(image), []


def modality_values(dataset: Dataset, stored: NDArray[np.generic], name: str) -> NDArray[Any]:
    """Return grey values in the unit of their modality, as Hounsfield units (PS3.3 C.11.1)."""
    from pydicom.pixels import apply_modality_lut

    with foreign_bytes(name, KIND):
        values: NDArray[Any] = apply_modality_lut(stored, dataset)
    return values


def _grey(
    dataset: Dataset, header: Header, stored: NDArray[np.generic], name: str
) -> tuple[NDArray[np.uint8], list[str]]:
    values = modality_values(dataset, stored, name)
    if header.has_table:
        return _through_table(dataset, values, name), ["VOI LUT applied"]
    if header.window is not None:
        centre, width, function = header.window
        shares = window_shares(values.astype(np.float64), centre, width, function)
        return to_bytes(shares), [f"window {centre:g}/{width:g} applied"]
    low, high = percentile_window(values[without_padding(header, stored)])
    absent = header.unusable or "no window in the file"
    return windowed(values, low, high), [f"{absent}: {low:g} to {high:g} shown"]


def without_padding(header: Header, stored: NDArray[np.generic]) -> NDArray[np.bool_]:
    """Return where stored values are of the picture (h, w); everywhere if all are padding."""
    if header.padding is None:
        return np.ones(stored.shape, bool)
    inside: NDArray[np.bool_] = np.asarray(stored != header.padding)
    return inside if inside.any() else np.ones(stored.shape, bool)


def _through_table(dataset: Dataset, values: NDArray[Any], name: str) -> NDArray[np.uint8]:
    """Map `values` through the VOI LUT, whose full range is shown."""
    from pydicom.pixels import apply_voi

    integers = whole_numbers(values)
    with foreign_bytes(name, KIND):
        bits = int(dataset.VOILUTSequence[0].LUTDescriptor[2])
        shown = apply_voi(integers, dataset).astype(np.float64)
    if not 1 <= bits <= MOST_BITS:
        raise damaged(name, KIND, ValueError(f"a VOI LUT of {bits} bits"))
    return to_bytes(shown / (2**bits - 1))


def _window(dataset: Dataset) -> tuple[tuple[float, float, str] | None, str | None]:
    """Return centre, width and function of the first window; else why it is not usable, if any."""
    centre, width = _first(dataset.get("WindowCenter")), _first(dataset.get("WindowWidth"))
    function = str(dataset.get("VOILUTFunction") or "LINEAR")
    if centre is None or width is None:
        return None, None
    least = 1.0 if function == "LINEAR" else 0.0
    low, high = _span(dataset) or (-np.inf, np.inf)
    # Comparisons with NaN are false.
    usable = width > least and width <= MOST_SPANS * (high - low) and np.isfinite([centre, width])
    if np.all(usable) and centre - width / 2 <= high and centre + width / 2 >= low:
        return (centre, width, function), None
    return None, f"window {centre:g}/{width:g} of the file is unusable"


def _span(dataset: Dataset) -> tuple[float, float] | None:
    """Return the lowest and highest value that the file's bits can hold, after its rescale."""
    bits = int(dataset.get("BitsStored") or 0)
    if not 0 < bits <= 32 or "PixelData" not in dataset or "ModalityLUTSequence" in dataset:
        return None
    signed = bool(dataset.get("PixelRepresentation"))
    low = -(2 ** (bits - 1)) if signed else 0
    slope, intercept = _first(dataset.get("RescaleSlope")), _first(dataset.get("RescaleIntercept"))
    ends = [
        (1.0 if slope is None else slope) * end + (intercept or 0.0)
        for end in (low, low + 2**bits - 1)
    ]
    return min(ends), max(ends)


def _first(value: Any) -> float | None:
    if value is None or value == "":
        return None
    if isinstance(value, str | float | int):
        return float(value)
    return float(value[0]) if len(value) else None


def whole_numbers(values: NDArray[Any]) -> NDArray[np.int64]:
    """Return `values` as integers: NaN gives 0, and values out of range the nearest integer."""
    if values.dtype.kind in "iu":
        return values.astype(np.int64)
    limit = float(2**53)
    integers: NDArray[np.int64] = np.clip(np.nan_to_num(values), -limit, limit).astype(np.int64)
    return integers


def window_shares(
    values: NDArray[np.float64], centre: float, width: float, function: str
) -> NDArray[np.float64]:
    """Return the brightness from 0 to 1 through a window (DICOM PS3.3 C.11.2.1.2 to .3).

    Args:
        values: of any shape, in the unit of the window, such as Hounsfield units.
        centre: the middle of the window.
        width: the extent of the window.
        function: `SIGMOID`, `LINEAR_EXACT`, or `LINEAR` as for any other name.
    """
    # Odd windows overflow to infinite or undefined shares, which are clipped or count as 0.
    with np.errstate(all="ignore"):
        if function == "SIGMOID":
            shares: NDArray[np.float64] = 1.0 / (1.0 + np.exp(-4.0 * (values - centre) / width))
        elif function == "LINEAR_EXACT":
            shares = (values - centre) / width + 0.5
        else:
            shares = (values - (centre - 0.5)) / (width - 1.0) + 0.5
        return np.clip(shares, 0.0, 1.0)
