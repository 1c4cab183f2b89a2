"""NIfTI: slices are nibabel's own values in the stated orientation; faults by name."""

from __future__ import annotations

import gzip
import io
from contextlib import suppress
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from medsift.images import ImageError, ImagesConfig
from medsift.images.volumes import Volume, VolumesConfig, read_volume
from medsift.images.volumes.nifti import read_nifti
from tests.medsift.images.dicom_files import nibabel_files

PLANES = ("axial", "coronal", "sagittal")
VOLUMES = ("anatomical.nii", "reoriented_anat_moved.nii", "resampled_anat_moved.nii")
CONFIG = ImagesConfig()
SROW_Z = 312
"""Where the third row of the affine is in a header of NIfTI 1."""


def expected(image: nib.Nifti1Image, plane: str) -> list[np.ndarray]:
    """Slices as radiologists look at them, from nibabel's reoriented array."""
    values = nib.as_closest_canonical(image).get_fdata()
    if plane == "axial":
        return [values[::-1, ::-1, k].T for k in range(values.shape[2])]
    if plane == "coronal":
        return [values[::-1, j, ::-1].T for j in reversed(range(values.shape[1]))]
    return [values[i, ::-1, ::-1].T for i in range(values.shape[0])]


def read(path: Path, **config: object) -> Volume:
    volume = read_volume(str(path), VolumesConfig(**config), {}, None)
    assert volume is not None
    return volume


def reason(data: bytes, name: str = "a.nii", config: ImagesConfig = CONFIG) -> str:
    with pytest.raises(ImageError) as caught:
        read_nifti(data, name, "axial", config)
    return caught.value.reason


@pytest.mark.parametrize("plane", PLANES)
@pytest.mark.parametrize("name", [*VOLUMES, "standard.nii.gz"])
def test_slices_are_those_of_nibabel_in_every_plane(name: str, plane: str) -> None:
    path = nibabel_files() / name
    wanted = expected(nib.load(path), plane)
    volume = read_nifti(path.read_bytes(), name, plane, CONFIG)
    assert len(volume.positions) == len(wanted)
    for place, slice_wanted in enumerate(wanted):
        assert np.allclose(volume.slice(place), slice_wanted, rtol=1e-6, equal_nan=True)


@settings(max_examples=40, deadline=None)
@given(
    order=st.permutations([0, 1, 2]),
    signs=st.tuples(*[st.sampled_from([-1, 1])] * 3),
    plane=st.sampled_from(PLANES),
    second=st.booleans(),
    packed=st.booleans(),
)
def test_any_orientation_is_turned_to_one(order, signs, plane, second, packed) -> None:
    values = np.random.default_rng(0).integers(-900, 900, (3, 4, 5)).astype(np.int16)
    affine = np.eye(4)
    affine[:3, :3] = 0.0
    for axis, (to, sign) in enumerate(zip(order, signs, strict=True)):
        affine[to, axis] = sign * (axis + 1.5)
    affine[:3, 3] = (7, -8, 9)
    image = (nib.Nifti2Image if second else nib.Nifti1Image)(values, affine)
    data = image.to_bytes()
    volume = read_nifti(gzip.compress(data) if packed else data, "a.nii", plane, CONFIG)
    for place, wanted in enumerate(expected(image, plane)):
        assert np.array_equal(volume.slice(place), wanted)
    # The position of a slice is that of its middle in the scanner, along DICOM's normal.
    axis = {"axial": 2, "coronal": 1, "sagittal": 0}[plane]
    canonical = nib.as_closest_canonical(image)
    line = np.sort(
        [
            (canonical.affine @ [*np.where(np.arange(3) == axis, k, 0), 1])[axis]
            for k in range(canonical.shape[axis])
        ]
    )
    line = np.sort(-line) if plane == "coronal" else line
    assert volume.positions == pytest.approx(line.tolist())


def test_a_sample_states_plane_spacing_window_and_orientation() -> None:
    volume = read(nibabel_files() / "anatomical.nii", plane="coronal", slices="every:20mm")
    facts = volume.facts
    assert (facts["kind"], facts["plane"], facts["spacing_mm"]) == ("nifti", "coronal", 2.0)
    assert facts["shown"] == [1, 11, 21, 31, 41]
    assert "stored as LAS" in facts["orientation"]
    assert "percentiles" in facts["window_shown"]
    assert set(volume.tags) == {"plane", "series_id"}


def test_the_display_range_of_the_header_is_its_window(tmp_path: Path) -> None:
    image = nib.Nifti1Image(np.arange(125, dtype=np.int16).reshape(5, 5, 5), np.eye(4))
    image.header["cal_min"], image.header["cal_max"] = 20, 60
    image.to_filename(tmp_path / "a.nii")
    volume = read(tmp_path / "a.nii", slices="middle")
    assert volume.facts["window_shown"] == "header: 20 to 60"
    [shown] = [np.asarray(Image.open(io.BytesIO(data))) for data in volume.pictures]
    wanted = np.clip((expected(image, "axial")[2] - 20) / 40, 0, 1) * 255
    assert np.abs(shown - wanted).max() <= 0.5


def test_scaled_values_are_shown_scaled(tmp_path: Path) -> None:
    image = nib.Nifti1Image(np.arange(27, dtype=np.int16).reshape(3, 3, 3), np.eye(4))
    image.header.set_slope_inter(2.0, -10.0)
    volume = read_nifti(image.to_bytes(), "a.nii", "axial", CONFIG)
    again = nib.Nifti1Image.from_bytes(image.to_bytes())
    assert np.array_equal(volume.slice(1), expected(again, "axial")[1])


def test_lengths_in_other_units_become_millimetres() -> None:
    image = nib.Nifti1Image(np.zeros((3, 3, 3), np.int16), np.diag([0.002, 0.002, 0.005, 1]))
    image.header.set_xyzt_units("meter")
    volume = read_nifti(image.to_bytes(), "a.nii", "axial", CONFIG)
    assert volume.spacing_mm == pytest.approx(5.0)


def made(values: np.ndarray, affine: np.ndarray | None = None) -> nib.Nifti1Image:
    return nib.Nifti1Image(values, np.eye(4) if affine is None else affine)


def test_what_is_no_volume_of_numbers_is_refused_by_name() -> None:
    grey = np.zeros((4, 4, 4), np.int16)
    bare = made(grey)
    bare.set_sform(None, 0)
    bare.set_qform(None, 0)
    colour = np.zeros((4, 4, 4), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    whole = made(grey).to_bytes()
    flat = whole[:SROW_Z] + bytes(16) + whole[SROW_Z + 16 :]
    cases = (
        (bare.to_bytes(), "volume_orientation_missing"),
        (flat, "volume_orientation_missing"),
        (made(np.zeros((4, 4, 4, 3), np.int16)).to_bytes(), "volume_not_three_dimensional"),
        (made(np.zeros((4, 4), np.int16)).to_bytes(), "volume_not_three_dimensional"),
        (made(colour).to_bytes(), "image_unsupported"),
        (made(grey.astype(np.complex64)).to_bytes(), "image_unsupported"),
        (whole[:-10], "image_truncated"),
        (whole[:100], "image_truncated"),
        (gzip.compress(whole)[:40], "image_truncated"),
        (b"", "image_truncated"),
        (b"x" * 1000, "not_an_image"),
        (whole.replace(b"n+1\0", b"ni1\0"), "image_unsupported"),
    )
    for number, (data, wanted) in enumerate(cases):
        assert reason(data) == wanted, number
    one = made(np.zeros((4, 4, 4, 1), np.int16)).to_bytes()
    assert read_nifti(one, "a.nii", "axial", CONFIG).slice(0).shape == (4, 4)


@pytest.mark.parametrize("name", ["example4d.nii.gz", "functional.nii", "row_major.dconn.nii"])
def test_nibabels_own_files_of_more_sides_are_refused(name: str) -> None:
    assert reason((nibabel_files() / name).read_bytes()) == "volume_not_three_dimensional"


def test_a_small_file_that_unpacks_to_much_is_refused_before_it_is_unpacked() -> None:
    header = nib.Nifti1Header()
    header.set_data_shape((2000, 2000, 2000))
    header["sform_code"], header["magic"], header["vox_offset"] = 1, b"n+1", 352
    data = gzip.compress(header.binaryblock + bytes(4))
    assert reason(data) == "image_too_large"
    assert (
        reason(made(np.zeros((4, 4, 4), np.int16)).to_bytes(), config=ImagesConfig(min_side=5))
        == "image_too_small"
    )


@settings(max_examples=80, deadline=None)
@given(place=st.integers(0, 400), value=st.integers(0, 255), packed=st.booleans())
def test_a_flipped_byte_never_raises_anything_but_a_reason(place, value, packed) -> None:
    data = bytearray(made(np.arange(64, dtype=np.int16).reshape(4, 4, 4)).to_bytes())
    data[place] = value
    packed_data = gzip.compress(data) if packed else bytes(data)
    with suppress(ImageError):
        volume = read_nifti(packed_data, "a.nii", "axial", CONFIG)
        assert all(volume.slice(at).ndim == 2 for at in range(len(volume.positions)))
