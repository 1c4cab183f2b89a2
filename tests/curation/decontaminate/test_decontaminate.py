"""Benchmarks kept out of training: copies found, other patients not, the rest listed for review."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagehash
import numpy as np
import pyarrow as pa
import pytest
from PIL import Image, ImageEnhance, ImageOps

from curation.decontaminate import (
    REVIEWS,
    SAME_IMAGE,
    SAME_PAIR,
    SAME_TEXT,
    BenchmarkIndex,
    DecontaminateConfig,
    Hits,
    build_index,
    find_hits,
    read_index,
    with_originals,
    write_index,
)
from curation.matching.image_copies import image_set
from curation.matching.settings import ImageCopyConfig
from medsift import records
from medsift.storage.vectors import ContentVectors
from medsift.vocabulary import NEAR
from tests.expect import raises_code

LONG = "the report describes " + " ".join(f"finding{place}" for place in range(16))


def jpeg(image: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=40)
    return Image.open(io.BytesIO(buffer.getvalue())).convert("L")


ALTERATIONS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "jpeg": jpeg,
    "half": lambda image: image.resize((image.width // 2, image.height // 2)),
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.2),
}


def facts(pictures: dict[str, Image.Image]) -> pa.Table:
    lines = [
        {
            "image_id": name,
            "byte_hash": name,
            "ref": name,
            "phash": str(imagehash.phash(image)),
            "thumb": image.resize((64, 64), Image.Resampling.BOX).tobytes(),
        }
        for name, image in pictures.items()
    ]
    return pa.Table.from_pylist(lines, schema=records.IMAGES)


def alike(pictures: dict[str, Image.Image]) -> ContentVectors:
    """One vector for all: every two pictures are candidates and pixels alone decide."""
    return ContentVectors(list(pictures), np.tile(np.eye(1, 8, dtype="f4"), (len(pictures), 1)))


def sample(row: str, images: list[str], question: str, answer: str = "yes") -> dict[str, Any]:
    return {
        "sample_id": f"id-{row}",
        "row_id": row,
        "source": "s",
        "question": question,
        "answer": answer,
        "images": images,
    }


def table(lines: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(lines, schema=records.SAMPLES)


def index_of(
    lines: list[dict[str, Any]], pictures: dict[str, Image.Image], *, thumbs: bool = True
) -> BenchmarkIndex:
    made = facts(pictures)
    return build_index("bench", table(lines), made, alike(pictures), "e", gram=13, thumbs=thumbs)


def hits(
    lines: list[dict[str, Any]], pictures: dict[str, Image.Image], index: BenchmarkIndex
) -> Hits:
    pool = image_set(facts(pictures), alike(pictures))
    return find_hits(table(lines), pool, index, DecontaminateConfig(), ImageCopyConfig(), 0.85)


@pytest.fixture(scope="module")
def radiographs(vqa_rad: Path) -> dict[str, Image.Image]:
    files = sorted((vqa_rad / "images").glob("*.jpg"))
    return {path.stem: Image.open(path).convert("L") for path in files}


@pytest.mark.nightly
def test_altered_copies_of_benchmark_pictures_are_confirmed_and_nothing_else(
    radiographs: dict[str, Image.Image],
) -> None:
    held = dict(list(radiographs.items())[::4])
    others = {name: image for name, image in radiographs.items() if name not in held}
    planted = {
        f"{name}|{kind}": alter(image)
        for name, image in held.items()
        for kind, alter in ALTERATIONS.items()
    }
    mirrored = {f"{name}|mirror": ImageOps.mirror(image) for name, image in held.items()}
    pool = others | planted | mirrored
    bench = [sample(f"b{name}", [name], "What is shown?") for name in held]
    found = hits(
        [sample(name, [name], "Is it normal?") for name in pool], pool, index_of(bench, held)
    )
    confirmed = {row for row, verdict in found.worst.items() if verdict == SAME_IMAGE}
    assert len(confirmed & set(planted)) >= 0.95 * len(planted)
    assert len(confirmed - set(planted)) <= 0.01 * len(confirmed)
    assert not confirmed & set(mirrored)
    for line in found.leaks.to_pylist():
        if line["verdict"] == SAME_IMAGE:
            assert line["item_id"] == f"b{line['row_id'].split('|')[0]}"


def blob(seed: int) -> Image.Image:
    random = np.random.default_rng(seed)
    small = Image.fromarray(random.integers(0, 255, (20, 20), dtype=np.uint8))
    return small.resize((200, 200), Image.Resampling.BICUBIC)


def test_the_verdict_says_what_is_shared() -> None:
    pictures = {"a": blob(1), "b": blob(2), "a2": jpeg(blob(1))}
    bench = [sample("item", ["a"], "Is there a lesion?")]
    index = index_of(bench, {"a": pictures["a"]})
    pool = [
        sample("same", ["a"], "is there a LESION"),
        sample("image", ["a"], "What is the plane?"),
        sample("copy", ["a2"], "Is there a lesion?"),
        sample("other", ["b"], "Is there a lesion?"),
    ]
    found = hits(pool, pictures, index)
    assert found.worst == {"same": SAME_PAIR, "image": SAME_IMAGE, "copy": SAME_PAIR}
    kinds = {line["row_id"]: line["kind"] for line in found.leaks.to_pylist()}
    assert kinds == {"same": "same_image", "image": "same_image", "copy": "image_copy"}


def test_without_miniatures_only_equal_pixels_are_confirmed() -> None:
    pictures = {"a": blob(1), "a2": jpeg(blob(1))}
    index = index_of([sample("item", ["a"], "q?")], {"a": pictures["a"]}, thumbs=False)
    assert not index.confirms
    found = hits([sample("x", ["a"], "p?"), sample("y", ["a2"], "p?")], pictures, index)
    assert found.worst == {"x": SAME_IMAGE, "y": NEAR}


@pytest.mark.parametrize(
    ("question", "answer", "images", "verdict"),
    [
        ("What is said?", LONG, [], SAME_TEXT),
        ("what is SAID", LONG.upper(), ["b"], SAME_TEXT),
        # Nineteen words of which one differs share 15 of 21 runs of three: a long run is left.
        ("What is said?", LONG.replace("finding3", "nothing"), [], NEAR),
        ("What else?", f"Another beginning. {LONG}", ["b"], NEAR),
        ("What is said?", "something else altogether", [], None),
        ("Is there a lesion?", "yes", ["b"], None),
        ("Is there a lesion?", "yes", [], None),
    ],
)
def test_words_count_where_they_say_enough(
    question: str, answer: str, images: list[str], verdict: str | None
) -> None:
    pictures = {"a": blob(1), "b": blob(2)}
    bench = [
        sample("long", [], "What is said?", LONG),
        sample("short", ["a"], "Is there a lesion?", "yes"),
    ]
    index = index_of(bench, {"a": pictures["a"]})
    found = hits([sample("x", images, question, answer)], pictures, index)
    assert found.worst == ({} if verdict is None else {"x": verdict})


def test_a_short_text_without_a_picture_on_either_side_is_compared() -> None:
    index = index_of([sample("item", [], "What causes flu?", "a virus")], {})
    found = hits([sample("x", [], "what causes flu", "A virus.")], {}, index)
    assert found.worst == {"x": SAME_TEXT}


def test_the_order_of_pool_and_benchmark_decides_nothing() -> None:
    pictures = {f"p{seed}": blob(seed) for seed in range(6)}
    copies = {f"c{seed}": jpeg(blob(seed)) for seed in range(6)}
    bench = [sample(f"i{n}", [f"p{n % 6}"], f"question {n % 4}?") for n in range(12)]
    pool = [sample(f"x{n}", [f"c{n % 6}"], f"question {n % 5}?") for n in range(12)]
    one = hits(pool, copies, index_of(bench, pictures))
    turned = dict(reversed(list(copies.items())))
    other = hits(pool[::-1], turned, index_of(bench[::-1], dict(reversed(list(pictures.items())))))
    assert one.leaks.equals(other.leaks)
    assert one.leaks.num_rows == 12


def test_an_index_is_read_as_it_was_written(tmp_path: Path) -> None:
    pictures = {"a": blob(1)}
    index = index_of([sample("item", ["a"], "q?", LONG)], pictures)
    write_index(index, tmp_path / "index")
    again = read_index(tmp_path / "index", "e")
    assert (again.name, again.encoder) == ("bench", "e")
    assert again.items.equals(index.items)
    pool = [sample("x", ["a"], "q?")]
    assert hits(pool, pictures, again).leaks.equals(hits(pool, pictures, index).leaks)
    held = b"".join(path.read_bytes() for path in (tmp_path / "index").iterdir())
    assert b"finding3" not in held


def test_bad_indexes_are_refused_in_one_line(tmp_path: Path) -> None:
    with raises_code("benchmark_index_unreadable", path=str(tmp_path / "none")):
        read_index(tmp_path / "none", "e")
    with raises_code("benchmark_index_empty", benchmark="bench"):
        index_of([], {})
    write_index(index_of([sample("item", [], "q?", LONG)], {}), tmp_path / "index")
    with raises_code("benchmark_index_unfit", path=str(tmp_path / "index"), encoder="e"):
        read_index(tmp_path / "index", "f")
    (tmp_path / "index" / "items.parquet").write_bytes(b"cut")
    with raises_code("benchmark_index_unreadable", path=str(tmp_path / "index")):
        read_index(tmp_path / "index", "e")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "note.txt").write_text("mine")
    with raises_code("index_folder_in_the_way", path=str(tmp_path / "other")):
        write_index(index_of([sample("item", [], "q?", LONG)], {}), tmp_path / "other")


def shape(seed: int, grain: int) -> Image.Image:
    """A smooth picture by one seed with fine structure by another, which alone tells them apart."""
    coarse, fine = (
        Image.fromarray(np.random.default_rng(own).uniform(-1, 1, (cells, cells)).astype("f4"))
        for own, cells in ((seed, 7), (grain, 40))
    )
    size, cubic = (200, 200), Image.Resampling.BICUBIC
    mixed = 125 + 100 * np.asarray(coarse.resize(size, cubic)) + 15 * np.asarray(fine.resize(size))
    return Image.fromarray(np.clip(mixed, 0, 255).astype(np.uint8))


PICTURES = {"a": shape(1, 101), "b": shape(2, 102)}
BENCH = [
    sample("i2", ["a"], "Is there a lesion?"),
    sample("i1", ["a"], "What is the plane?"),
    sample("i3", ["b"], "Is it normal?"),
]
POOL = {
    "near": shape(1, 9),
    "copy": jpeg(shape(1, 101)),
    "other": shape(5, 105),
    "close": shape(2, 8),
}
ROWS = [
    sample("x2", ["near"], "Where?"),
    sample("x1", ["near"], "What?"),
    sample("y", ["copy"], "How?"),
    sample("z", ["other"], "Why?"),
    sample("w", ["close"], "Who?"),
]


@pytest.fixture(scope="module")
def index():
    return index_of(BENCH, PICTURES)


@pytest.fixture(scope="module")
def found(index):
    return hits(ROWS, POOL, index)


def test_a_pair_of_pictures_is_listed_once_with_how_many_show_them(found, index):
    assert found.worst == {"x1": NEAR, "x2": NEAR, "w": NEAR, "y": SAME_IMAGE}
    assert found.reviews.schema == REVIEWS
    lines = {line["image_id"]: line for line in found.reviews.to_pylist()}
    assert set(lines) == {"near", "close"}
    pair = lines["near"]
    assert (pair["row_id"], pair["samples"]) == ("x1", 2)
    assert (pair["item_id"], pair["item_image_id"], pair["items"]) == ("i1", "a", 2)
    assert (pair["benchmark"], pair["kind"], pair["verdict"]) == ("bench", "near_image", NEAR)
    assert pair["similarity"] == pair["correlation"] >= 0.97
    assert pair["cosine"] == pytest.approx(1.0)
    held = dict(
        zip(*(index.images[name].to_pylist() for name in ("image_id", "thumb")), strict=True)
    )
    assert pair["item_miniature"] == held["a"]


def test_the_most_similar_come_first_and_order_decides_nothing(found, index):
    values = found.reviews["similarity"].to_pylist()
    assert values == sorted(values, reverse=True)
    turned = dict(reversed(list(POOL.items())))
    other = index_of(BENCH[::-1], dict(reversed(list(PICTURES.items()))))
    assert hits(ROWS[::-1], turned, other).reviews.equals(found.reviews)


def test_every_row_that_is_near_and_undecided_is_on_the_list(found):
    shown = {row["row_id"]: row["images"][0] for row in ROWS}
    listed = set(found.reviews["image_id"].to_pylist())
    assert {shown[row] for row, verdict in found.worst.items() if verdict == NEAR} == listed


def test_without_miniatures_the_cosine_speaks():
    blind = index_of(BENCH, PICTURES, thumbs=False)
    lines = hits(ROWS, POOL, blind).reviews.to_pylist()
    # All vectors are alike here: every picture is near every one of the benchmark's.
    assert len(lines) == len(POOL) * len(PICTURES)
    assert all(line["correlation"] is None and line["item_miniature"] is None for line in lines)
    assert all(line["similarity"] == line["cosine"] for line in lines)


def test_a_long_run_of_words_is_listed_without_pictures():
    bench = index_of([sample("long", [], "What is said?", LONG)], {})
    pool = [sample("x", [], "What else?", f"Another beginning. {LONG}")]
    [line] = hits(pool, {}, bench).reviews.to_pylist()
    assert (line["row_id"], line["item_id"], line["kind"]) == ("x", "long", "long_run")
    assert (line["image_id"], line["item_image_id"], line["cosine"]) == (None, None, None)
    assert (line["samples"], line["items"]) == (1, 1)


def originals(refs=("/pictures/a.png", "/pictures/b.png")):
    lines = [line | {"refs": [refs["ab".index(line["images"][0])]]} for line in BENCH]
    return pa.Table.from_pylist(lines, schema=records.SAMPLES)


def test_the_benchmarks_own_run_gives_its_questions_and_pictures(found):
    lines = {
        line["image_id"]: line for line in with_originals(found.reviews, originals()).to_pylist()
    }
    assert lines["near"]["item_question"] == "What is the plane?"
    assert lines["near"]["item_ref"] == "/pictures/a.png"
    assert lines["close"]["item_ref"] == "/pictures/b.png"


def test_another_run_than_the_indexs_is_refused(found):
    others = [sample("i1", ["c"], "q?"), sample("i3", ["c"], "q?")]
    for rows in (others, []):
        with raises_code("benchmark_index_unfit", benchmark="bench") as caught:
            with_originals(found.reviews, table(rows))
        assert caught.value.values["item_id"] in found.reviews["item_id"].to_pylist()
