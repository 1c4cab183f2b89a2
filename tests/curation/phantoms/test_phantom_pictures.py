from __future__ import annotations

import io
from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from curation.phantoms.alterations import altered
from curation.phantoms.cases import Case, Lesion, draw_case, other_patient
from curation.phantoms.images import paint, png, to_bytes

Thumb = NDArray[np.float64]


def _thumb(pixels: NDArray[np.uint8]) -> Thumb:
    small = Image.fromarray(pixels).resize((64, 64), Image.Resampling.BOX)
    values = np.asarray(small, np.float64).ravel()
    values = values - values.mean()
    return values / np.linalg.norm(values)


def _decoded(data: bytes) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(data)) as picture:
        return np.asarray(picture.convert("L"))


def test_patients_in_one_view_are_not_near_duplicates_nor_are_mirrors() -> None:
    views: defaultdict[tuple[str, str], list[Thumb]] = defaultdict(list)
    for index in range(80):
        case = draw_case(3, index)
        pixels = to_bytes(paint(case, 3))
        views[case.modality, case.plane].append(_thumb(pixels))
        assert _thumb(pixels) @ _thumb(np.ascontiguousarray(pixels[:, ::-1])) < 0.95
    for thumbs in views.values():
        between = np.stack(thumbs) @ np.stack(thumbs).T - 2 * np.eye(len(thumbs))
        assert between.max() < 0.93


@pytest.mark.parametrize("index", range(4))
def test_the_same_findings_in_another_patient_look_different(index: int) -> None:
    case = draw_case(3, index)
    other = other_patient(case, 1000 + index)
    assert (other.lesions, other.split) == (case.lesions, case.split)
    assert other.patient_id != case.patient_id
    assert _thumb(to_bytes(paint(case, 3))) @ _thumb(to_bytes(paint(other, 3))) < 0.93


@pytest.mark.parametrize("kind", ["copy_jpeg", "copy_resize", "copy_brightness", "leak_copy"])
@pytest.mark.parametrize("index", range(8))
def test_light_copies_stay_alike(kind: str, index: int) -> None:
    case = draw_case(3, index)
    copy = _decoded(altered(kind, case, 3))
    assert _thumb(copy) @ _thumb(to_bytes(paint(case, 3))) > 0.97


@pytest.mark.parametrize("index", range(4))
def test_crop_and_rotation_do_what_they_say(index: int) -> None:
    case = draw_case(3, index)
    pixels = to_bytes(paint(case, 3))
    cropped, rotated = (_decoded(altered(f"copy_{k}", case, 3)) for k in ("crop", "rotation"))
    assert cropped.shape[0] / pixels.shape[0] == pytest.approx(0.9, abs=0.01)
    assert rotated.shape == pixels.shape
    assert 0.6 < _thumb(rotated) @ _thumb(pixels) < 0.999


def _changed(case: Case, lesion: Lesion) -> NDArray[np.bool_]:
    """The pixels that one lesion alone changes."""
    alone = paint(replace(case, lesions=(lesion,)), 3)
    none = paint(replace(case, lesions=()), 3)
    mask: NDArray[np.bool_] = np.abs(alone - none) > 0.1
    return mask


@pytest.mark.parametrize("index", range(24))
def test_every_lesion_is_visible_apart_from_the_others(index: int) -> None:
    case = draw_case(3, index)
    masks = [_changed(case, lesion) for lesion in case.lesions]
    assert all(mask.sum() > 40 for mask in masks)
    for place, mask in enumerate(masks):
        assert not any((mask & other).sum() > 0.1 * mask.sum() for other in masks[:place])


@pytest.mark.parametrize("index", range(12))
def test_lesions_lie_where_the_facts_put_them(index: int) -> None:
    case = draw_case(3, index)
    columns = [
        float(np.nonzero(_changed(case, Lesion(u, -0.1, 0.1)))[1].mean()) for u in (-0.45, 0.45)
    ]
    assert columns[0] < columns[1] - 30


@pytest.mark.parametrize(("modality", "side"), [("ct", "right"), ("xray", "right"), ("us", "left")])
def test_screen_left_is_patient_right_except_in_ultrasound(modality: str, side: str) -> None:
    index = ("ct", "xray", "mr", "us").index(modality)
    case = replace(draw_case(3, index), lesions=(Lesion(-0.4, 0.0, 0.1),))
    assert case.sides == {side}


@pytest.mark.parametrize("deep", [False, True])
def test_png_round_trips(deep: bool) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 4096 if deep else 256, (257, 300), np.uint16 if deep else np.uint8)
    with Image.open(io.BytesIO(png(pixels))) as picture:
        np.testing.assert_array_equal(np.asarray(picture), pixels)
