"""Altered pictures of a benchmark are listed, whatever the encoder; other pictures are not."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagehash
import numpy as np
import pyarrow as pa
import pytest
from PIL import Image, ImageDraw, ImageFilter, ImageFont, ImageOps

from curation.decontaminate import DecontaminateConfig, Hits, build_index, find_hits, images, placed
from curation.decontaminate.earlier_matches import PictureMatches
from curation.decontaminate.placed import find_placed
from curation.decontaminate.placements import contents
from curation.matching.image_copies import ImageSet, image_set
from curation.matching.settings import ImageCopyConfig
from curation.phantoms.cases import draw_case
from curation.phantoms.images import paint, to_bytes
from medsift import records
from medsift.storage.vectors import ContentVectors
from medsift.vocabulary import NEAR

Picture = Image.Image
LEAST = DecontaminateConfig().near_likeness
MOST = DecontaminateConfig().near_candidates


def cropped(image: Picture, left: float, top: float, right: float, bottom: float) -> Picture:
    w, h = image.size
    return image.crop((int(w * left), int(h * top), int(w * (1 - right)), int(h * (1 - bottom))))


def padded(image: Picture, share: float, grey: int) -> Picture:
    return ImageOps.expand(image, int(max(image.size) * share), grey)


def jpeg(image: Picture) -> Picture:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=20)
    return Image.open(io.BytesIO(buffer.getvalue())).convert("L")


def curve(image: Picture, level: Callable[[float], float]) -> Picture:
    return image.point([round(255 * min(max(level(grey / 255), 0), 1)) for grey in range(256)])


def annotated(image: Picture) -> Picture:
    made = image.copy()
    draw, (w, h) = ImageDraw.Draw(made), image.size
    draw.line((w * 0.25, h * 0.3, w * 0.45, h * 0.45), fill=255, width=max(2, w // 100))
    font = ImageFont.load_default(size=max(10, h // 24))
    draw.text((w * 0.05, h * 0.9), "SERIES 4 IMAGE 12", fill=255, font=font)
    draw.rectangle((w * 0.55, h * 0.5, w * 0.75, h * 0.65), outline=255, width=max(2, w // 150))
    return made


def noisy(image: Picture) -> Picture:
    random = np.random.default_rng(image.width)
    pixels = np.asarray(image, float) + random.normal(0, 20, (image.height, image.width))
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def beside(image: Picture, across: int, down: int, at: int) -> Picture:
    """The picture as one of a sheet of other ones."""
    w, h = image.size
    sheet = Image.new("L", (w * across, h * down))
    for place in range(across * down):
        other = blob(place).resize((w, h))
        sheet.paste(image if place == at else other, (place % across * w, place // across * h))
    return sheet


def blob(seed: int) -> Picture:
    random = np.random.default_rng(seed)
    small = Image.fromarray(random.integers(0, 255, (20, 20), dtype=np.uint8))
    return small.resize((200, 200), Image.Resampling.BICUBIC)


ALTERATIONS: dict[str, Callable[[Picture], Picture]] = {
    "jpeg": jpeg,
    "resized": lambda image: image.resize((image.width // 3, image.height // 2)),
    "blurred": lambda image: image.filter(ImageFilter.GaussianBlur(max(image.size) / 200)),
    "noisy": noisy,
    "gamma": lambda image: curve(image, lambda level: level**0.5),
    "window": lambda image: curve(image, lambda level: level * 1.9),
    "inverted": ImageOps.invert,
    "cropped": lambda image: cropped(image, 0.12, 0.12, 0.12, 0.12),
    "cropped much": lambda image: cropped(image, 0.2, 0.2, 0.2, 0.2),
    "padded": lambda image: padded(image, 0.2, 0),
    "framed": lambda image: padded(image, 0.1, 255),
    "tilted": lambda image: image.rotate(8, Image.Resampling.BICUBIC),
    "quarter turn": lambda image: image.rotate(90, expand=True),
    "half turn": lambda image: image.rotate(180),
    "mirrored": ImageOps.mirror,
    "annotated": annotated,
    "side by side": lambda image: beside(image, 2, 1, 0),
    "one of four": lambda image: beside(image, 2, 2, 3),
    "cropped and inverted": lambda image: ImageOps.invert(cropped(image, 0.1, 0.1, 0.1, 0.1)),
}


def thumb(image: Picture) -> np.ndarray[Any, np.dtype[np.uint8]]:
    side = records.THUMB_SIDE
    return np.asarray(image.resize((side, side), Image.Resampling.BOX))


def facts(pictures: dict[str, Picture]) -> pa.Table:
    lines = [
        {
            "image_id": name,
            "byte_hash": name,
            "ref": name,
            "phash": str(imagehash.phash(image)),
            "thumb": thumb(image).tobytes(),
        }
        for name, image in pictures.items()
    ]
    return pa.Table.from_pylist(lines, schema=records.IMAGES)


def strangers(pictures: dict[str, Picture], *, axis: int) -> ContentVectors:
    """Vectors that are alike for no picture of a pool and no picture of a benchmark."""
    return ContentVectors(
        list(pictures), np.tile(np.eye(1, 2, axis, dtype="f4"), (len(pictures), 1))
    )


def samples(pictures: dict[str, Picture]) -> pa.Table:
    lines = [
        {
            "sample_id": f"id-{name}",
            "row_id": name,
            "source": "s",
            "question": "What is shown?",
            "answer": "yes",
            "images": [name],
        }
        for name in pictures
    ]
    return pa.Table.from_pylist(lines, schema=records.SAMPLES)


def hits(pool: dict[str, Picture], bench: dict[str, Picture]) -> Hits:
    index = build_index(
        "bench", samples(bench), facts(bench), strangers(bench, axis=0), "e", gram=13
    )
    mine = image_set(facts(pool), strangers(pool, axis=1))
    return find_hits(samples(pool), mine, index, DecontaminateConfig(), ImageCopyConfig(), 0.85)


@pytest.fixture(scope="module")
def halves(vqa_rad: Path) -> tuple[dict[str, Picture], dict[str, Picture]]:
    """VQA-RAD's pictures, of one case each but for two: every second one is the benchmark's."""
    files = sorted((vqa_rad / "images").glob("*.jpg"))
    pictures = {path.stem: Image.open(path).convert("L") for path in files}
    return dict(list(pictures.items())[::2]), dict(list(pictures.items())[1::2])


@pytest.mark.nightly
def test_altered_real_pictures_are_listed_without_help_of_an_encoder(halves) -> None:
    bench = dict(list(halves[0].items())[::5])
    pool = {
        f"{name}|{kind}": alter(image)
        for name, image in bench.items()
        for kind, alter in ALTERATIONS.items()
    }
    found = hits(pool, bench)
    listed = {(line["row_id"], line["item_id"]) for line in found.leaks.to_pylist()}
    missed = sorted(row for row in pool if (row, row.split("|")[0]) not in listed)
    assert len(missed) <= 0.01 * len(pool), missed
    confirmed = {
        (line["row_id"], line["item_id"])
        for line in found.leaks.to_pylist()
        if line["verdict"] != NEAR
    }
    assert all(row.split("|")[0] == item for row, item in confirmed)
    assert not any("mirrored" in row for row, _ in confirmed)


@pytest.mark.nightly
def test_few_of_other_real_pictures_are_listed(halves) -> None:
    bench, pool = halves
    found = hits(pool, bench)
    assert len(found.worst) <= 0.02 * len(pool)
    assert set(found.worst.values()) <= {NEAR}


def phantoms(modalities: set[str], count: int) -> list[Picture]:
    cases = [
        case for case in (draw_case(5, at) for at in range(count)) if case.modality in modalities
    ]
    return [Image.fromarray(to_bytes(paint(case, 5))) for case in cases]


def test_altered_phantoms_are_listed() -> None:
    originals = phantoms({"ct", "xray", "mr", "us"}, 8)
    kinds = list(ALTERATIONS.values())
    bench = np.stack([thumb(image) for image in originals])
    pool = np.stack([thumb(alter(image)) for image in originals for alter in kinds])
    found = find_placed(pool, bench, LEAST, MOST)
    listed = set(zip(found.left.tolist(), found.right.tolist(), strict=True))
    wanted = {(row, row // len(kinds)) for row in range(len(pool))}
    assert len(wanted - listed) <= 0.01 * len(pool)


def test_other_patients_in_one_view_are_rarely_listed() -> None:
    pictures = np.stack([thumb(image) for image in phantoms({"xray", "mr", "us"}, 80)])
    found = find_placed(pictures[::2], pictures[1::2], LEAST, MOST)
    assert len(np.unique(found.left)) <= 0.02 * len(pictures[::2])


def test_blocks_and_tiles_decide_nothing(monkeypatch) -> None:
    pool = np.stack([thumb(cropped(blob(seed), 0.1, 0, 0, 0.1)) for seed in range(9)])
    bench = np.stack([thumb(blob(seed)) for seed in range(12)])
    whole = find_placed(pool, bench, 0.5, 3)
    monkeypatch.setattr(placed, "POOL_AT_A_TIME", 2)
    monkeypatch.setattr(placed, "BENCHMARK_AT_A_TIME", 5)
    tiled = find_placed(pool, bench, 0.5, 3)
    one, other = (
        {
            (left, right): likeness
            for left, right, likeness in zip(
                found.left.tolist(), found.right.tolist(), found.likeness.tolist(), strict=True
            )
        }
        for found in (whole, tiled)
    )
    assert one
    assert other == pytest.approx(one, abs=1e-4)


def test_near_pairs_are_looked_at_a_bounded_number_at_a_time(monkeypatch) -> None:
    pictures = {f"{seed}": blob(seed) for seed in range(9)}
    vectors = strangers(pictures, axis=0)
    index = build_index("bench", samples(pictures), facts(pictures), vectors, "e", gram=13)
    mine = image_set(facts(pictures), vectors)

    def matched() -> set[tuple[int, int]]:
        found = images.match_images(mine, index, ImageCopyConfig(), DecontaminateConfig())
        return set(zip(found.left.tolist(), found.right.tolist(), strict=True))

    whole, sizes = matched(), []
    correlate = images.correlate
    monkeypatch.setattr(images, "PAIRS_AT_A_TIME", 18)
    monkeypatch.setattr(
        images, "correlate", lambda glance, some: sizes.append(len(some)) or correlate(glance, some)
    )
    assert matched() == whole >= {(row, row) for row in range(9)}
    assert max(sizes) == 18
    assert sum(sizes) >= 81


def test_flat_pictures_lie_in_nothing() -> None:
    flat = np.full((2, 64, 64), 90, np.uint8)
    assert not len(find_placed(flat, np.stack([thumb(blob(1))]), LEAST, MOST).left)
    assert not len(find_placed(flat, flat, LEAST, MOST).left)
    assert not len(find_placed(flat[:0], flat, LEAST, MOST).left)


def test_the_content_of_a_page_is_what_stands_on_it() -> None:
    page = np.full((64, 64), 255, np.uint8)
    page[8:56, 16:48] = np.random.default_rng(0).integers(60, 200, (48, 32))
    for content in contents(page):
        assert [content[0][0], content[1][1]] == pytest.approx([0.5, 0.75], abs=6 / 64)
        assert [content[0][2], content[1][2]] == pytest.approx([0.0, 0.0], abs=4 / 64)


def test_pictures_that_are_compared_in_parts_meet_what_all_at_once_meet(monkeypatch) -> None:
    draw = np.random.default_rng(4)
    originals = {f"b{seed:02d}": blob(seed) for seed in range(6)}
    vectors = strangers(originals, axis=0)
    index = build_index("bench", samples(originals), facts(originals), vectors, "e", gram=13)
    kinds = list(ALTERATIONS.values())
    pictures = {
        f"{name}-{place}": kinds[place % len(kinds)](image)
        for place, (name, image) in enumerate([*originals.items()] * 3)
    } | {f"s{seed}": blob(100 + seed) for seed in range(6)} | {"b00": originals["b00"]}  # fmt: skip
    rules = ImageCopyConfig(), DecontaminateConfig()

    def pool(names: list[str]) -> ImageSet:
        some = {name: pictures[name] for name in names}
        return image_set(facts(some), strangers(some, axis=0))

    def hits(names: list[str], earlier: PictureMatches | None) -> tuple[set, PictureMatches]:
        mine = pool(names)
        found, left = images.compare_images(mine, index, *rules, earlier)
        columns = [found.left, found.right, found.confirmed, found.exact, found.similarity.round(3)]
        lines = zip(*(column.tolist() for column in columns), strict=True)
        return {(mine.ids[line[0]], *line[1:]) for line in lines}, left

    names = list(pictures)
    whole, _ = hits(names, None)
    assert {line[2] for line in whole} == {True, False}
    looked: list[int] = []
    real = images.find_placed
    monkeypatch.setattr(
        images, "find_placed", lambda mine, *more: looked.append(len(mine)) or real(mine, *more)
    )
    earlier, known = None, set()
    for size in (7, 15, len(names)):
        # Some of the earlier pictures may be gone again.
        some = [str(name) for name in draw.permutation(names)[:size]]
        found, earlier = hits(some, earlier)
        assert looked[-1] == len(set(some) - known)
        assert found == hits(some, None)[0]
        looked.pop()
        known = set(some)
    assert found == whole
