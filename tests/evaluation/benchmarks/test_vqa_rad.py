from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from pathlib import Path

import pytest

from evaluation.benchmarks.vqa_rad import VqaRad
from tests.expect import raises_code


@pytest.fixture(scope="module")
def real(vqa_rad, tmp_path_factory):
    return VqaRad(path=str(vqa_rad)).load(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def published(vqa_rad):
    lines = (vqa_rad / "vqa_rad.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines]


def test_the_public_file_has_451_test_questions_on_203_pictures(real):
    assert (real.name, real.rows, real.images) == ("vqa_rad", 451, 203)
    assert real.files == ("vqa_rad.jsonl",)
    assert real.unusable == {}
    assert real.items.num_rows == 451
    assert Counter(real.items["answer_type"].to_pylist()) == {"closed": 272, "open": 179}
    assert Counter(real.items["body_part"].to_pylist()) == {"chest": 174, "abd": 158, "head": 119}
    assert set(real.items["language"].to_pylist()) == {"en"}
    assert sorted(real.items["item_id"].to_pylist()) == real.items["item_id"].to_pylist()


def test_each_item_is_the_published_row_of_its_id(real, published):
    rows = {str(row["qid"]): row for row in published if row["phrase_type"].startswith("test")}
    items = real.items.to_pylist()
    assert {item["item_id"] for item in items} == rows.keys()
    for item in items:
        row = rows[item["item_id"]]
        assert item["question"].split() == row["question"].split()
        assert item["gold"].split() == str(row["answer"]).split()
        assert Path(item["images"][0]).name == row["image_name"]
        digest = hashlib.sha256(Path(item["images"][0]).read_bytes()).hexdigest()
        assert item["image_id"] == digest
        assert "\t" not in item["question"] + item["gold"]


def test_misspelt_and_mixed_question_types_are_mended(real, published):
    kinds = set(real.items["task_type"].to_pylist())
    assert {"PRES", "POS+PRES", "ATTRIB+PRES"} <= kinds
    assert not {"PRSE", "ATRIB", "Other", "POS, PRES"} & kinds


def test_regions_are_shares_of_the_picture(real, published):
    boxed = {str(row["qid"]) for row in published if row.get("bbox")}
    extras = {item["item_id"]: json.loads(item["extra"] or "{}") for item in real.items.to_pylist()}
    assert {item for item, extra in extras.items() if "boxes" in extra} == boxed & extras.keys()
    for extra in extras.values():
        for x0, y0, x1, y1 in extra.get("boxes", []):
            assert 0 <= x0 < x1 <= 1
            assert 0 <= y0 < y1 <= 1


def test_spaces_after_answer_types_and_an_answer_that_is_a_number_are_mended(
    write, load, picture_bytes
):
    row = {
        "qid": 7,
        "phrase_type": "test_freeform",
        "image_name": "a.jpg",
        "image_organ": "HEAD ",
        "question": "How many?",
        "question_type": "COUNT, PRSE",
        "answer": 2,
        "answer_type": "CLOSED ",
        "bbox": None,
    }
    training = row | {"qid": 8, "phrase_type": "freeform", "image_name": "gone.jpg"}
    write("VQA_RAD Image Folder/a.jpg", picture_bytes(kind="JPEG"))
    folder = write("VQA_RAD Dataset Public.json", [row, training])
    found = load(kind="vqa_rad", path=str(folder))
    item = found.items.to_pylist()[0]
    assert (found.rows, found.images) == (1, 1)
    assert (item["answer_type"], item["gold"]) == ("closed", "2")
    assert (item["body_part"], item["task_type"], item["modality"]) == ("head", "COUNT+PRES", None)


def test_neither_the_folders_place_nor_the_order_of_rows_changes_the_content_hash(
    real, vqa_rad, published, tmp_path
):
    shutil.copytree(vqa_rad / "images", tmp_path / "images")
    lines = (json.dumps(row) + "\n" for row in reversed(published))
    (tmp_path / "vqa_rad.jsonl").write_text("".join(lines), encoding="utf-8")
    moved = VqaRad(path=str(tmp_path)).load(tmp_path / "cache")
    assert moved.content_hash == real.content_hash
    assert moved.items.drop_columns("images").equals(real.items.drop_columns("images"))


def test_another_pixel_or_another_word_changes_the_content_hash(real, vqa_rad, published, tmp_path):
    shutil.copytree(vqa_rad / "images", tmp_path / "images", copy_function=shutil.copyfile)
    target = (
        tmp_path
        / "images"
        / next(row["image_name"] for row in published if row["phrase_type"].startswith("test"))
    )
    (tmp_path / "vqa_rad.jsonl").write_text(
        "".join(json.dumps(row) + "\n" for row in published), encoding="utf-8"
    )
    same = VqaRad(path=str(tmp_path)).load(tmp_path / "cache")
    target.write_bytes(target.read_bytes() + b"\0")
    other = VqaRad(path=str(tmp_path)).load(tmp_path / "cache")
    assert same.content_hash == real.content_hash != other.content_hash


def test_missing_pictures_are_one_line_with_how_many_and_the_first(vqa_rad, tmp_path):
    (tmp_path / "vqa_rad.jsonl").symlink_to(vqa_rad / "vqa_rad.jsonl")
    (tmp_path / "images").mkdir()
    kept = sorted((vqa_rad / "images").iterdir())[:200]
    for picture in kept:
        (tmp_path / "images" / picture.name).symlink_to(picture)
    with raises_code("benchmark_incomplete", items=451) as error:
        VqaRad(path=str(tmp_path)).load(tmp_path / "cache")
    assert "\n" not in str(error.value)
    assert 0 < error.value.values["missing"] < 451
    assert "images/synpic" in error.value.values["first"]
