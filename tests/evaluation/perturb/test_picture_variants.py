from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from evaluation.perturb.apply import find_variant, show

FAMILIES = ("noise", "blur", "contrast", "jpeg")


def seen(make_item, picture, variant, seed=0, **values):
    return show(make_item(**values) | {"variant": variant}, [picture], seed)[0]


def distance(a: Image.Image, b: Image.Image) -> float:
    return float(np.abs(np.asarray(a, float) - np.asarray(b, float)).mean())


@pytest.mark.parametrize("family", FAMILIES)
def test_higher_levels_change_a_picture_more_and_keep_its_size_and_mode(make_item, picture, family):
    changed = [seen(make_item, picture, f"{family}@{level}") for level in (1, 2, 3)]
    assert {(one.size, one.mode) for one in changed} == {(picture.size, picture.mode)}
    distances = [distance(picture, one) for one in changed]
    assert 0 < distances[0] < distances[1] < distances[2]


@pytest.mark.parametrize("family", FAMILIES)
def test_the_same_item_and_seed_give_the_same_pixels(make_item, picture, family):
    once, twice = (seen(make_item, picture, f"{family}@2") for _ in range(2))
    assert once.tobytes() == twice.tobytes()


def test_noise_depends_on_seed_item_and_level(make_item, picture):
    made = {
        seen(make_item, picture, "noise@1").tobytes(),
        seen(make_item, picture, "noise@1", seed=1).tobytes(),
        seen(make_item, picture, "noise@1", item_id="2").tobytes(),
        seen(make_item, picture, "noise@1", benchmark="other").tobytes(),
        seen(make_item, picture, "noise@2").tobytes(),
    }
    assert len(made) == 5


def test_noise_has_the_stated_deviation(make_item):
    flat = Image.new("L", (400, 400), 128)
    for level, share in ((1, 0.08), (2, 0.12), (3, 0.18)):
        noisy = np.asarray(seen(make_item, flat, f"noise@{level}"), float) - 128
        # Of 160,000 pixels: the standard error of a deviation is 0.2% of it, clipping bites 1%.
        assert noisy.std() == pytest.approx(share * 255, rel=0.02)
        assert abs(noisy.mean()) < 1


def test_contrast_leaves_the_mean_and_scales_the_deviation(make_item, picture):
    for level, share in ((1, 0.4), (2, 0.3), (3, 0.2)):
        changed = np.asarray(seen(make_item, picture, f"contrast@{level}"), float)
        original = np.asarray(picture, float)
        assert changed.mean() == pytest.approx(original.mean(), abs=0.5)
        assert changed.std() == pytest.approx(original.std() * share, rel=0.02)


def test_blur_is_as_strong_on_a_picture_of_twice_the_size(make_item):
    rows, columns = np.mgrid[0:448, 0:448]
    coarse = Image.fromarray((128 + 100 * np.sin(columns / 12) + rows * 0).astype(np.uint8))
    half = coarse.resize((224, 224), Image.Resampling.BOX)
    loss = [np.asarray(seen(make_item, one, "blur@3"), float).std() for one in (coarse, half)]
    assert loss[0] == pytest.approx(loss[1], rel=0.02)


def test_a_blank_picture_is_one_grey_of_the_same_size(make_item, picture):
    blank = seen(make_item, picture, "blank")
    assert (blank.size, blank.mode) == (picture.size, picture.mode)
    assert np.unique(np.asarray(blank)).tolist() == [127]


def test_pictures_of_other_modes_are_shown_in_colour(make_item):
    palette = Image.new("P", (10, 10), 3)
    assert seen(make_item, palette, "noise@1").mode == "RGB"
    assert seen(make_item, palette, "original").mode == "RGB"


def test_variants_without_pictures_of_their_own_leave_pixels_alone(make_item, picture):
    for name in ("original", "no_image", "swapped_image", "typos", "paraphrase@1", "rotation@2"):
        assert find_variant(name).picture(picture, make_item(), 0) is picture
