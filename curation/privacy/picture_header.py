"""Read from a picture's file what identifies its patient, and where its device writes text."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from curation.privacy.text_reader import Box
from medsift.images.damage import ImageError, foreign_bytes
from medsift.images.decoder_process import Shown, inspect_apart
from medsift.images.decoding import PLUGINS, sniff
from medsift.images.dicom_file import read_dataset
from medsift.images.settings import ImagesConfig

if TYPE_CHECKING:
    from pydicom import Dataset

KIND: Final = "DICOM"
_IDS: Final = (
    *("PatientID", "AccessionNumber", "StudyID", "PatientAddress", "PatientTelephoneNumbers"),
    *("InstitutionName", "InstitutionAddress", "StationName", "InstitutionalDepartmentName"),
)
_DATES: Final = ("PatientBirthDate", "StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate")
_METADATA: Final = ("exif", "comment", "xmp", "photoshop", "XML:com.adobe.xmp")


class PictureHeader(NamedTuple):
    """What a file says of its picture: words that identify, rectangles of text, other metadata."""

    names: tuple[str, ...] = ()
    boxes: tuple[Box, ...] = ()
    metadata: bool = False


def picture_header(data: bytes, name: str, config: ImagesConfig) -> PictureHeader:
    """Return what the file of a picture that could be decoded says of it."""
    kind = sniff(data, name)
    if kind == KIND:
        dataset = read_dataset(data, name, config)
        try:
            with foreign_bytes(name, KIND):
                return dicom_header(dataset)
        except ImageError:  # values that pydicom cannot parse
            return PictureHeader()
    with foreign_bytes(name, kind):
        picture = PLUGINS[kind](io.BytesIO(data))
        picture.load()  # text of a PNG may follow its pixels
        tags: Any = getattr(picture, "tag_v2", None) or {}
        values = [*picture.info.items(), *((str(tag), value) for tag, value in tags.items())]
        return PictureHeader(metadata=any(_is_metadata(str(key), value) for key, value in values))


def inspect_with_header(
    ref: str, data: bytes, config: ImagesConfig
) -> tuple[dict[str, Any], Shown | None]:
    """Inspect a picture in a child process; `header` of its row is what its file says of it."""
    row, shown = inspect_apart(ref, data, config)
    if shown is not None:
        row["header"] = picture_header(data, ref.rpartition("/")[2], config)
    return row, shown


def dicom_header(dataset: Dataset) -> PictureHeader:
    """Return what a DICOM data set says of its picture."""
    names = list(dict.fromkeys(_names(dataset)))
    return PictureHeader(tuple(names), tuple(device_boxes(dataset)))


def device_boxes(dataset: Dataset) -> Iterator[Box]:
    """Yield the rectangles into which the device of a picture writes patients' data."""
    image_type = "\\".join(map(str, dataset.get("ImageType") or ()))
    size = {"rows": dataset.get("Rows"), "columns": dataset.get("Columns")}
    for line in _devices():
        texts = (
            (line["manufacturer"], str(dataset.get("Manufacturer", ""))),
            (line["model"], str(dataset.get("ManufacturerModelName", ""))),
            (line["image_type"], image_type),
        )
        if (
            line["modality"] == dataset.get("Modality")
            and all(wanted.lower() in there.lower() for wanted, there in texts)
            and all(not line[side] or int(line[side]) == size[side] for side in size)
        ):
            yield Box(*(int(line[part]) for part in ("x", "y", "width", "height")))


def _names(dataset: Dataset) -> Iterator[str]:
    for element in dataset:
        if element.VR == "PN" and element.value:
            values = element.value if element.VM > 1 else [element.value]
            for value in values:
                yield from (
                    part for part in str(value).replace("=", "^").split("^") if len(part) > 2
                )
    for keyword in _IDS:
        value = str(dataset.get(keyword) or "")
        if len(value) > 2:
            yield value
    for keyword in _DATES:
        day = str(dataset.get(keyword) or "")
        if len(day) == 8 and day.isdigit():
            year, month, date = day[:4], day[4:6], day[6:]
            yield day
            for parts in ((date, month, year), (month, date, year), (year, month, date)):
                yield "/".join(parts)  # signs between digits count for nothing


@cache
def _devices() -> list[dict[str, str]]:
    text = files("curation.privacy").joinpath("devices.csv").read_text(encoding="utf-8")
    return list(csv.DictReader(io.StringIO(text)))


def _is_metadata(name: str, value: Any) -> bool:
    return name in _METADATA or isinstance(value, str)
