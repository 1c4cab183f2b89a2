"""Read the tags of a sample from a DICOM header; a patient is named by a keyed digest."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from medsift.images.damage import foreign_bytes
from medsift.images.dicom_file import KIND

if TYPE_CHECKING:
    from pydicom import Dataset

MODALITIES: Final = {
    **dict.fromkeys(("CR", "DX", "DR", "RG"), "xray"),
    **{"CT": "ct", "MR": "mr", "US": "ultrasound", "MG": "mammography", "PT": "pet"},
    **{"NM": "scintigraphy", "XA": "angiography", "RF": "fluoroscopy", "OP": "fundus"},
    **{"OPT": "oct", "ES": "endoscopy", "SM": "pathology", "GM": "microscopy"},
}
UNSAID: Final = ("OT", "SC")
"""Modalities of DICOM that name none: other, and a secondary capture."""
SAME_MODALITY: Final = {
    **dict.fromkeys(("mri", "mrt", "magnetic resonance", "mr imaging"), "mr"),
    **dict.fromkeys(("computed tomography", "cta", "ct scan"), "ct"),
    **dict.fromkeys(("x-ray", "x ray", "xr", "cr", "dx", "radiograph", "radiography"), "xray"),
    **dict.fromkeys(("us", "sonography", "ultrasonography"), "ultrasound"),
    **dict.fromkeys(("mg", "mammogram"), "mammography"),
    **dict.fromkeys(("pt", "positron emission tomography"), "pet"),
}
"""Other words for a modality, which are no conflict with a header."""
SIDES: Final = {"R": "right", "L": "left", "B": "both"}
SEXES: Final = {"F": "female", "M": "male", "O": "other"}
AGES: Final = (
    (2, "infant"),
    (13, "child"),
    (19, "adolescent"),
    (45, "adult"),
    (65, "middle aged"),
    (80, "aged"),
)
"""The first year that is too old for each of MeSH's age groups."""
OLDEST: Final = "aged 80 and over"
_AGE: Final = re.compile(r"(\d{1,3})([DWMY])")
_IN_A_YEAR: Final = {"D": 365.25, "W": 52.18, "M": 12.0, "Y": 1.0}
IDS: Final = {
    "patient_id": "PatientID",
    "study_id": "StudyInstanceUID",
    "series_id": "SeriesInstanceUID",
}
ID_DIGITS: Final = 32


def header_tags(head: Dataset, key: bytes | None, name: str) -> dict[str, str]:
    """Return the tags that a DICOM header fills; a patient's only under a key.

    Raises:
        ImageError: image_truncated for values that cannot be read.
    """
    with foreign_bytes(name, KIND):
        values = {
            tag: str(head.get(tag) or "").strip()
            for tag in (
                *("Modality", "BodyPartExamined", "ImageLaterality", "Laterality", "PatientSex"),
                *("PatientAge", *IDS.values()),
            )
        }
    modality = values["Modality"].upper()
    part = re.sub(r"[\W_]+", " ", values["BodyPartExamined"]).strip().lower()
    side = values["ImageLaterality"] or values["Laterality"]
    tags = {
        "modality": MODALITIES.get(modality, "" if modality in UNSAID else modality.lower()),
        "body_part": part,
        "laterality": SIDES.get(side.upper(), ""),
        "age_class": age_class(values["PatientAge"]),
        "sex": SEXES.get(values["PatientSex"].upper(), ""),
    }
    for tag, source in IDS.items():
        if values[source] and (key is not None or tag != "patient_id"):
            tags[tag] = keyed(values[source], key)
    return {tag: value for tag, value in tags.items() if value}


def keyed(value: str, key: bytes | None) -> str:
    """Return the digest of an identifier under a key: HMAC-SHA256, or plain SHA-256 without one."""
    data = value.encode("utf-8", "surrogatepass")
    digest = hashlib.sha256(data) if key is None else hmac.new(key, data, hashlib.sha256)
    return digest.hexdigest()[:ID_DIGITS]


def age_class(age: str) -> str:
    """Return MeSH's age group of an age as DICOM writes it, such as 045Y; nothing for others."""
    match = _AGE.fullmatch(age.upper())
    if match is None or (not int(match[1]) and match[2] == "Y"):
        return ""  # many files give zero years where the age is not known
    years = int(match[1]) / _IN_A_YEAR[match[2]]
    return next((group for below, group in AGES if years < below), OLDEST)


def fill_tags(
    own: Mapping[str, str | None], header: Mapping[str, str], key: bytes | None
) -> tuple[dict[str, str], list[str]]:
    """Return the tags that a row lacks, and the names of those that it gives otherwise.

    Args:
        own: Tags of the row.
        header: Tags of the header.
        key: The key of `header`.
    """
    filled: dict[str, str] = {}
    conflicts: list[str] = []
    for tag, value in header.items():
        given = " ".join((own.get(tag) or "").split())
        if not given:
            filled[tag] = value
        elif not _agree(tag, given, value, key):
            conflicts.append(tag)
    return filled, conflicts


def _agree(tag: str, given: str, value: str, key: bytes | None) -> bool:
    if tag in IDS:
        return given == value or keyed(given, key) == value
    plain = given.casefold()
    return SAME_MODALITY.get(plain, plain) == value if tag == "modality" else plain == value
