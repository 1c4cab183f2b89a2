"""Write DICOM series of a known geometry, and find the files that pydicom and nibabel ship."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
CORONAL = (1.0, 0.0, 0.0, 0.0, 0.0, -1.0)
SAGITTAL = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)


def pydicom_files() -> Path:
    """The folder of test files inside pydicom's wheel."""
    return Path(pydicom.__file__).parent / "data" / "test_files"


def nibabel_files() -> Path:
    """The folder of test files inside nibabel's wheel."""
    import nibabel

    return Path(nibabel.__file__).parent / "tests" / "data"


def pixels(number: int, side: int = 16) -> NDArray[np.int16]:
    """Values of one slice, another one for each number."""
    return (np.arange(side * side).reshape(side, side) % 97 + 100 * number).astype(np.int16)


def write_slice(path: Path, number: int, place: float | None, **values: Any) -> Path:
    """Write one slice `place` mm along the normal; `values` replace or (None) remove elements."""
    data = values.pop("pixels", pixels(number))
    axes: Sequence[float] = values.pop("axes", AXIAL)
    file = pydicom.Dataset()
    file.file_meta = FileMetaDataset()
    file.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file.file_meta.MediaStorageSOPClassUID = file.SOPClassUID = CTImageStorage
    file.SOPInstanceUID = f"1.2.3.{number}"
    file.SeriesInstanceUID, file.StudyInstanceUID, file.SeriesNumber = "1.2.5", "1.2.6", 7
    file.PatientID, file.PatientName, file.Modality = "P-17", "Doe^Jane", "CT"
    file.PatientAge, file.PatientSex, file.BodyPartExamined = "061Y", "F", "CHEST"
    file.InstanceNumber, file.Rows, file.Columns = number, *data.shape
    file.SamplesPerPixel, file.PhotometricInterpretation = 1, "MONOCHROME2"
    file.BitsAllocated = file.BitsStored = 16
    file.HighBit, file.PixelRepresentation = 15, 1
    file.PixelSpacing = [1.0, 1.0]
    file.ImageOrientationPatient = list(axes)
    if place is not None:
        normal = np.cross(axes[:3], axes[3:])
        file.ImagePositionPatient = (normal * place).tolist()
    file.PixelData = data.tobytes()
    for name, value in values.items():
        if value is None:
            delattr(file, name)
        else:
            setattr(file, name, value)
    path.parent.mkdir(parents=True, exist_ok=True)
    file.save_as(path, enforce_file_format=True)
    return path


def write_series(folder: Path, places: Sequence[float], **values: Any) -> Path:
    """Write a series with slices at these places; file names and numbers are in another order."""
    for number, place in enumerate(places, 1):
        write_slice(folder / f"{len(places) - number:03d}.dcm", number, place, **values)
    return folder
