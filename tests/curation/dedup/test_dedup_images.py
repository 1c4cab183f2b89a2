from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import imagehash
import numpy as np
import pyarrow as pa
import pytest
from PIL import Image, ImageEnhance, ImageOps

from curation.matching.image_copies import Copies, ImageSet, find_copies, image_set, pair_similarity
from curation.matching.settings import ImageCopyConfig
from curation.neighbors import NeighborsConfig, Pairs, iter_hamming
from medsift import records
from medsift.storage.vectors import ContentVectors

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


def blob(seed: int, *, mirror_share: float = 0.0) -> Image.Image:
    random = np.random.default_rng(seed)
    small = Image.fromarray(random.integers(0, 255, (24, 24), dtype=np.uint8))
    pixels = np.asarray(small.resize((256, 256), Image.Resampling.BICUBIC)).astype(np.float64)
    pixels = (1 - mirror_share) * pixels + mirror_share * pixels[:, ::-1]
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def test_a_nearly_symmetric_picture_is_a_copy_of_itself_and_not_of_its_mirror_image() -> None:
    image = blob(3, mirror_share=0.46)
    pictures = {"a": image, "b": jpeg(image), "c": ImageOps.mirror(image)}
    pairs, found = copies_of(pictures, one_vector=True)
    assert pairs == {("a", "b")}
    assert found.mirrored == 2


SYMMETRIC_COPIES: dict[str, Callable[[Image.Image], Image.Image]] = {
    **{kind: ALTERATIONS[kind] for kind in ("jpeg", "half", "brighter", "rotated")},
    "noisy": lambda image: Image.fromarray(
        (np.asarray(image) + np.random.default_rng(1).normal(0, 6, (256, 256)))
        .clip(0, 255)
        .astype(np.uint8)
    ),
}


def disc() -> Image.Image:
    across = np.hypot(*(np.mgrid[:256, :256] - 127.5))
    return Image.fromarray(np.where(across < 80, 190, 10).astype(np.uint8))


@pytest.mark.parametrize("image", [disc(), *(blob(seed, mirror_share=0.5) for seed in range(4))])
def test_altered_copies_of_a_symmetric_picture_are_not_taken_for_mirrored(image) -> None:
    pictures = {kind: alter(image) for kind, alter in SYMMETRIC_COPIES.items()}
    pairs, found = copies_of({"original": image, **pictures}, one_vector=True)
    assert found.mirrored == 0
    assert pairs >= {tuple(sorted(("original", kind))) for kind in pictures}


def test_a_chain_of_copies_is_one_group_with_direct_pairs_only() -> None:
    image = blob(5)
    tilted = image.rotate(4, resample=Image.Resampling.BILINEAR)
    twice = image.rotate(8, resample=Image.Resampling.BILINEAR)
    pairs, found = copies_of({"a": image, "b": tilted, "c": twice, "d": blob(6)})
    assert pairs == {("a", "b"), ("b", "c")}
    assert found.group.tolist() == [0, 0, 0, 3]


def families(count: int, kinds: int) -> dict[str, Image.Image]:
    """Re-encodings at `count` qualities of a picture and of its crops."""

    def encoded(image: Image.Image, quality: int) -> Image.Image:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=quality)
        return Image.open(io.BytesIO(buffer.getvalue())).convert("L")

    image = blob(11)
    roots = [cropped(image, share, share, share, share) for share in (0.0, 0.05, 0.03)[:kinds]]
    return {
        f"{kind}|{quality}": encoded(root, quality)
        for kind, root in enumerate(roots)
        for quality in range(95 - count, 95)
    }


@pytest.mark.parametrize(("count", "kinds"), [(33, 2), (40, 2), (64, 2), (34, 3)])
@pytest.mark.parametrize("exact_up_to", [200_000, 1])
def test_families_of_many_copies_are_one_group(count: int, kinds: int, exact_up_to: int) -> None:
    images = pool(families(count, kinds) | {"other": blob(12)})
    found = find_copies(images, ImageCopyConfig(), NeighborsConfig(exact_up_to=exact_up_to))
    assert sorted(np.bincount(found.group)[np.unique(found.group)]) == [1, count * kinds]


def test_hashes_are_searched_exactly_past_the_limit_of_exact_search() -> None:
    random = np.random.default_rng(0)
    codes = random.integers(0, 2**63, 600, dtype=np.uint64)
    codes[300:] = codes[:300] ^ (np.uint64(1) << random.integers(0, 64, 300, dtype=np.uint64))
    apart = np.bitwise_count(codes[:, None] ^ codes)
    for distance in (0, 1, 16, 24):
        expected = {(a, b) for a, b in zip(*np.nonzero(apart <= distance), strict=True) if a < b}
        parts = list(iter_hamming(codes, distance))
        pairs = [pair for part in parts for pair in zip(part.left, part.right, strict=True)]
        assert len(pairs) == len(expected)
        assert set(pairs) == expected


@pytest.mark.parametrize("exact_up_to", [200_000, 1])
def test_pictures_of_one_view_are_searched_however_many_pairs_are_near(exact_up_to: int) -> None:
    pictures = {f"{seed}": blob(seed) for seed in range(40)} | {"copy": jpeg(blob(0))}
    images = pool(pictures, one_vector=True)
    few = NeighborsConfig(exact_up_to=exact_up_to, max_pairs=1, nprobe=1_000)
    found = find_copies(images, ImageCopyConfig(), few)
    assert found.candidates >= len(pictures) * (len(pictures) - 1) // 2
    pairs = zip(found.pairs.left.tolist(), found.pairs.right.tolist(), strict=True)
    assert [{images.ids[a], images.ids[b]} for a, b in pairs] == [{"0", "copy"}]


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
    images = image_set(records.IMAGES.empty_table(), ContentVectors([], np.zeros((0, 0), "f4")))
    assert len(find_copies(images, ImageCopyConfig(), NeighborsConfig()).pairs) == 0
