from __future__ import annotations

import hashlib
import json
import zlib
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image, UnidentifiedImageError

from curation.phantoms import PhantomSet, make_phantoms
from curation.phantoms.defects import COPIES, FAILED, ON_BASE, ON_OWN, TRUTH, plan_set
from tests.expect import raises_code


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> PhantomSet:
    return make_phantoms(tmp_path_factory.mktemp("phantoms") / "set", images=40, seed=5)


@pytest.fixture(scope="module")
def rows(phantoms: PhantomSet) -> list[dict[str, str]]:
    return [json.loads(line) for line in phantoms.samples.read_text("utf-8").splitlines()]


@pytest.fixture(scope="module")
def truth(phantoms: PhantomSet) -> list[dict[str, Any]]:
    table = pq.read_table(phantoms.truth)
    assert table.schema.equals(TRUTH)
    lines: list[dict[str, Any]] = table.to_pylist()
    return lines


def _digests(root: Path) -> dict[str, str]:
    files = [path for path in root.rglob("*") if path.is_file()]
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files
    }


def _of(truth: list[dict[str, Any]], *kinds: str) -> list[dict[str, Any]]:
    lines = [line for line in truth if line["kind"] in kinds]
    assert lines
    return lines


def _content(row: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in row.items() if name not in ("id", "image")}


def test_same_seed_gives_the_same_bytes_whatever_the_workers(tmp_path: Path) -> None:
    make_phantoms(tmp_path / "one", images=16, seed=9)
    make_phantoms(tmp_path / "two", images=16, seed=9, workers=2)
    make_phantoms(tmp_path / "other", images=16, seed=10)
    assert _digests(tmp_path / "one") == _digests(tmp_path / "two")
    assert _digests(tmp_path / "one") != _digests(tmp_path / "other")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "other", "two"]


def test_every_kind_is_planted_at_least_twice_in_a_small_set(truth: list[dict[str, Any]]) -> None:
    planted = Counter(line["kind"] for line in truth)
    assert set(planted) == {*ON_BASE, *ON_OWN, "copy_new_question"}
    assert min(planted.values()) >= 2


def test_every_row_has_an_image_file_unless_it_is_planted_as_missing(
    phantoms: PhantomSet, rows: list[dict[str, str]], truth: list[dict[str, Any]]
) -> None:
    missing = {line["row_index"] for line in _of(truth, "missing_image")}
    absent = {
        place for place, row in enumerate(rows) if not (phantoms.images / row["image"]).is_file()
    }
    assert absent == missing
    named = {row["image"] for place, row in enumerate(rows) if place not in missing}
    on_disk = {
        str(path.relative_to(phantoms.images))
        for path in phantoms.images.rglob("*")
        if path.is_file()
    }
    assert on_disk == named


def test_counts_agree_with_the_files(
    phantoms: PhantomSet, rows: list[dict[str, str]], truth: list[dict[str, Any]]
) -> None:
    assert (phantoms.rows, phantoms.planted) == (len(rows), len(truth))
    assert len({row["id"] for row in rows}) == len(rows)
    assert all(0 <= line["row_index"] < len(rows) for line in truth)


def test_exact_rows_and_copies_repeat_their_original(
    rows: list[dict[str, str]], truth: list[dict[str, Any]]
) -> None:
    for line in _of(truth, "exact_row", *COPIES):
        row, original = rows[line["row_index"]], rows[line["original_row_index"]]
        assert _content(row) == _content(original)
        assert (row["image"] == original["image"]) == (line["kind"] == "exact_row")


def test_paraphrases_and_conflicts_differ_in_one_thing(
    rows: list[dict[str, str]], truth: list[dict[str, Any]]
) -> None:
    for line in _of(truth, "paraphrase", "conflict"):
        row, original = rows[line["row_index"]], rows[line["original_row_index"]]
        different = {name for name in row if row[name] != original[name]}
        changed = "question" if line["kind"] == "paraphrase" else "answer"
        assert different == {"id", changed}


def test_another_patient_has_the_same_text_and_split_but_no_shared_identity(
    rows: list[dict[str, str]], truth: list[dict[str, Any]]
) -> None:
    for line in _of(truth, "other_patient"):
        row, original = rows[line["row_index"]], rows[line["original_row_index"]]
        different = {name for name in row if row[name] != original[name]}
        assert different == {"id", "image", "patient_id"}


def test_mirrored_rows_correct_only_the_side(
    rows: list[dict[str, str]], truth: list[dict[str, Any]]
) -> None:
    for line in _of(truth, "mirrored"):
        row, original = rows[line["row_index"]], rows[line["original_row_index"]]
        assert row["question"] == original["question"]
        if row["task_type"] != "side":
            assert row["answer"] == original["answer"]


def test_only_planted_leaks_cross_the_splits(
    rows: list[dict[str, str]], truth: list[dict[str, Any]]
) -> None:
    leaks = _of(truth, "leak_same_image", "leak_copy")
    leaked = {line["row_index"] for line in leaks}
    splits = defaultdict(set)
    for place, row in enumerate(rows):
        if place not in leaked:
            splits[row["patient_id"]].add(row["split"])
    assert all(len(found) == 1 for found in splits.values())
    for line in leaks:
        row, original = rows[line["row_index"]], rows[line["original_row_index"]]
        assert (row["split"], original["split"]) == ("test", "train")
        assert (row["image"] == original["image"]) == (line["kind"] == "leak_same_image")


def test_unplanted_rows_of_an_image_never_repeat_a_question(
    rows: list[dict[str, str]], truth: list[dict[str, Any]]
) -> None:
    repeats = {line["row_index"] for line in _of(truth, "exact_row", "paraphrase", "conflict")}
    seen = Counter(
        (row["image"], row["task_type"], row["answer_type"] == "closed")
        for place, row in enumerate(rows)
        if place not in repeats
    )
    assert max(seen.values()) == 1


def test_texts_carry_the_planted_defects(
    rows: list[dict[str, str]], truth: list[dict[str, Any]]
) -> None:
    for line in _of(truth, "empty_answer"):
        assert rows[line["row_index"]]["answer"] == ""
    for line in _of(truth, "whitespace_answer"):
        assert rows[line["row_index"]]["answer"].isspace()
    controlled = {line["row_index"] for line in _of(truth, "control_characters")}
    for place, row in enumerate(rows):
        assert ("\x07" in row["question"]) == (place in controlled)


def test_damaged_files_fail_to_decode(
    phantoms: PhantomSet, rows: list[dict[str, str]], truth: list[dict[str, Any]]
) -> None:
    for line in _of(truth, "truncated_file", "empty_file", "not_an_image"):
        path = phantoms.images / rows[line["row_index"]]["image"]
        with pytest.raises((OSError, UnidentifiedImageError)), Image.open(path) as picture:
            picture.load()
    for line in _of(truth, "empty_file"):
        assert (phantoms.images / rows[line["row_index"]]["image"]).stat().st_size == 0


def test_the_bomb_is_small_whole_and_claims_more_than_200_megapixels(
    phantoms: PhantomSet, rows: list[dict[str, str]], truth: list[dict[str, Any]]
) -> None:
    path = phantoms.images / rows[_of(truth, "decompression_bomb")[0]["row_index"]]["image"]
    data = path.read_bytes()
    width, height = (int.from_bytes(data[place : place + 4]) for place in (16, 20))
    assert width * height > 200_000_000
    assert len(data) < 1_000_000
    with pytest.raises(Image.DecompressionBombError):
        Image.open(path)
    start = data.index(b"IDAT") + 4
    raw = zlib.decompress(data[start : start + int.from_bytes(data[start - 8 : start - 4])])
    assert len(raw) == (1 + width // 8) * height
    assert not any(raw[:100_000])


def test_decodable_oddities_decode(
    phantoms: PhantomSet, rows: list[dict[str, str]], truth: list[dict[str, Any]]
) -> None:
    for line in _of(truth, "wrong_extension"):
        path = phantoms.images / rows[line["row_index"]]["image"]
        with Image.open(path) as picture:
            picture.load()
            assert (picture.format, path.suffix) == ("PNG", ".jpg")
    for line in _of(truth, "blank_image"):
        with Image.open(phantoms.images / rows[line["row_index"]]["image"]) as picture:
            low, high = picture.getextrema()
            assert low == high
    for line in _of(truth, "burned_in_name"):
        with Image.open(phantoms.images / rows[line["row_index"]]["image"]) as picture:
            corner = np.asarray(picture)[8:20, 8:140]
            assert (corner == 255).mean() > 0.1
        assert "^" in line["detail"]


def test_pictures_come_as_png_jpeg_and_16_bit(
    phantoms: PhantomSet, rows: list[dict[str, str]]
) -> None:
    kinds = set()
    for row in rows[:240]:
        with Image.open(phantoms.images / row["image"]) as picture:
            kinds.add((picture.format, picture.mode))
    assert kinds == {("PNG", "L"), ("PNG", "I;16"), ("JPEG", "L")}


@pytest.mark.parametrize("images", [300, 1500])
def test_few_rows_fail_in_sets_of_usual_size(images: int) -> None:
    plan = plan_set(images, seed=1)
    failed = sum(line["expected"] == FAILED for line in plan.truth)
    assert failed <= 0.015 * len(plan.rows)
    assert 6 * images <= len(plan.rows) <= 8.5 * images


def test_a_set_that_is_there_is_returned_and_anything_else_is_refused(
    phantoms: PhantomSet, tmp_path: Path
) -> None:
    before = phantoms.samples.stat().st_mtime_ns
    assert make_phantoms(phantoms.root, images=40, seed=5) == phantoms
    assert phantoms.samples.stat().st_mtime_ns == before
    with raises_code("phantom_folder_in_the_way", path=str(phantoms.root)):
        make_phantoms(phantoms.root, images=40, seed=6)
    (tmp_path / "notes.txt").write_text("mine")
    with raises_code("phantom_folder_in_the_way", path=str(tmp_path)):
        make_phantoms(tmp_path, images=40, seed=5)
    assert (tmp_path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("bad", [{"images": 15}, {"seed": -1}, {"workers": 0}])
def test_impossible_orders_are_refused(tmp_path: Path, bad: dict[str, int]) -> None:
    order = {"images": 16, "seed": 0, "workers": 1, **bad}
    with raises_code("phantom_option_invalid", option=next(iter(bad))):
        make_phantoms(tmp_path / "out", **order)
    assert not (tmp_path / "out").exists()
