"""DICOM files leave without what names their patient, and stay DICOM files that open."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image, ImageDraw
from pydicom.datadict import keyword_for_tag, tag_for_keyword

from curation.privacy.deidentify import Deidentified, deidentify_folder
from curation.privacy.dicom_profile import deidentify_dataset, profile_action, renewed_uid
from curation.privacy.picture_header import dicom_header, picture_header
from medsift.images import ImagesConfig, decode
from ray_jobs.cli import run

KEY = b"a secret of the tests"
SHIPPED = Path(pydicom.__file__).parent / "data" / "test_files"
PROFILE = Path(__file__).parents[3] / "curation" / "privacy" / "dicom_profile.csv"
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory) -> list[Deidentified]:
    """Every DICOM file that pydicom ships, de-identified; pixels are not read."""
    return list(deidentify_folder(SHIPPED, tmp_path_factory.mktemp("dicom"), KEY, None))


def elements(dataset: pydicom.Dataset):
    for element in dataset:
        yield element
        if element.VR == "SQ":
            for item in element.value:
                yield from elements(item)


def test_every_shipped_file_is_written_or_has_a_reason(copies: list[Deidentified]):
    written = [one for one in copies if one.written]
    assert len(written) > 90
    assert all(one.problem for one in copies if not one.written)
    assert not any(
        one.source.stem in str(one.written) for one in written if len(one.source.stem) > 3
    )


def test_nothing_that_the_profile_removes_is_left(copies: list[Deidentified]):
    for one in copies:
        if one.written is None:
            continue
        before, after = pydicom.dcmread(one.source, force=True), pydicom.dcmread(one.written)
        assert after.PatientIdentityRemoved == "YES"
        assert after.DeidentificationMethod
        assert after.DeidentificationMethodCodeSequence[0].CodeValue == "113100"
        said = {str(element.value) for element in elements(before) if element.VR in ("PN", "UI")}
        said |= {str(before.get("PatientID") or "")}
        for element in elements(after):
            assert not element.tag.is_private
            assert profile_action(element.tag) != "X" or element.VR in ("DA", "DT"), element
            value = str(element.value)
            renewed = element.VR == "UI" and profile_action(element.tag) in "UD"
            if element.VR == "PN" or (renewed and not value.startswith("1.2.840.10008.")):
                assert not value or value not in said, (one.source.name, element)


def test_pixels_that_are_not_read_stay_as_they_are(copies: list[Deidentified]):
    compared = 0
    for one in copies:
        try:
            before = pydicom.dcmread(one.source).pixel_array
        except Exception:  # noqa: BLE001 - what pydicom cannot read is not compared
            continue
        if one.written is not None:
            np.testing.assert_array_equal(before, pydicom.dcmread(one.written).pixel_array)
            compared += 1
    assert compared > 40


def test_one_patient_stays_one_and_days_between_dates_stay():
    def dataset(patient: str, *days: str) -> pydicom.Dataset:
        made = pydicom.Dataset()
        made.PatientName, made.PatientID = f"{patient}^X", patient
        made.StudyDate, made.SeriesDate = days
        made.StudyInstanceUID = "1.2.3.4"
        deidentify_dataset(made, KEY, pixels_cleaned=False)
        return made

    one, two, other = (
        dataset("A", "20200110", "20200115"),
        dataset("A", "20210110", ""),
        dataset("B", "20200110", ""),
    )
    assert one.PatientID == two.PatientID != other.PatientID
    gap = np.datetime64(f"{one.SeriesDate[:4]}-{one.SeriesDate[4:6]}-{one.SeriesDate[6:]}")
    assert gap - np.datetime64(
        f"{one.StudyDate[:4]}-{one.StudyDate[4:6]}-{one.StudyDate[6:]}"
    ) == np.timedelta64(5, "D")
    assert one.StudyDate not in ("20200110", other.StudyDate)
    assert one.StudyInstanceUID == two.StudyInstanceUID == renewed_uid(KEY, "1.2.3.4") != "1.2.3.4"
    assert len(one.StudyInstanceUID) <= 64


def test_the_profile_names_real_tags_and_known_actions():
    with PROFILE.open(encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) > 600
    assert {line["action"] for line in lines} == {
        "X",
        "Z",
        "D",
        "U",
        "Z/D",
        "X/Z",
        "X/D",
        "X/Z/D",
        "X/Z/U*",
    }
    for line in lines:
        if line["keyword"] and "XX" not in line["tag"]:
            assert tag_for_keyword(line["keyword"]) == int(line["tag"], 16)
            assert keyword_for_tag(int(line["tag"], 16)) == line["keyword"]
    expected = {"PatientName": "Z", "PatientBirthDate": "Z", "InstitutionAddress": "X",
                "SOPInstanceUID": "U", "Modality": "K", "Rows": "K", "PixelData": "K"}  # fmt: skip
    assert {name: profile_action(tag_for_keyword(name)) for name in expected} == expected
    assert profile_action(0x60003000) == profile_action(0x50100010) == "X"


def burned(tmp_path: Path) -> Path:
    """An ultrasound of three frames, two of them equal, with the header's name in the pixels."""
    dataset = pydicom.dcmread(SHIPPED / "CT_small.dcm")
    ground = Image.new("L", (512, 384), 40)
    draw = ImageDraw.Draw(ground)
    draw.text((20, 340), "VORNHOLT KESTIK", fill=255, font_size=22)
    draw.text((420, 180), "LEFT", fill=255, font_size=22)
    frames = np.stack([np.asarray(ground)] * 2 + [np.full((384, 512), 40, np.uint8)])
    dataset.PatientName, dataset.Modality = "Vornholt^Kestik", "US"
    dataset.Rows, dataset.Columns, dataset.NumberOfFrames = 384, 512, 3
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.PixelRepresentation = 7, 0
    dataset.PixelData = frames.tobytes()
    dataset["PixelData"].VR = "OB"
    for keyword in (
        "RescaleSlope",
        "RescaleIntercept",
        "WindowCenter",
        "WindowWidth",
        "PixelPaddingValue",
    ):
        if keyword in dataset:
            del dataset[keyword]
    dataset.save_as(tmp_path / "burned.dcm")
    return tmp_path / "burned.dcm"


def test_a_name_in_the_pixels_is_painted_over_in_every_frame(tmp_path: Path, monkeypatch, capsys):
    pytest.importorskip("rapidocr_onnxruntime", reason="needs the extra 'privacy'")
    source = burned(tmp_path)
    monkeypatch.setenv("MEDSIFT_PRIVACY_KEY", "a secret of the tests")
    assert run(["deidentify", str(source), "--output", str(tmp_path / "out")]) == 0
    assert "1 with text painted over" in capsys.readouterr().out
    [written] = (tmp_path / "out").glob("*.dcm")
    after, before = pydicom.dcmread(written), pydicom.dcmread(source)
    assert after.BurnedInAnnotation == "NO"
    assert after.ImageType[0] == "DERIVED"
    assert [code.CodeValue for code in after.DeidentificationMethodCodeSequence] == [
        "113100",
        "113107",
        "113101",
    ]
    assert b"VORNHOLT" not in written.read_bytes().upper()
    frames = after.pixel_array
    assert np.ptp(frames[:2, 335:370, 15:260]) == 0
    assert np.array_equal(frames[:, 170:210, 410:500], before.pixel_array[:, 170:210, 410:500])
    assert np.array_equal(frames[2], before.pixel_array[2])
    decode(written.read_bytes(), written.name, ImagesConfig())


def test_the_header_gives_names_dates_and_the_devices_rectangles(tmp_path: Path):
    dataset = pydicom.dcmread(SHIPPED / "CT_small.dcm")
    dataset.PatientName, dataset.PatientBirthDate = "Velbarow^Torlok", "19650812"
    dataset.Modality, dataset.Manufacturer, dataset.ManufacturerModelName = "US", "Philips", "iU22"
    dataset.Rows = 600
    header = dicom_header(dataset)
    assert {"Velbarow", "Torlok", "19650812", "12/08/1965", "08/12/1965"} <= set(header.names)
    assert header.boxes == ((0, 0, 800, 59),)
    dataset.Rows = 601
    assert dicom_header(dataset).boxes == ()
    plain = tmp_path / "a.png"
    Image.new("L", (8, 8)).save(plain)
    assert not picture_header(plain.read_bytes(), "a.png", ImagesConfig()).metadata
    exif = Image.Exif()
    exif[0x013B] = "Dr. Velbarow"
    Image.new("L", (8, 8)).save(plain, exif=exif)
    assert picture_header(plain.read_bytes(), "a.png", ImagesConfig()).metadata


def test_a_missing_key_a_full_folder_and_an_unreadable_file_are_one_line_each(
    tmp_path, monkeypatch, capsys
):
    source = tmp_path / "in"
    source.mkdir()
    shutil.copy(SHIPPED / "CT_small.dcm", source)
    command = ["deidentify", str(source), "--no-pixels", "--output", str(tmp_path / "out")]
    monkeypatch.delenv("MEDSIFT_PRIVACY_KEY", raising=False)
    assert run(command) == 2
    assert "error[privacy_key_missing]" in capsys.readouterr().err
    monkeypatch.setenv("MEDSIFT_PRIVACY_KEY", "a secret of the tests")
    (source / "cut.dcm").write_bytes((SHIPPED / "CT_small.dcm").read_bytes()[:900])
    assert run(command) == 3
    assert "error[dicom_not_deidentified]" in capsys.readouterr().err
    assert len(list((tmp_path / "out").glob("*.dcm"))) == 1
    assert run(command) == 2
    assert "error[export_output_in_the_way]" in capsys.readouterr().err
