"""Every DICOM file that pydicom ships has pydicom's own values, whatever its compression."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.pixels import get_decoder

from medsift.images import ImageError, ImagesConfig, decode
from tests.medsift.images.dicom_files import pydicom_files

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
CODECS = (
    *("JPEGBaseline8Bit", "JPEGExtended12Bit", "JPEGLossless", "JPEGLosslessSV1"),
    *("JPEGLSLossless", "JPEGLSNearLossless", "JPEG2000Lossless", "JPEG2000", "RLELossless"),
    *("HTJ2KLossless", "HTJ2K"),
)


def pictures() -> list[Path]:
    """The files that have pixels."""
    found = []
    for path in sorted(pydicom_files().glob("*.dcm")):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            head = pydicom.dcmread(path, force=True)
            if "PixelData" in head or "FloatPixelData" in head:
                found.append(path)
    return found


@pytest.mark.parametrize("name", CODECS)
def test_a_decoder_of_every_usual_compression_is_installed(name: str) -> None:
    assert get_decoder(getattr(pydicom.uid, name)).is_available


def wanted(path: Path) -> np.ndarray | None:
    """What pydicom decodes of the frame that is shown; None where it cannot."""
    dataset = pydicom.dcmread(path, force=True)
    if "TransferSyntaxUID" not in dataset.file_meta:
        dataset.file_meta.TransferSyntaxUID = pydicom.uid.ImplicitVRLittleEndian
    try:
        frame = int(dataset.get("NumberOfFrames") or 1) // 2
        return pydicom.pixels.pixel_array(dataset, index=frame)
    except (AttributeError, ValueError, RuntimeError):
        return None


def test_stored_values_are_those_of_pydicom_and_only_what_it_refuses_is_refused() -> None:
    compared = 0
    for path in pictures():
        expected = wanted(path)
        try:
            decoded = decode(path.read_bytes(), path.name, ImagesConfig())
        except ImageError:
            assert expected is None, path.name
            continue
        assert expected is not None, path.name
        assert np.array_equal(decoded.stored, expected), path.name
        compared += 1
    assert compared >= 55
