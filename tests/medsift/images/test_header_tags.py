"""Tags of a DICOM header: filled where a row lacks them, else compared; nobody is named."""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path

import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medsift.errors import InputError
from medsift.images.volumes import VolumesConfig
from medsift.images.volumes.header_tags import age_class, fill_tags, header_tags
from medsift.images.volumes.read import read_key

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
KEY = b"k" * 32


def head(**values: object) -> pydicom.Dataset:
    file = pydicom.Dataset()
    given = {
        "Modality": "DX",
        "BodyPartExamined": "C_SPINE",
        "ImageLaterality": "R",
        "PatientAge": "007M",
        "PatientSex": "F",
        "PatientID": "4711",
        "StudyInstanceUID": "1.2.3",
        "SeriesInstanceUID": "1.2.4",
    }
    for name, value in (given | values).items():
        setattr(file, name, value)
    return file


def test_tags_are_words_and_identifiers_are_digests_under_the_key() -> None:
    tags = header_tags(head(), KEY, "a.dcm")
    plain = {
        name: tags[name] for name in ("modality", "body_part", "laterality", "age_class", "sex")
    }
    assert plain == {
        "modality": "xray",
        "body_part": "c spine",
        "laterality": "right",
        "age_class": "infant",
        "sex": "female",
    }
    assert hmac.new(KEY, b"4711", hashlib.sha256).hexdigest().startswith(tags["patient_id"])
    assert tags["patient_id"] != header_tags(head(), b"x" * 32, "a.dcm")["patient_id"]
    assert not {"4711", "1.2.3", "1.2.4"} & set(tags.values())


def test_without_a_key_no_patient_is_named() -> None:
    tags = header_tags(head(), None, "a.dcm")
    assert "patient_id" not in tags
    assert {"study_id", "series_id"} <= set(tags)


def test_absent_empty_and_odd_values_fill_nothing() -> None:
    empty = dict.fromkeys(
        ("Modality", "ImageLaterality", "PatientAge", "PatientSex", "PatientID"), ""
    )
    assert set(header_tags(head(**empty), KEY, "a.dcm")) == {"body_part", "study_id", "series_id"}
    assert header_tags(pydicom.Dataset(), KEY, "a.dcm") == {}
    odd = head(Modality="OT", ImageLaterality="X", PatientAge="old", PatientSex="?")
    assert not {"modality", "laterality", "age_class", "sex"} & set(header_tags(odd, KEY, "a.dcm"))


@pytest.mark.parametrize(
    ("age", "group"),
    [
        *(("003D", "infant"), ("011M", "infant"), ("024M", "child"), ("012Y", "child")),
        *(("013Y", "adolescent"), ("018Y", "adolescent"), ("019Y", "adult"), ("044Y", "adult")),
        *(("045Y", "middle aged"), ("065Y", "aged"), ("080Y", "aged 80 and over")),
        *(("101Y", "aged 80 and over"), ("000Y", ""), ("", ""), ("12", ""), ("-1Y", "")),
    ],
)
def test_ages_become_groups(age: str, group: str) -> None:
    assert age_class(age) == group


@given(
    given=st.dictionaries(st.sampled_from(["modality", "sex", "body_part"]), st.text(max_size=9))
)
def test_what_a_row_gives_is_never_overwritten(given: dict[str, str]) -> None:
    header = {"modality": "mr", "sex": "male", "body_part": "knee"}
    filled, otherwise = fill_tags(given, header, KEY)
    blank = {name for name in header if not given.get(name, "").split()}
    assert set(filled) == blank
    assert set(otherwise) <= set(header) - blank


def test_other_words_for_a_modality_and_own_identifiers_are_no_conflict() -> None:
    header = header_tags(head(), KEY, "a.dcm")
    row = {"modality": "X-Ray", "patient_id": "4711", "study_id": header["study_id"], "sex": "male"}
    filled, otherwise = fill_tags(row, header, KEY)
    assert otherwise == ["sex"]
    assert not set(filled) & set(row)


def test_a_key_is_a_file_of_some_length(tmp_path: Path) -> None:
    assert read_key(VolumesConfig()) is None
    (tmp_path / "short").write_bytes(b"abc")
    for name, code in (("short", "patient_key_short"), ("none", "patient_key_missing")):
        with pytest.raises(InputError) as caught:
            read_key(VolumesConfig(patient_key=tmp_path / name))
        assert caught.value.code == code
