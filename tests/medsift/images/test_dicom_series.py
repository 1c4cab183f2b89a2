"""A DICOM series: one patient, sorted along the normal, gaps and copies counted, faults by name."""

from __future__ import annotations

import io
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from medsift.images import ImageError, ImagesConfig, decode
from medsift.images.volumes import Volume, VolumesConfig, read_volume
from medsift.images.volumes.dicom_series import plane_of
from tests.medsift.images.dicom_files import (
    AXIAL,
    CORONAL,
    SAGITTAL,
    pixels,
    pydicom_files,
    write_series,
    write_slice,
)

CUT_IN_A_LENGTH = 634
ENVELOPE = bytes.fromhex("30820a0006092a864886f70d010703")
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
ALL = {"slices": "uniform:100", "window": "0/4000"}


def read(ref: Path | str, at: str | None = None, row: Any = None, **settings: Any) -> Volume:
    volume = read_volume(str(ref), VolumesConfig(**settings), row or {}, at)
    assert volume is not None
    return volume


def reason(ref: Path | str, at: str | None = None, **settings: Any) -> str:
    with pytest.raises(ImageError) as caught:
        read_volume(str(ref), VolumesConfig(**settings), {}, at)
    assert "\n" not in str(caught.value)
    return caught.value.reason


def arrays(volume: Volume) -> list[np.ndarray]:
    return [np.asarray(Image.open(io.BytesIO(data))) for data in volume.pictures]


def brightness(volume: Volume) -> list[float]:
    return [float(one.mean()) for one in arrays(volume)]


@settings(max_examples=20, deadline=None)
@given(
    order=st.permutations(list(range(6))),
    axes=st.sampled_from([AXIAL, CORONAL, SAGITTAL, (-1.0, 0.0, 0.0, 0.0, 1.0, 0.0)]),
)
def test_slices_are_sorted_along_the_normal_whatever_files_are_called(
    tmp_path_factory: pytest.TempPathFactory, order: list[int], axes: tuple[float, ...]
) -> None:
    folder = tmp_path_factory.mktemp("series")
    for name, number in enumerate(order):
        write_slice(folder / f"{name}.dcm", number + 1, 2.5 * number, axes=axes)
    volume = read(folder, **ALL)
    assert brightness(volume) == sorted(brightness(volume))
    assert volume.facts["slices"] == 6
    assert volume.facts["spacing_mm"] == pytest.approx(2.5)
    assert (volume.facts["missing"], volume.facts["duplicates"]) == (0, 0)


@pytest.mark.parametrize(
    ("axes", "plane"),
    [(AXIAL, "axial"), (CORONAL, "coronal"), (SAGITTAL, "sagittal")],
)
def test_the_plane_and_the_sides_of_the_body_are_stated(
    tmp_path: Path, axes: tuple[float, ...], plane: str
) -> None:
    volume = read(write_series(tmp_path / "s", [0, 1, 2], axes=axes), **ALL)
    assert volume.facts["plane"] == volume.tags["plane"] == plane
    toward = {"axial": "L P S", "coronal": "L I P", "sagittal": "P I R"}[plane]
    words = volume.facts["orientation"].replace(",", "").split()
    assert words[2::3] == toward.split()


def test_a_plane_far_from_all_axes_is_oblique() -> None:
    assert plane_of((1, 0, 0, 0, 1 / np.sqrt(2), 1 / np.sqrt(2))) == "oblique"
    assert plane_of((1, 0, 0, 0, np.cos(0.3), np.sin(0.3))) == "axial"


def test_pixels_are_those_of_pydicom_through_the_stated_window(tmp_path: Path) -> None:
    volume = read(write_series(tmp_path / "s", [0, 3, 6]), window="200/400", slices="uniform:9")
    for number, shown in enumerate(arrays(volume), 1):
        wanted = np.clip((pixels(number) - 0.0) / 400.0, 0, 1) * 255
        assert np.abs(shown - wanted).max() <= 0.5
        assert volume.facts["window_shown"] == "200/400: 0 to 400"


@pytest.mark.parametrize("name", ["98892001/CT5N", "77654033/CT2"])
def test_a_real_series_shows_what_pydicom_decodes(name: str) -> None:
    folder = pydicom_files() / "dicomdirtests" / name
    files = [pydicom.dcmread(path) for path in folder.iterdir()]
    files.sort(key=lambda file: float(file.ImagePositionPatient[2]))
    stored = [pydicom.pixels.apply_modality_lut(file.pixel_array, file) for file in files]
    low, high = (-1024 + 1000, 3000)
    volume = read(folder, slices="uniform:64", window=f"{(low + high) / 2}/{high - low}")
    wanted = [np.clip((one - low) / (high - low), 0, 1) * 255 for one in stored]
    found = dict(zip(volume.facts["shown"], arrays(volume), strict=True))
    assert found
    for number, shown in found.items():
        assert np.abs(shown - wanted[number - 1]).max() <= 0.5 + 1e-6


def test_gaps_and_copies_are_counted(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "s", [0, 1, 2, 5, 6, 9.1])
    write_slice(folder / "again.dcm", 2, 1.0)
    write_slice(folder / "other.dcm", 99, 1.001)
    volume = read(folder, **ALL)
    facts = volume.facts
    assert (facts["slices"], facts["missing"], facts["duplicates"]) == (6, 4, 2)


def test_a_series_without_positions_is_sorted_by_number_and_says_so(tmp_path: Path) -> None:
    for number in (3, 1, 5, 2):
        write_slice(tmp_path / "s" / f"{9 - number}.dcm", number, None)
    volume = read(tmp_path / "s", **ALL)
    assert brightness(volume) == sorted(brightness(volume))
    assert volume.facts["missing"] == 1
    assert any("InstanceNumber" in note for note in volume.facts["notes"])
    assert reason(tmp_path / "s", slices="every:2mm") == "volume_positions_missing"


def test_many_pictures_at_each_position_show_the_first_and_say_so(tmp_path: Path) -> None:
    for number in range(1, 7):
        write_slice(tmp_path / "s" / f"{number}.dcm", number, float((number - 1) % 3))
    volume = read(tmp_path / "s", **ALL)
    assert volume.facts["slices"] == volume.facts["duplicates"] == 3
    assert any("2 pictures at each position" in note for note in volume.facts["notes"])


def test_other_files_scouts_and_damaged_slices_are_left_out_and_named(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "s", [0, 1, 2, 3])
    (folder / "readme.txt").write_text("notes")
    (folder / ".hidden").write_text("never read")
    (folder / "plan.dcm").write_bytes((pydicom_files() / "rtplan.dcm").read_bytes())
    (folder / "cut.dcm").write_bytes((folder / "001.dcm").read_bytes()[:200])
    # Within the length of an element: pydicom itself stops there.
    (folder / "torn.dcm").write_bytes((folder / "001.dcm").read_bytes()[:CUT_IN_A_LENGTH])
    write_slice(folder / "scout.dcm", 50, 0.5, axes=CORONAL)
    volume = read(folder, **ALL)
    notes = " ".join(volume.facts["notes"])
    assert volume.facts["slices"] == 4
    for words in ("3 files are no DICOM pictures", "1 files cannot be read", "1 slices of another"):
        assert words in notes


def test_a_link_that_leads_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "s", [0, 1])
    outside = write_slice(tmp_path / "elsewhere.dcm", 9, 2.0)
    (folder / "link.dcm").symlink_to(outside)
    assert read(folder, **ALL).facts["slices"] == 2


def test_two_patients_in_one_series_fail_it_without_naming_them(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "s", [0, 1])
    write_slice(folder / "x.dcm", 3, 2.0, PatientID="P-18")
    with pytest.raises(ImageError) as caught:
        read(folder)
    assert caught.value.reason == "volume_patients_mixed"
    assert "P-18" not in str(caught.value)


def test_several_series_differ_by_number_identifier_or_size(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "s", [0, 1, 2])
    for number in (11, 12):
        more = {"SeriesInstanceUID": "1.2.9", "SeriesNumber": 8}
        write_slice(folder / "b" / f"{number}.dcm", number, number, **more)
    assert reason(folder) == "volume_series_several"
    assert read(f"{folder}#8", **ALL).facts["slices"] == 2
    assert read(f"{folder}#1.2.5", **ALL).facts["slices"] == 3
    assert read(folder, series="largest", **ALL).facts["slices"] == 3
    assert reason(f"{folder}#99") == "volume_series_unknown"


def test_a_dicomdir_lists_the_files_of_its_series(tmp_path: Path) -> None:
    directory = pydicom_files() / "dicomdirtests" / "DICOMDIR"
    assert reason(directory) == "volume_series_several"
    folder = pydicom_files() / "dicomdirtests" / "98892001" / "CT5N"
    uid = pydicom.dcmread(next(folder.iterdir())).SeriesInstanceUID
    named, direct = read(f"{directory}#{uid}", **ALL), read(folder, **ALL)
    assert named.pictures == direct.pictures
    (tmp_path / "DICOMDIR").write_bytes(directory.read_bytes())
    assert reason(tmp_path / "DICOMDIR") == "image_missing"
    assert reason(pydicom_files() / "dicomdirtests" / "DICOMDIR-empty.dcm") == "not_an_image"


def test_frames_of_one_file_are_slices(tmp_path: Path) -> None:
    volume = read(pydicom_files() / "rtdose.dcm", slices="uniform:5")
    assert (volume.facts["slices"], volume.facts["spacing_mm"]) == (15, 5.0)
    assert len(volume.pictures) == 5
    colour = read(pydicom_files() / "SC_rgb_rle_2frame.dcm")
    frames = pydicom.dcmread(pydicom_files() / "SC_rgb_rle_2frame.dcm").pixel_array
    for shown, frame in zip(arrays(colour), frames, strict=True):
        assert np.array_equal(shown, frame)


def test_rescale_and_window_of_a_frame_come_from_its_functional_groups(tmp_path: Path) -> None:
    values = np.stack([pixels(1), pixels(2)])

    def group(intercept: float, place: float) -> pydicom.Dataset:
        scale, window, position = (pydicom.Dataset() for _ in range(3))
        scale.RescaleSlope, scale.RescaleIntercept = 1, intercept
        window.WindowCenter, window.WindowWidth = 0, 400
        window.VOILUTFunction = "LINEAR_EXACT"
        position.ImagePositionPatient = [0, 0, place]
        found = pydicom.Dataset()
        found.PixelValueTransformationSequence = [scale]
        found.FrameVOILUTSequence, found.PlanePositionSequence = [window], [position]
        return found

    path = write_slice(
        tmp_path / "a.dcm",
        1,
        None,
        NumberOfFrames=2,
        PerFrameFunctionalGroupsSequence=[group(-150, 4.0), group(-250, 1.0)],
        PixelData=values.tobytes(),
    )
    volume = read(path)
    assert volume.facts["spacing_mm"] == 3.0
    # The second frame lies below the first, and each has an intercept of its own.
    for shown, number, intercept in zip(arrays(volume), (2, 1), (-250, -150), strict=True):
        wanted = np.clip((pixels(number) + intercept) / 400 + 0.5, 0, 1) * 255
        assert np.abs(shown - wanted).max() <= 0.5


def test_three_windows_are_red_green_and_blue(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "s", [0, 1])
    [first, _] = arrays(read(folder, rgb=("100/200", "200/100", "wide")))
    values = pixels(1).astype(float)
    for band, (low, high) in enumerate(((0, 200), (150, 250), (-1024, 1024))):
        wanted = np.clip((values - low) / (high - low), 0, 1) * 255
        assert np.abs(first[..., band] - wanted).max() <= 0.5


def test_the_body_part_of_row_or_header_chooses_the_window_of_ct(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "s", [0, 1])
    assert read(folder, window="body_part").facts["window_shown"] == "mediastinum: -125 to 225"
    row = {"body_part": "Brain"}
    assert read(folder, row=row, window="body_part").facts["window_shown"] == "brain: 0 to 80"
    row = {"modality": "mr"}
    shown = read(folder, row=row, window="body_part").facts["window_shown"]
    assert "percentiles" in shown


@pytest.mark.parametrize(
    ("centre", "width"),
    [(40, 0), (40, -400), (1e9, 400), (40, 1e30), (float("nan"), 400), (40, float("inf"))],
)
def test_an_absurd_window_is_named_and_percentiles_are_shown(
    tmp_path: Path, centre: float, width: float
) -> None:
    values = np.linspace(0, 1500, 256).reshape(16, 16).astype(np.int16)
    given = {"WindowCenter": str(centre)[:16], "WindowWidth": str(width)[:16], "pixels": values}
    path = write_slice(tmp_path / "a.dcm", 1, 0.0, **given)
    decoded = decode(path.read_bytes(), "a.dcm", ImagesConfig())
    shown = np.asarray(decoded.image)
    assert (shown.min(), shown.max()) == (0, 255)
    assert "unusable" in decoded.notes[0] or "no window" in decoded.notes[0]
    [first] = arrays(read(path))
    assert np.array_equal(first, shown)


def test_a_window_of_the_header_is_that_of_single_files(tmp_path: Path) -> None:
    given = {"WindowCenter": 120, "WindowWidth": 90}
    path = write_slice(tmp_path / "a.dcm", 1, 0.0, **given)
    decoded = decode(path.read_bytes(), "a.dcm", ImagesConfig())
    [shown] = arrays(read(path))
    assert np.array_equal(shown, np.asarray(decoded.image))


def test_inverted_grey_is_inverted_and_signed_values_keep_their_sign(tmp_path: Path) -> None:
    values = np.linspace(-900, 900, 256).reshape(16, 16).astype(np.int16)
    plain = write_slice(tmp_path / "a.dcm", 1, 0.0, pixels=values)
    turned = {"PhotometricInterpretation": "MONOCHROME1"}
    inverse = write_slice(tmp_path / "b.dcm", 1, 0.0, pixels=values, **turned)
    [first], [second] = (arrays(read(path, window="0/2000")) for path in (plain, inverse))
    assert np.array_equal(first, 255 - second)
    assert (np.diff(first.reshape(-1).astype(int)) >= 0).all()


def test_pixels_that_are_not_square_are_shown_square(tmp_path: Path) -> None:
    path = write_slice(tmp_path / "a.dcm", 1, 0.0, PixelSpacing=[2.0, 1.0])
    [shown] = arrays(read(path, **ALL))
    assert shown.shape == (32, 16)


def test_a_blank_slice_is_left_out_and_blank_volumes_are_not(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "s", [0, 1, 2])
    write_slice(folder / "air.dcm", 9, 3.0, pixels=np.full((16, 16), -1000, np.int16))
    volume = read(folder, **ALL)
    assert volume.facts["shown"] == [1, 2, 3]
    assert any("blank" in note for note in volume.facts["notes"])
    flat = write_slice(tmp_path / "flat.dcm", 1, 0.0, pixels=np.zeros((16, 16), np.int16))
    assert len(read(flat).pictures) == 1


def test_faults_have_their_reason(tmp_path: Path) -> None:
    whole = write_slice(tmp_path / "a.dcm", 1, 0.0).read_bytes()
    for name, data, wanted in (
        ("cut.dcm", whole[:-100], "image_truncated"),
        ("head.dcm", whole[:140], "not_an_image"),
        ("empty.dcm", b"", "not_an_image"),
        ("locked.dcm", ENVELOPE + whole, "image_unsupported"),
        ("locked", ENVELOPE, "image_unsupported"),
    ):
        (tmp_path / name).write_bytes(data)
        assert reason(tmp_path / name) == wanted, name
    for name in ("rtplan.dcm", "reportsi.dcm", "waveform_ecg.dcm"):
        assert reason(pydicom_files() / name) == "not_an_image"
    assert reason(tmp_path / "nothing.dcm") == "image_missing"
    (tmp_path / "empty").mkdir()
    assert reason(tmp_path / "empty") == "not_an_image"
    without = write_slice(tmp_path / "b.dcm", 1, 0.0, PixelData=None)
    assert reason(without) == "not_an_image"


def test_an_encrypted_file_alone_is_refused_by_name() -> None:
    with pytest.raises(ImageError) as caught:
        decode(ENVELOPE + bytes(100), "a.dcm", ImagesConfig())
    assert caught.value.reason == "image_unsupported"
    assert "encrypted" in caught.value.detail


@settings(max_examples=60, deadline=None)
@given(cut=st.integers(0, 1500), flip=st.integers(0, 1500), value=st.integers(0, 255))
def test_a_damaged_file_never_raises_anything_but_a_reason(
    tmp_path_factory: pytest.TempPathFactory, cut: int, flip: int, value: int
) -> None:
    folder = tmp_path_factory.mktemp("damage")
    data = bytearray(write_slice(folder / "a.dcm", 1, 0.0).read_bytes())
    data[flip % len(data)] = value
    (folder / "a.dcm").write_bytes(bytes(data[: len(data) - cut % 2 * cut]))
    with suppress(ImageError):
        assert read(folder).pictures
