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


@dataclass(frozen=True, slots=True)
class _Header:
    """The description of a file's pixels: `bits` are stored bits a channel, 0 if not given.

    `window` is centre, width and function of the first usable window; `padding` the stored value
    outside the picture.
    """

    columns: int
    rows: int
    frames: int
    bits: int
    photometric: str
    window: tuple[float, float, str] | None
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
    with foreign_bytes(name, KIND):
        header = _header(dataset)
    check_size(header.columns, header.rows, name, config)
    index = header.frames // 2
    with foreign_bytes(name, KIND):
        if "TransferSyntaxUID" not in getattr(dataset, "file_meta", {}):
            dataset.file_meta.TransferSyntaxUID = _implied_syntax(dataset)
    check_frame(dataset, index, name, config)
    stored = _stored(dataset, index, name)
    _check_values(header, stored, name)
    image, notes = _shown(dataset, header, stored, name)
    if header.frames > 1:
        notes.insert(0, f"frame {index + 1} of {header.frames}")
    return Decoded(image, stored, header.photometric, header.bits, KIND, tuple(notes))


def _header(dataset: Dataset) -> _Header:
    """Return the header's values; raises what pydicom does for those that cannot be read."""
    return _Header(
        columns=int(dataset.Columns),
        rows=int(dataset.Rows),
        frames=int(dataset.get("NumberOfFrames") or 1),
        bits=int(dataset.get("BitsStored") or dataset.get("BitsAllocated") or 0),
        photometric=str(dataset.PhotometricInterpretation),
        window=_window(dataset),
        padding=_first(dataset.get("PixelPaddingValue")),
        has_table=bool(dataset.get("VOILUTSequence")),
    )


def _check_values(header: _Header, stored: NDArray[np.generic], name: str) -> None:
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


def _shown(
    dataset: Dataset, header: _Header, stored: NDArray[np.generic], name: str
) -> tuple[Image.Image, list[str]]:
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


def _grey(
    dataset: Dataset, header: _Header, stored: NDArray[np.generic], name: str
) -> tuple[NDArray[np.uint8], list[str]]:
    from pydicom.pixels import apply_modality_lut

    with foreign_bytes(name, KIND):
        values: NDArray[Any] = apply_modality_lut(stored, dataset)
    if header.has_table:
        return _through_table(dataset, values, name), ["VOI LUT applied"]
    if header.window is not None:
        centre, width, function = header.window
        shares = window_shares(values.astype(np.float64), centre, width, function)
        return to_bytes(shares), [f"window {centre:g}/{width:g} applied"]
    inside = np.ones(stored.shape, bool) if header.padding is None else stored != header.padding
    low, high = percentile_window(values[inside] if inside.any() else values)
    return windowed(values, low, high), [f"no window in the file: {low:g} to {high:g} shown"]


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


def _window(dataset: Dataset) -> tuple[float, float, str] | None:
    """Return centre, width and function of the first usable window; None without one."""
    centre, width = _first(dataset.get("WindowCenter")), _first(dataset.get("WindowWidth"))
    function = str(dataset.get("VOILUTFunction") or "LINEAR")
    least = 1.0 if function == "LINEAR" else 0.0
    if centre is None or width is None or not np.isfinite(centre) or not width > least:
        return None
    return centre, width, function


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
