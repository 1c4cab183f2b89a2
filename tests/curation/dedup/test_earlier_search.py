"""A search that continues an earlier one finds what a search of everything finds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.matching.image_copies import Copies, ImageSet, find_copies
from curation.matching.settings import ImageCopyConfig
from curation.neighbors import NeighborsConfig, Pairs, iter_hamming, iter_pairs, join_pairs

CONFIG = ImageCopyConfig(candidates_per_image=3)


def pictures(count: int, seed: int) -> ImageSet:
    """Return pictures of few originals, each with altered copies, mirror images and strangers."""
    draw = np.random.default_rng(seed)
    scenes = draw.integers(0, 256, (4, 8, 8)).repeat(8, axis=1).repeat(8, axis=2).astype(float)
    vectors, thumbs, hashes = [], [], []
    directions = draw.normal(size=(4, 16))
    for _ in range(count):
        scene = int(draw.integers(4))
        pixels = scenes[scene] + draw.normal(0, draw.choice([1.0, 3.0, 60.0]), (64, 64))
        if draw.random() < 0.2:
            pixels = pixels[:, ::-1]
        vector = directions[scene] + draw.normal(0, draw.choice([0.05, 0.2]), 16)
        thumbs.append(np.clip(pixels, 0, 255).astype(np.uint8).tobytes())
        vectors.append(vector / np.linalg.norm(vector))
        hashes.append(f"{(scene * 0x1111111111111111) ^ (1 << int(draw.integers(64))):016x}")
    ids = [f"{place:04d}" for place in draw.permutation(count)]
    order = np.argsort(ids)
    return ImageSet.of(
        [ids[at] for at in order],
        [hashes[at] for at in order],
        [thumbs[at] for at in order],
        np.array(vectors, np.float32)[order],
    )


def some(images: ImageSet, places: np.ndarray) -> ImageSet:
    return ImageSet(
        [images.ids[at] for at in places],
        images.codes[places],
        images.thumbs[places],
        images.vectors[places],
    )


def assert_same(found: Copies, expected: Copies) -> None:
    """Compare everything but rounding: a pair is compared in another batch."""
    for name in ("left", "right"):
        assert getattr(found.pairs, name).tolist() == getattr(expected.pairs, name).tolist()
    np.testing.assert_allclose(found.pairs.similarity, expected.pairs.similarity, atol=1e-5)
    assert found.group.tolist() == expected.group.tolist()
    for name in ("candidates", "left_out", "compared", "mirrored", "recall", "method"):
        assert getattr(found, name) == getattr(expected, name), name


@pytest.mark.parametrize("exact_up_to", [0, 1000])
@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 10_000), steps=st.integers(1, 3))
def test_pictures_that_are_added_in_any_steps_and_order_give_the_same_copies(
    exact_up_to, seed, steps
):
    draw = np.random.default_rng(seed)
    images = pictures(40, seed)
    neighbors = NeighborsConfig(exact_up_to=exact_up_to, tile=16, nprobe=1000)
    order = draw.permutation(40)
    earlier = None
    for stop in [*sorted(draw.integers(1, 40, steps).tolist()), 40]:
        part = some(images, np.sort(order[:stop]))
        found = find_copies(part, CONFIG, neighbors, earlier=earlier)
        earlier = found.search
    assert_same(found, find_copies(images, CONFIG, neighbors))


def test_with_a_picture_gone_the_search_is_made_anew():
    images = pictures(30, 1)
    before = find_copies(images, CONFIG, NeighborsConfig())
    left = some(images, np.arange(5, 30))
    found = find_copies(left, CONFIG, NeighborsConfig(), earlier=before.search)
    assert_same(found, find_copies(left, CONFIG, NeighborsConfig()))


def test_old_pictures_are_not_compared_with_each_other_again(monkeypatch):
    images = pictures(40, 2)
    old = some(images, np.arange(0, 40, 2))
    before = find_copies(old, CONFIG, NeighborsConfig())
    compared = []

    def counted(thumbs, left, right, flip=()):
        compared.extend(zip(left.tolist(), right.tolist(), strict=True))
        return agree(thumbs, left, right, flip)

    from curation.matching.image_copies import agree

    monkeypatch.setattr("curation.matching.image_copies.agree", counted)
    config = ImageCopyConfig(candidates_per_image=40)  # without a second round for large families
    before = find_copies(old, config, NeighborsConfig())
    compared.clear()
    find_copies(images, config, NeighborsConfig(), earlier=before.search)
    assert compared
    assert [pair for pair in compared if pair[0] % 2 == pair[1] % 2 == 0] == []


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), rows=st.integers(0, 60), share=st.floats(0, 1))
def test_pairs_with_a_fresh_row_are_all_pairs_but_those_of_old_rows(seed, rows, share):
    draw = np.random.default_rng(seed)
    vectors = draw.normal(size=(rows, 8)).astype(np.float32)
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    vectors[draw.random(rows) < 0.1] = 0.0
    codes = draw.integers(0, 2**63, rows, dtype=np.uint64) & np.uint64(0xFF)
    fresh = draw.random(rows) < share
    searches = {
        "cosine": lambda which: iter_pairs(vectors, 0.3, tile=16, fresh=which),
        "hash": lambda which: iter_hamming(codes, 3, which),
    }
    for search in searches.values():
        every, found = join_pairs(search(None)), join_pairs(search(fresh))
        expected = every.where(fresh[every.left] | fresh[every.right])
        assert_pairs(found, expected)


def assert_pairs(found: Pairs, expected: Pairs) -> None:
    for name in Pairs.__slots__:
        assert getattr(found, name).tolist() == getattr(expected, name).tolist()
