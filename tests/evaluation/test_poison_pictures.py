"""A picture of a benchmark that ends its decoder is an error of one line, and ends nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from curation.matching.same_pictures import find_same
from evaluation.inference import PictureReader
from tests.curation.poisoned_decoder import install, marked
from tests.expect import raises_code


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Two copies of a scene around one with the same pixels that crashes the decoder."""
    pixels = np.random.default_rng(3).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    orders = ("none", "crash", "none")
    paths = [tmp_path / f"{number}.png" for number in range(len(orders))]
    for path, order in zip(paths, orders, strict=True):
        path.write_bytes(marked(Image.fromarray(pixels), order))
    install(tmp_path / "site", monkeypatch)
    return paths


def test_it_is_refused_with_its_reason_and_others_are_read(pictures: list[Path]) -> None:
    read = PictureReader()
    first, poison, last = map(str, pictures)
    expected = np.asarray(Image.open(first))
    assert np.array_equal(np.asarray(read(first)), expected)
    with raises_code("image_decoder_crashed"):
        read(poison)
    assert np.array_equal(np.asarray(read(last)), expected)
    pictures[0].unlink()
    with raises_code("picture_changed", ref=first):
        read(first)


def test_copies_of_it_are_found_without_it(pictures: list[Path]) -> None:
    first, _, last = map(str, pictures)
    assert find_same(map(str, pictures)) == {
        first: find_same([last])[last],
        last: find_same([last])[last],
    }
