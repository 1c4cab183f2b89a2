"""Write de-identified copies of DICOM files: headers by the profile, pixels by reading them."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from curation.privacy.dicom_profile import deidentify_dataset, renewed_uid
from curation.privacy.mask_picture import TEXT_LEFT, PictureMasker, paint
from curation.privacy.picture_header import KIND, dicom_header
from curation.privacy.pseudonyms import keyed_digest
from medsift.images.damage import ImageError, foreign_bytes
from medsift.images.dicom_file import read_dataset
from medsift.images.display import percentile_window, windowed
from medsift.images.settings import ImagesConfig
from medsift.storage.atomic import atomic_file

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pydicom import Dataset

LIMITS: Final = ImagesConfig()
_PIXELS: Final = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")


@dataclass(frozen=True, slots=True)
class Deidentified:
    """What became of one file: `written` is None where `problem` says why it was not written."""

    source: Path
    written: Path | None
    painted: float = 0.0
    findings: int = 0
    problem: str | None = None


def deidentify_folder(
    source: Path, output: Path, key: bytes, masker: PictureMasker | None
) -> Iterator[Deidentified]:
    """Yield what became of one DICOM file, or of every one below a folder.

    Args:
        source: A file or folder.
        output: Folder of the copies; their names are keyed digests, as names may identify.
        key: The secret of pseudonyms, shifts and UIDs.
        masker: Cleans pixels; None leaves them as they are.
    """
    files = (
        [source]
        if source.is_file()
        else sorted(path for path in source.rglob("*") if path.is_file())
    )
    for path in files:
        with path.open("rb") as file:
            is_dicom = file.read(132)[128:] == b"DICM" or path.suffix.lower() in (".dcm", ".dicom")
        if is_dicom:
            yield _deidentify(path, str(path.relative_to(source)), output, key, masker)


def _deidentify(
    path: Path, name: str, output: Path, key: bytes, masker: PictureMasker | None
) -> Deidentified:
    target = output / f"{keyed_digest(key, 'file', name)[:24]}.dcm"
    try:
        dataset = _read(path)
        painted, findings = 0.0, 0
        with foreign_bytes(path.name, KIND):
            has_pixels = any(name in dataset for name in _PIXELS)
            if masker is not None and has_pixels:
                painted, findings = _clean_pixels(dataset, masker)
            deidentify_dataset(dataset, key, pixels_cleaned=masker is not None and has_pixels)
            data = _encoded(dataset)
    except ImageError as error:
        return Deidentified(path, None, problem=f"{error.reason}: {error.detail}")
    with atomic_file(target) as partial:
        partial.write_bytes(data)
    return Deidentified(path, target, painted, findings)


def _read(path: Path) -> Dataset:
    """Return a data set, with or without pixels. Raises ImageError for one that cannot be read."""
    from pydicom import dcmread
    from pydicom.uid import UID

    data = path.read_bytes()
    try:
        return read_dataset(data, path.name, LIMITS)
    except ImageError as error:
        if error.reason != "not_an_image":
            raise
    with foreign_bytes(path.name, KIND):
        dataset = dcmread(io.BytesIO(data), force=True)
        if "DirectoryRecordSequence" in dataset:
            words = "is a DICOMDIR, which names files and patients; make a new one of the copies"
            raise ImageError("image_unsupported", f"{path.name} {words}")
        if not any(element.keyword for element in dataset):
            raise ImageError("not_an_image", f"{path.name} has no DICOM element")
        if "Image Storage" in UID(str(dataset.get("SOPClassUID", ""))).name:
            raise ImageError(
                "image_truncated", f"{path.name} is an image and ends before its pixels"
            )
        return dataset


def _clean_pixels(dataset: Dataset, masker: PictureMasker) -> tuple[float, int]:
    """Paint over text in every frame; return the largest share painted and what was found.

    Equal frames are read once. Raises ImageError where text is left, or no decoder is installed.
    """
    from PIL import Image
    from pydicom.pixels import pixel_array
    from pydicom.uid import ExplicitVRLittleEndian

    if "PixelData" not in dataset:
        return 0.0, 0  # parametric maps of floating point values have no text
    try:
        stored = pixel_array(dataset)
    except RuntimeError as error:  # pydicom has no decoder for it
        raise ImageError("image_unsupported", f"no decoder reads its pixels: {error}") from error
    colour = int(dataset.get("SamplesPerPixel") or 1) > 1
    frames = stored.reshape(-1, *stored.shape[-3 if colour else -2 :]).copy()
    header, most, findings = dicom_header(dataset), 0.0, 0
    for frame in frames:
        shown = Image.fromarray(frame if colour and frame.dtype == np.uint8 else _grey(frame))
        masking = masker.mask(shown, header)
        if masking.drop is not None or masking.verdict == TEXT_LEFT:
            raise ImageError(
                "image_unsupported", "text in its pixels could not be painted over, or drops it"
            )
        findings += len(masking.found)
        if masking.painted:
            covered = np.zeros(frame.shape[:2], np.bool_)
            for box in masking.boxes:
                paint(frame, covered, *box)
            most = max(most, masking.painted)
    if most:
        _store(dataset, frames.reshape(stored.shape), colour, ExplicitVRLittleEndian)
    return most, findings


def _grey(frame: NDArray[Any]) -> NDArray[np.uint8]:
    values = frame if frame.ndim == 2 else frame.mean(axis=2)
    return (
        values.astype(np.uint8)
        if values.dtype == np.uint8
        else windowed(values, *percentile_window(values))
    )


def _store(dataset: Dataset, pixels: NDArray[Any], colour: bool, syntax: str) -> None:
    """Put changed pixels back, uncompressed, with the fields that say that they were changed."""
    dataset.PixelData = pixels.tobytes()
    dataset["PixelData"].VR = "OB" if pixels.dtype.itemsize == 1 else "OW"
    dataset.file_meta.TransferSyntaxUID = syntax
    if colour:
        dataset.PhotometricInterpretation, dataset.PlanarConfiguration = "RGB", 0
    kinds = list(dataset.get("ImageType") or ["ORIGINAL", "PRIMARY"])
    dataset.ImageType = ["DERIVED", *kinds[1:]]
    # Other pixels are another instance.
    if "SOPInstanceUID" in dataset:
        dataset.SOPInstanceUID = renewed_uid(b"cleaned", str(dataset.SOPInstanceUID))


def _encoded(dataset: Dataset) -> bytes:
    """Return the bytes of a file with a preamble of zeros."""
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    if "TransferSyntaxUID" not in getattr(dataset, "file_meta", {}):
        dataset.file_meta = getattr(dataset, "file_meta", None) or FileMetaDataset()
        implicit, _ = dataset.original_encoding
        dataset.file_meta.TransferSyntaxUID = (
            "1.2.840.10008.1.2" if implicit else ExplicitVRLittleEndian
        )
    dataset.preamble = b"\0" * 128
    written = io.BytesIO()
    dataset.save_as(written, enforce_file_format=False)
    return written.getvalue()
