"""DICOM pictures: one frame, through the modality table and the window that the file names."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from curation.images.decoding import DAMAGE, Decoded, ImageError, check_size, damaged
from curation.images.display import percentile_window, to_bytes, windowed, without_equal_channels
from curation.images.settings import ImagesConfig

if TYPE_CHECKING:
    from pydicom import Dataset


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
    dataset = _read(data, name)
    try:
        check_size(int(dataset.Columns), int(dataset.Rows), name, config)
        frames = int(dataset.get("NumberOfFrames") or 1)
        index = frames // 2
        stored = _stored(dataset, index)
        image, notes = _shown(dataset, stored)
        depth = int(dataset.get("BitsStored") or dataset.get("BitsAllocated") or 0)
    except ImageError:
        raise
    except (RuntimeError, NotImplementedError) as error:
        raise ImageError(
            "image_unsupported",
            f"{name}: {' '.join(str(error).split())}; convert it to an uncompressed DICOM or PNG",
        ) from error
    except DAMAGE as error:
        raise damaged(name, "DICOM", error) from error
    if frames > 1:
        notes.insert(0, f"frame {index + 1} of {frames}")
    photometric = str(dataset.PhotometricInterpretation)
    return Decoded(image, stored, photometric, depth, "DICOM", tuple(notes))


def _read(data: bytes, name: str) -> Dataset:
    """The data set, known to have the tags of a picture."""
    import pydicom
    from pydicom.errors import InvalidDicomError

    try:
        dataset = pydicom.dcmread(io.BytesIO(data), force=data[128:132] != b"DICM")
        needed = ("Rows", "Columns", "PhotometricInterpretation", "PixelData")
        missing = [tag for tag in needed if tag not in dataset]
        float_pixels = "FloatPixelData" in dataset or "DoubleFloatPixelData" in dataset
    except (InvalidDicomError, NotImplementedError, *DAMAGE) as error:
        raise damaged(name, "DICOM", error) from error
    if missing == ["PixelData"] and float_pixels:
        missing = []
    if missing:
        raise ImageError(
            "not_an_image",
            f"{name} is a DICOM file without {', '.join(missing)}; name a file that holds pixels",
        )
    return dataset


def _stored(dataset: Dataset, index: int) -> NDArray[np.generic]:
    """Stored values of frame `index`: (h, w), or (h, w, 3) in RGB or YBR turned into RGB."""
    from pydicom.pixels import pixel_array

    if "TransferSyntaxUID" not in getattr(dataset, "file_meta", {}):
        dataset.file_meta.TransferSyntaxUID = _implied_syntax(dataset)
    values: NDArray[np.generic] = pixel_array(dataset, index=index)
    return values


def _implied_syntax(dataset: Dataset) -> str:
    """Transfer syntax of a file that names none, as its encoding shows."""
    from pydicom import uid

    implicit, little = dataset.original_encoding
    if implicit:
        return str(uid.ImplicitVRLittleEndian)
    return str(uid.ExplicitVRLittleEndian if little else uid.ExplicitVRBigEndian)


def _shown(dataset: Dataset, stored: NDArray[np.generic]) -> tuple[Image.Image, list[str]]:
    photometric = str(dataset.PhotometricInterpretation)
    if photometric == "PALETTE COLOR":
        from pydicom.pixels import apply_color_lut

        coloured = apply_color_lut(stored, dataset)
        return _colour(coloured, 8 * coloured.dtype.itemsize)
    if stored.ndim == 3:
        return _colour(stored, int(dataset.BitsStored))
    grey, notes = _grey(dataset, stored)
    if photometric == "MONOCHROME1":
        return Image.fromarray(255 - grey), [*notes, "MONOCHROME1 inverted"]
    return Image.fromarray(grey), notes


def _colour(values: NDArray[Any], bits: int) -> tuple[Image.Image, list[str]]:
    """Colour values of `bits` bits as an 8-bit picture; the full range is shown."""
    if bits > 8:
        values = to_bytes(values.astype(np.float64) / (2**bits - 1))
    image = Image.fromarray(np.ascontiguousarray(values, dtype=np.uint8))
    return without_equal_channels(image), []


def _grey(dataset: Dataset, stored: NDArray[np.generic]) -> tuple[NDArray[np.uint8], list[str]]:
    from pydicom.pixels import apply_modality_lut

    values: NDArray[Any] = apply_modality_lut(stored, dataset)
    if dataset.get("VOILUTSequence"):
        return _through_table(dataset, values), ["VOI LUT applied"]
    window = _window(dataset)
    if window is not None:
        centre, width, function = window
        shares = window_shares(values.astype(np.float64), centre, width, function)
        return to_bytes(shares), [f"window {centre:g}/{width:g} applied"]
    padding = dataset.get("PixelPaddingValue")
    inside = stored != padding if padding is not None else np.ones(stored.shape, bool)
    low, high = percentile_window(values[inside] if inside.any() else values)
    return windowed(values, low, high), [f"no window in the file: {low:g} to {high:g} shown"]


def _through_table(dataset: Dataset, values: NDArray[Any]) -> NDArray[np.uint8]:
    """`values` through the VOI LUT, whose full range is shown."""
    from pydicom.pixels import apply_voi

    bits = int(dataset.VOILUTSequence[0].LUTDescriptor[2])
    shown = apply_voi(values.astype(np.int64), dataset).astype(np.float64)
    return to_bytes(shown / (2**bits - 1))


def _window(dataset: Dataset) -> tuple[float, float, str] | None:
    """Centre, width and function of the first usable window; None without one."""
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


def window_shares(
    values: NDArray[np.float64], centre: float, width: float, function: str
) -> NDArray[np.float64]:
    """Brightness 0…1 of `values` through a window (DICOM PS3.3 C.11.2.1.2 and C.11.2.1.3)."""
    if function == "SIGMOID":
        shares: NDArray[np.float64] = 1.0 / (1.0 + np.exp(-4.0 * (values - centre) / width))
    elif function == "LINEAR_EXACT":
        shares = (values - centre) / width + 0.5
    else:
        shares = (values - (centre - 0.5)) / (width - 1.0) + 0.5
    return np.clip(shares, 0.0, 1.0)
