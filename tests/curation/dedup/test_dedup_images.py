from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import imagehash
import numpy as np
import pyarrow as pa
import pytest
from PIL import Image, ImageEnhance, ImageOps

from curation import records
from curation.dedup.config import ImageCopyConfig
from curation.dedup.images import Copies, ImageSet, find_copies, image_set, pair_similarity
from curation.neighbors import NeighborsConfig, Pairs
from curation.vectors import ContentVectors

SIDE = records.THUMB_SIDE


def jpeg(image: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=40)
    return Image.open(io.BytesIO(buffer.getvalue())).convert(image.mode)


def cropped(
    image: Image.Image, left: float, top: float, right: float, bottom: float
) -> Image.Image:
    w, h = image.size
    return image.crop((int(w * left), int(h * top), int(w * (1 - right)), int(h * (1 - bottom))))


ALTERATIONS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "jpeg": jpeg,
    "half": lambda image: image.resize((image.width // 2, image.height // 2)),
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.2),
    "crop_all": lambda image: cropped(image, 0.05, 0.05, 0.05, 0.05),
    "crop_corner": lambda image: cropped(image, 0.05, 0.05, 0, 0),
    "rotated": lambda image: image.rotate(3, resample=Image.Resampling.BILINEAR),
    "rotated_back": lambda image: image.rotate(-3, resample=Image.Resampling.BILINEAR),
}


def pool(pictures: dict[str, Image.Image], *, one_vector: bool = False) -> ImageSet:
    """Pictures by id: vectors all apart leave candidates to hashes, one vector makes all pairs."""
    lines = [
        {
            "image_id": name,
            "byte_hash": name,
            "ref": name,
            "phash": str(imagehash.phash(image)),
            "thumb": image.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX).tobytes(),
        }
        for name, image in pictures.items()
    ]
    vectors = np.eye(len(pictures), dtype=np.float32)
    if one_vector:
        vectors = np.tile(vectors[:1], (len(pictures), 1))
    table = pa.Table.from_pylist(lines, schema=records.IMAGES)
    return image_set(table, ContentVectors(list(pictures), vectors))


def copies_of(
    pictures: dict[str, Image.Image], *, one_vector: bool = False
) -> tuple[set[tuple[str, str]], Copies]:
    images = pool(pictures, one_vector=one_vector)
    found = find_copies(images, ImageCopyConfig(), NeighborsConfig())
    pairs = zip(found.pairs.left.tolist(), found.pairs.right.tolist(), strict=True)
    return {(images.ids[a], images.ids[b]) for a, b in pairs}, found


@pytest.fixture(scope="module")
def radiographs(vqa_rad: Path) -> dict[str, Image.Image]:
    files = sorted((vqa_rad / "images").glob("*.jpg"))
    return {path.stem: Image.open(path).convert("L") for path in files}


def test_no_two_of_the_real_images_are_copies(radiographs: dict[str, Image.Image]) -> None:
    pairs, found = copies_of(radiographs)
    assert len(radiographs) == 315
    assert found.candidates > 300
    assert pairs == set()


def test_altered_copies_of_real_images_are_found(radiographs: dict[str, Image.Image]) -> None:
    some = dict(list(radiographs.items())[::8])
    altered = {
        f"{name}|{kind}": alter(image)
        for name, image in some.items()
        for kind, alter in ALTERATIONS.items()
    }
    pairs, _ = copies_of({f"{name}|": image for name, image in some.items()} | altered)
    for one, other in pairs:
        assert one.split("|")[0] == other.split("|")[0]
    for kind in ALTERATIONS:
        found = sum((f"{name}|", f"{name}|{kind}") in pairs for name in some)
        assert found >= (0.8 if "crop" in kind else 0.95) * len(some), kind


@pytest.mark.parametrize("flip", [ImageOps.mirror, ImageOps.flip])
def test_a_mirrored_real_image_is_no_copy_even_when_it_is_a_candidate(
    radiographs: dict[str, Image.Image], flip: Callable[[Image.Image], Image.Image]
) -> None:
    some = dict(list(radiographs.items())[::5])
    both = {f"{name}|a": image for name, image in some.items()}
    both |= {f"{name}|b": flip(image) for name, image in some.items()}
    pairs, found = copies_of(both, one_vector=True)
    assert found.candidates >= len(both) * (len(both) - 1) // 2
    assert pairs == set()


def blob(seed: int, *, mirror_symmetric: bool = False) -> Image.Image:
    random = np.random.default_rng(seed)
    small = Image.fromarray(random.integers(0, 255, (24, 24), dtype=np.uint8))
    pixels = np.asarray(small.resize((256, 256), Image.Resampling.BICUBIC)).astype(np.float64)
    if mirror_symmetric:
        pixels = 0.49 * pixels + 0.51 * pixels[:, ::-1]
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def test_a_nearly_symmetric_picture_is_a_copy_of_itself_and_not_of_its_mirror_image() -> None:
    image = blob(3, mirror_symmetric=True)
    pictures = {"a": image, "b": jpeg(image), "c": ImageOps.mirror(image)}
    pairs, found = copies_of(pictures, one_vector=True)
    assert pairs == {("a", "b")}
    assert found.mirrored == 2


def test_a_chain_of_copies_is_one_group_with_direct_pairs_only() -> None:
    image = blob(5)
    tilted = image.rotate(4, resample=Image.Resampling.BILINEAR)
    twice = image.rotate(8, resample=Image.Resampling.BILINEAR)
    pairs, found = copies_of({"a": image, "b": tilted, "c": twice, "d": blob(6)})
    assert pairs == {("a", "b"), ("b", "c")}
    assert found.group.tolist() == [0, 0, 0, 3]


def test_similarity_of_pairs_is_one_for_equals_and_nan_for_strangers() -> None:
    pairs = Pairs(np.array([0, 1]), np.array([2, 3]), np.array([0.97, 0.96]))
    copies = Copies(pairs, np.array([0, 1, 0, 1]), 2, 0, 2, 0, 1.0, "exact")
    left, right = np.array([2, 0, 1, 3]), np.array([0, 1, 1, 1])
    assert pair_similarity(copies, left, right) == pytest.approx(
        [0.97, np.nan, 1.0, 0.96], nan_ok=True
    )


def test_flat_pictures_are_copies_of_nothing() -> None:
    flat = {name: Image.new("L", (64, 64), grey) for name, grey in (("a", 0), ("b", 128))}
    assert copies_of(flat)[0] == set()


def test_no_images_at_all_have_no_copies() -> None:
    images = image_set(records.empty(records.IMAGES), ContentVectors([], np.zeros((0, 0), "f4")))
    assert len(find_copies(images, ImageCopyConfig(), NeighborsConfig()).pairs) == 0
