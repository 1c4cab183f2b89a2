"""Batches as tensors: padding, places of what is learned, weights, pictures that vanish."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from medsift.errors import StorageError
from tests.expect import raises_code
from tests.training.conftest import asked, draw, write_run
from training.dataset.batches import Batch
from training.dataset.chat_labels import ChatEncoder
from training.dataset.collate import Collator, prefetch
from training.dataset.encode_dataset import encode_samples
from training.dataset.samples import read_selection
from training.model.base_model import Base


def lines(tmp_path: Path) -> list[dict]:
    """Samples with no, one and two pictures of several sizes."""
    files = [draw(tmp_path / f"{k}.png", k, 28 + 30 * k, 90 - 20 * k) for k in range(3)]
    two = [
        ("user", "<image>and <image>?"),
        ("assistant", "same"),
        ("user", "?"),
        ("assistant", "no"),
    ]
    return [
        asked("is it clear?", "yes", files[0], weight=2.0),
        asked("what is the modality?", "computed tomography", files[1], weight=1.0),
        asked("is a lung an organ?", "yes", weight=0.5),
        {"turns": two, "pictures": (files[1], files[2]), "weight": 4.0},
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("collate")


@pytest.fixture(scope="module")
def collator(folder: Path, qwen_base: Base) -> Collator:
    samples = read_selection(write_run(folder / "run", lines(folder))).samples
    encoder = ChatEncoder(qwen_base)
    weights = np.array([sample.weight for sample in samples])
    return Collator(qwen_base, encoder, encode_samples(encoder, samples, weights, 512))


def alone(*places: int) -> Batch:
    return Batch(tuple((place,) for place in places))


def test_a_batch_holds_what_its_samples_hold_alone(collator: Collator):
    together = collator(alone(0, 1, 2, 3))
    singles = [collator(alone(place)) for place in range(4)]
    assert torch.equal(together.targets, torch.cat([one.targets for one in singles]))
    assert torch.equal(together.weights, torch.cat([one.weights for one in singles]))
    pixels = torch.cat(
        [one.inputs["pixel_values"] for one in singles if "pixel_values" in one.inputs]
    )
    assert torch.equal(together.inputs["pixel_values"], pixels)
    ids = together.inputs["input_ids"]
    assert torch.equal(ids[together.rows, together.positions + 1], together.targets)
    for row, one in enumerate(singles):
        length = one.inputs["input_ids"].shape[1]
        assert torch.equal(ids[row, :length], one.inputs["input_ids"][0])
        assert not together.inputs["attention_mask"][row, length:].any()


def test_every_learned_token_weighs_as_its_sample(collator: Collator):
    micro = collator(alone(2, 3))
    encoded = collator.encodings.encoded
    expected = [0.5] * encoded[2].supervised + [4.0] * encoded[3].supervised
    assert micro.weights.tolist() == expected
    tokens = int(micro.inputs["attention_mask"].sum())
    assert tokens == encoded[2].length + encoded[3].length


def test_a_batch_that_does_not_count_weighs_nothing(collator: Collator):
    micro = collator(alone(0)._replace(counts=False))
    assert len(micro.weights) > 0
    assert not micro.weights.any()


def test_a_picture_that_vanishes_or_changes_stops_with_one_line(collator: Collator, folder: Path):
    collator.picture.cache_clear()
    (folder / "0.png").unlink()
    with raises_code("picture_changed", ref=str(folder / "0.png")):
        collator(alone(0))
    draw(folder / "1.png", 77)
    with raises_code("picture_changed", ref=str(folder / "1.png")):
        collator(alone(1))


def test_feeding_keeps_the_order_and_raises_where_it_belongs():
    def make(batch: Batch):
        if batch.members == [4]:
            raise StorageError("gone", code="picture_changed")
        return batch.members[0]

    source = prefetch(make, [alone(place) for place in range(8)])
    assert [next(source).micro for _ in range(4)] == [0, 1, 2, 3]
    with pytest.raises(StorageError):
        next(source)
    assert [fed.micro for fed in prefetch(make, [alone(1), alone(2)])] == [1, 2]
