from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from curation.matching.same_pictures import find_same
from evaluation.perturb.apply import find_variant, show, vary
from evaluation.perturb.image_swaps import Donors
from evaluation.perturb.perturbation import Skip
from evaluation.records import ITEMS

NOBODY = Donors({})


def test_without_image_neither_pictures_nor_their_marks_are_left(make_item):
    item = make_item(question="<image 1> What is shown in <image 2>?", images=["a", "b"])
    changed = find_variant("no_image").change(item, 0, NOBODY)
    assert changed["images"] == []
    assert changed["question"] == "What is shown in ?"
    assert changed["image_id"] == item["image_id"]


@pytest.mark.parametrize("values", [{"images": []}, {"options": ["<image 1>", "<image 2>"]}])
def test_items_that_cannot_lose_their_images_say_why(make_item, values):
    skipped = find_variant("no_image").change(make_item(**values), 0, NOBODY)
    assert isinstance(skipped, Skip)
    assert "image" in skipped.reason


@pytest.mark.parametrize("name", ["blank", "noise@1", "blur@1", "contrast@1", "jpeg@1"])
def test_pixel_variants_need_a_picture(make_item, name):
    assert isinstance(find_variant(name).change(make_item(images=[]), 0, NOBODY), Skip)


def test_every_real_question_gets_another_picture_of_its_modality(real_items):
    rows = real_items.to_pylist()
    modality = {row["images"][0]: row["modality"] for row in rows}
    group = {row["images"][0]: row["image_id"] for row in rows}
    donors = Donors.among(rows)
    swapped = find_variant("swapped_image")
    times = defaultdict(int)
    for row in rows:
        changed = swapped.change(row, 0, donors)
        ref = changed["images"][0]
        assert modality[ref] == row["modality"]
        assert group[ref] != row["image_id"] == changed["image_id"]
        assert json.loads(changed["extra"])["swapped_for"] == group[ref]
        times[ref] += 1
    # No picture stands in for a large part of the others.
    assert len(times) > 150
    assert max(times.values()) < 15


@given(st.permutations(range(8)), st.integers(0, 3))
def test_the_swap_does_not_depend_on_the_order_of_items(make_item, order, seed):
    items = [
        make_item(
            item_id=str(at),
            images=[f"{at // 2}.png"],
            image_id=f"picture {at // 2}",
            modality="ct" if at < 6 else "mr",
        )
        for at in range(8)
    ]
    shuffled = [items[at] for at in order]
    swapped = find_variant("swapped_image")
    for item in items:
        expected = swapped.change(item, seed, Donors.among(items))
        assert swapped.change(item, seed, Donors.among(shuffled)) == expected


def test_neither_the_same_patient_nor_a_shared_picture_stands_in(make_item):
    item = make_item(patient_id="p1")
    same_patient = make_item(item_id="2", images=["b.png"], image_id="b", patient_id="p1")
    shared = make_item(item_id="3", images=["a.png"], image_id="c", patient_id="p2")
    other = make_item(item_id="4", images=["d.png"], image_id="d", patient_id="p2")
    swapped = find_variant("swapped_image")
    for seed in range(10):
        found = swapped.change(item, seed, Donors.among([item, same_patient, shared, other]))
        assert found["images"] == ["d.png"]
        alone = swapped.change(item, seed, Donors.among([item, same_patient, shared]))
        assert alone == Skip("no other image of its modality")


def test_another_file_of_the_same_picture_does_not_stand_in(make_item):
    item, copy = make_item(), make_item(item_id="2", images=["copy of a.png"])
    for one in (item, copy):
        assert Donors.among([item, copy]).pick(one, 0) is None


def blob(seed):
    random = np.random.default_rng(seed)
    small = Image.fromarray(random.integers(0, 255, (20, 20), dtype=np.uint8))
    return small.resize((200, 200), Image.Resampling.BICUBIC)


def test_neither_equal_pixels_nor_a_copy_in_another_file_stand_in(make_item, tmp_path):
    picture = blob(1)
    files = {
        "a.png": picture,
        "b.bmp": picture,
        "c.jpg": picture.resize((150, 150)),
        "d.png": picture.crop((8, 8, 194, 194)),
        "other.png": blob(2),
    }
    for name, image in files.items():
        image.save(tmp_path / name)
    items = [
        make_item(item_id=name, images=[str(tmp_path / name)], image_id=name) for name in files
    ]
    table = pa.Table.from_pylist(items, schema=ITEMS)
    for seed in range(6):
        varied = vary(table, [find_variant("swapped_image")], seed).items.to_pylist()
        stood_in = {row["item_id"]: Path(row["images"][0]).name for row in varied}
        assert {stood_in[name] for name in files if name != "other.png"} == {"other.png"}
        assert stood_in["other.png"] != "other.png"
    same = find_same([*(str(tmp_path / name) for name in files), str(tmp_path / "gone.png")])
    assert len(same) == len(files)
    assert len(set(same.values())) == 2


def test_an_item_of_two_pictures_gets_two(make_item):
    pair = make_item(images=["a", "b"], image_id="ab")
    single = make_item(item_id="2", images=["c"], image_id="c")
    other = make_item(item_id="3", images=["d", "e"], image_id="de")
    changed = find_variant("swapped_image").change(pair, 0, Donors.among([pair, single, other]))
    assert changed["images"] == ["d", "e"]


def boxed(make_item, *boxes, **values):
    return make_item(extra=json.dumps({"boxes": boxes}), **values)


def masked(item, name, seed=0):
    changed = find_variant(name).change(item, seed, NOBODY)
    assert not isinstance(changed, Skip)
    return changed | {"variant": name}


def hidden(item, picture):
    """Which pixels a variant changed."""
    shown = np.asarray(show(item, [picture], 0)[0], int)
    changed = shown != np.asarray(picture, int)
    return changed if changed.ndim == 2 else changed.any(axis=2)


def test_the_region_is_hidden_and_elsewhere_as_much_of_the_rest(make_item):
    # No pixel has the mean, so that every hidden one changes.
    grey = np.where(np.random.default_rng(0).random((100, 200)) < 0.5, 0, 255).astype(np.uint8)
    picture = Image.fromarray(grey)
    item = boxed(make_item, [0.1, 0.2, 0.3, 0.5])
    region = hidden(masked(item, "mask_region"), picture)
    assert region[20:50, 20:60].all()
    assert region.sum() == 30 * 40
    for seed in range(20):
        elsewhere = hidden(masked(item, "mask_elsewhere", seed), picture)
        # A box that begins between two pixels may hold one row or column more or less.
        assert elsewhere.sum() == pytest.approx(region.sum(), rel=0.1)
        assert not (elsewhere & region)[21:49, 21:59].any()


@given(
    st.lists(
        st.tuples(*[st.floats(0.0, 0.7)] * 2, *[st.floats(0.02, 0.3)] * 2),
        min_size=1,
        max_size=3,
    ),
    st.integers(0, 5),
)
def test_boxes_elsewhere_have_the_same_sizes_and_touch_none_of_the_items(make_item, corners, seed):
    boxes = [[x, y, x + width, y + height] for x, y, width, height in corners]
    item = boxed(make_item, *boxes)
    changed = find_variant("mask_elsewhere").change(item, seed, NOBODY)
    both = find_variant("mask_region").change(item, seed, NOBODY)
    assert isinstance(changed, Skip) == isinstance(both, Skip)
    if isinstance(changed, Skip):
        return
    placed = json.loads(changed["extra"])["masked"]
    assert sorted(round((x1 - x0) * (y1 - y0), 6) for x0, y0, x1, y1 in placed) == sorted(
        round((x1 - x0) * (y1 - y0), 6) for x0, y0, x1, y1 in boxes
    )
    for x0, y0, x1, y1 in placed:
        assert min(x0, y0) >= 0
        assert max(x1, y1) <= 1 + 1e-9
        for left, top, right, bottom in boxes:
            overlap = (min(x1, right) - max(x0, left), min(y1, bottom) - max(y0, top))
            assert min(overlap) <= 1e-9


def test_places_elsewhere_differ_between_items_and_seeds(make_item):
    places = {
        json.dumps(json.loads(masked(item, "mask_elsewhere", seed)["extra"])["masked"])
        for seed in range(5)
        for item in (boxed(make_item, [0.4, 0.4, 0.6, 0.6], item_id=str(at)) for at in range(5))
    }
    assert len(places) > 15


@pytest.mark.parametrize(
    "values",
    [
        {"extra": None},
        {"extra": json.dumps({"boxes": []})},
        {"extra": json.dumps({"boxes": [[0.05, 0.05, 0.95, 0.95]]})},
        {"extra": json.dumps({"boxes": [[0, 0, 0.1, 0.1]]}), "images": ["a", "b"]},
    ],
)
def test_items_without_a_region_or_room_are_left_out_of_both(make_item, values):
    for name in ("mask_region", "mask_elsewhere"):
        assert isinstance(find_variant(name).change(make_item(**values), 0, NOBODY), Skip)
