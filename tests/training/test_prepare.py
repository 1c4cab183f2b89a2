"""What stands ready before the first step, and what is refused there."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.expect import raises_code
from tests.training.conftest import MakeRun, asked, draw, recipe
from training.dataset.packing import Packer
from training.prepare import Prepared, prepare


@pytest.fixture
def run(make_run: MakeRun, tmp_path: Path) -> Path:
    """Two short samples, one long, one of no weight, on two pictures."""
    files = [draw(tmp_path / f"{k}.png", k) for k in range(2)]
    return make_run(
        [
            asked("is it clear?", "yes", files[0]),
            asked("which side?", "left", files[1], weight=3.0),
            asked("describe it.", "lung " * 200, files[0]),
            asked("and now?", "no", files[1], weight=0.0),
        ]
    )


def ready(made) -> Prepared:
    prepared = prepare(made)
    prepared.close()
    return prepared


def test_what_cannot_be_trained_on_is_in_the_ledger(run: Path, qwen: Path):
    prepared = ready(recipe(run, qwen, data={"max_tokens": 60}))
    assert {(drop.row_id[-1], drop.reason) for drop in prepared.dropped} == {
        ("2", "too_long"),
        ("3", "zero_weight"),
    }
    assert (prepared.dropped[0].value or 0) > prepared.dropped[0].threshold == 60
    assert len(prepared.training.encodings.samples) == 2
    assert prepared.training.plan.steps == 1


def test_one_example_is_shown_with_what_is_learned_marked(run: Path, qwen: Path, caplog):
    with caplog.at_level(logging.INFO, logger="training"):
        prepared = ready(recipe(run, qwen))
    assert prepared.example.endswith("<|im_start|>assistant\n⟦yes<|im_end|>⟧\n")
    assert prepared.example.count("<|image_pad|>") == 1
    assert prepared.example in caplog.text


def test_weights_multiply_the_loss_or_drive_the_draws(run: Path, qwen: Path):
    by_loss = ready(recipe(run, qwen)).training
    by_draws = ready(recipe(run, qwen, data={"weights": "sampling"})).training
    np.testing.assert_allclose(by_loss.encodings.weights[1] / by_loss.encodings.weights[0], 3.0)
    assert by_loss.plan.odds is None
    assert by_draws.encodings.weights.tolist() == [1.0, 1.0, 1.0]
    assert by_draws.plan.odds is not None
    assert by_draws.plan.odds[1] / by_draws.plan.odds[0] == pytest.approx(3.0)


def test_a_gpu_that_is_wanted_and_not_there(run: Path, qwen: Path):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with raises_code("gpu_missing", setting="workers.gpus"):
        prepare(recipe(run, qwen, workers={"gpus": True}))


def test_packing_is_tried_before_it_is_trusted(run: Path, qwen: Path, monkeypatch):
    assert ready(recipe(run, qwen, batches={"packing": True})).training.collator.packer is not None
    # A mask that hides nothing, as of a model that takes masks and does not keep to them.
    monkeypatch.setattr(
        Packer,
        "_mask",
        lambda self, owner: torch.ones(len(owner), len(owner)).bool().tril()[None, None],
    )
    with raises_code("packing_unsupported", model=str(qwen)):
        prepare(recipe(run, qwen, batches={"packing": True}))


def test_packing_is_tried_with_pictures_too(
    make_run: MakeRun, qwen: Path, tmp_path: Path, monkeypatch
):
    """The shortest samples of a mixed selection are text, whose places are numbered plainly."""
    files = [draw(tmp_path / f"{k}.png", k, 84, 84) for k in range(2)]
    texts = [asked("a?", "yes"), asked("b?", "no"), asked("c?", "no")]
    monkeypatch.setattr(Packer, "_positions", plain_positions)
    packed = {"batches": {"packing": True}}
    assert ready(recipe(make_run(texts, folder="texts"), qwen, **packed))
    for shown in (1, 2):
        pictures = [asked("is it clear?", "yes", one) for one in files[:shown]]
        run = make_run([*texts, *pictures], folder=f"mixed{shown}")
        with raises_code("packing_unsupported", model=str(qwen)):
            prepare(recipe(run, qwen, **packed))


def plain_positions(self: Packer, inputs) -> torch.Tensor:
    """Positions as of text, in all three dimensions."""
    shape = inputs["input_ids"].shape
    return torch.arange(shape[1]).expand(3, *shape)


def test_a_selection_counts_among_what_a_checkpoint_must_agree_with(
    make_run: MakeRun, run: Path, qwen: Path
):
    first = ready(recipe(run, qwen)).decisive
    assert ready(recipe(run, qwen)).decisive == first
    other = make_run([asked("is it clear?", "yes")], folder="other", name="fewer")
    changed = ready(recipe(other, qwen)).decisive
    assert {key for key in first if first[key] != changed[key]} == {"selection", "samples"}
