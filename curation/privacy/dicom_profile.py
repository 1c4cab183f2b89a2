"""Apply the Basic Application Level Confidentiality Profile of DICOM PS3.15 to a data set.

`dicom_profile.csv` is the column "Basic Prof." of table E.1-1, edition 2026c, by tag. None of the
profile's options is in it: dates are shifted here (option 113107, "retain longitudinal temporal
information, modified dates"), and pixels are cleaned elsewhere (113101). Where the table offers
several actions (X/Z, X/D, X/Z/D), the one is taken that keeps the object valid without knowing its
module: Z, or D where it is allowed; the standard leaves that choice to the type of the attribute.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Final

from curation.privacy.pseudonyms import keyed_digest

if TYPE_CHECKING:
    from pydicom import DataElement, Dataset

KEEP, REMOVE, EMPTY, DUMMY, RENEW = "K", "X", "Z", "D", "U"
_OF_TABLE: Final = {"X": REMOVE, "Z": EMPTY, "D": DUMMY, "U": RENEW, "Z/D": DUMMY, "X/Z": EMPTY}
_OF_TABLE_TOO: Final = {"X/D": DUMMY, "X/Z/D": DUMMY, "X/Z/U*": RENEW}
SHIFTED: Final = ("DA", "DT")
MOST_DAYS: Final = 3650
REGISTERED: Final = "1.2.840.10008."
"""Root of UIDs of the standard itself, which name classes and not instances."""
_DUMMIES: Final = {
    **dict.fromkeys(("LO", "SH", "PN", "ST", "LT", "UT", "UC", "AE"), "REMOVED"),
    **{"CS": "REMOVED", "TM": "000000", "AS": "000Y", "DS": "0", "IS": "0", "UR": "about:blank"},
    **dict.fromkeys(("US", "SS", "UL", "SL", "FL", "FD", "UV", "SV"), 0),
    **dict.fromkeys(("OB", "OW", "UN", "OF", "OD", "OL", "OV"), b"\0\0"),
}
_PATIENT: Final = {"PatientName", "PatientID"}
_CODES: Final = (
    ("113100", "Basic Application Confidentiality Profile"),
    ("113107", "Retain Longitudinal Temporal Information Modified Dates Option"),
)
_CLEAN_PIXELS: Final = ("113101", "Clean Pixel Data Option")
METHOD: Final = "MedSift: DICOM PS3.15 2026c basic profile, dates shifted"


def deidentify_dataset(dataset: Dataset, key: bytes, *, pixels_cleaned: bool) -> None:
    """De-identify a data set in place; pixels are not touched.

    Args:
        dataset: The data set.
        key: The secret from which pseudonyms, shifts and UIDs are made: equal patients of one key
            stay one patient, and intervals between their dates stay.
        pixels_cleaned: Whether the pixels were looked at and cleaned, for the fields that say so.
    """
    patient = str(dataset.get("PatientID") or dataset.get("PatientName") or "")
    days = shift_days(key, patient)
    _treat(dataset, key, patient, days)
    if hasattr(dataset, "file_meta"):
        _treat(dataset.file_meta, key, patient, days)
        if "SOPInstanceUID" in dataset:
            dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.PatientIdentityRemoved = "YES"
    dataset.LongitudinalTemporalInformationModified = "MODIFIED"
    dataset.DeidentificationMethod = METHOD
    codes = (*_CODES, *((_CLEAN_PIXELS,) if pixels_cleaned else ()))
    dataset.DeidentificationMethodCodeSequence = [_code(*code) for code in codes]
    if pixels_cleaned:
        dataset.BurnedInAnnotation = "NO"


def shift_days(key: bytes, patient: str) -> int:
    """Return by how many days a patient's dates move: 1 to MOST_DAYS into the past."""
    return -1 - int(keyed_digest(key, "days", patient)[:12], 16) % MOST_DAYS


def renewed_uid(key: bytes, uid: str) -> str:
    """Return the UID that takes the place of one: under 2.25, equal for equal ones of one key."""
    return f"2.25.{int(keyed_digest(key, 'uid', uid)[:31], 16)}"


def profile_action(tag: int) -> str:
    """Return what the profile does with a tag; tags that it does not list are kept."""
    name = f"{tag:08X}"
    patterns = (name, f"{name[:2]}XX{name[4:]}", f"{name[:2]}XXXXXX")
    found = next((table[one] for table in (_profile(),) for one in patterns if one in table), KEEP)
    return {**_OF_TABLE, **_OF_TABLE_TOO}.get(found, found)


def _treat(dataset: Dataset, key: bytes, patient: str, days: int) -> None:
    dataset.remove_private_tags()
    for element in list(dataset):
        if profile_action(element.tag) == REMOVE:
            del dataset[element.tag]
        else:
            _change(element, key, patient, days)


def _change(element: DataElement, key: bytes, patient: str, days: int) -> None:
    action = profile_action(element.tag)
    if element.keyword in _PATIENT:
        element.value = f"P-{keyed_digest(key, 'patient', patient)[:16]}"
    elif element.VR == "PN" and action == KEEP:
        # A name that the table does not list identifies as well.
        element.value = ""
    elif element.VR in SHIFTED:
        element.value = [_shifted(str(value), days) for value in _values(element)]
    elif action == EMPTY or (action == DUMMY and element.VR == "SQ" and not element.value):
        element.value = [] if element.VR == "SQ" else None
    elif element.VR == "SQ":
        for item in element.value:
            _treat(item, key, patient, days)
    elif element.VR == "UI" and (action in (RENEW, DUMMY)):
        element.value = [_renewed(key, str(value)) for value in _values(element)]
    elif action in (DUMMY, RENEW):
        element.value = _DUMMIES.get(element.VR, "REMOVED")


def _values(element: DataElement) -> Iterator[object]:
    if element.value is None or element.value == "":
        return
    yield from element.value if element.VM > 1 else [element.value]


def _renewed(key: bytes, uid: str) -> str:
    return uid if uid.startswith(REGISTERED) else renewed_uid(key, uid)


def _shifted(value: str, days: int) -> str:
    """Return a date (DA) or date and time (DT) moved by days; one that is no date is removed."""
    digits = value.replace(".", "").replace("-", "") if len(value) == 10 else value
    try:
        day = datetime.strptime(digits[:8], "%Y%m%d")
    except ValueError:
        return ""
    # Times stay: they are as far apart as they were.
    return f"{day + timedelta(days=days):%Y%m%d}{digits[8:]}"


def _code(value: str, meaning: str) -> Dataset:
    from pydicom import Dataset

    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, "DCM", meaning
    return code


@cache
def _profile() -> dict[str, str]:
    text = files("curation.privacy").joinpath("dicom_profile.csv").read_text(encoding="utf-8")
    return {line["tag"]: line["action"] for line in csv.DictReader(text.splitlines())}
