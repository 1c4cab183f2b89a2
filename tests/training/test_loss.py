"""The loss: as torch and transformers have it, and the same however a step is cut."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.expect import raises_code
from tests.training.conftest import asked, draw, write_run
from tests.training.test_collate import alone, lines
from training.dataset.batches import Batch
from training.dataset.chat_labels import ChatEncoder
from training.dataset.collate import Collator
from training.dataset.encode_dataset import encode_samples
from training.dataset.packing import Packer, check_packing
from training.dataset.samples import read_selection
from training.model.base_model import Base, PretrainedBase, load_base
from training.model.loss import Objective, step_weight


def collators(base: Base, run: Path) -> tuple[Collator, Collator]:
    """One that pads and one that packs."""
    samples = read_selection(run).samples
    encoder = ChatEncoder(base)
    weights = np.array([sample.weight for sample in samples])
    encodings = encode_samples(encoder, samples, weights, 512)
    return Collator(base, encoder, encodings), Collator(base, encoder, encodings, Packer(base))


@pytest.fixture(scope="module")
def seeing(qwen: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Base, Collator, Collator]:
    folder = tmp_path_factory.mktemp("seeing")
    base = load_base(PretrainedBase(model=str(qwen)), "float32", full=False)
    return base, *collators(base, write_run(folder / "run", lines(folder)))


def weight_of(collator: Collator, *batches: Batch) -> float:
    supervised = np.array([one.supervised for one in collator.encodings.encoded])
    return step_weight(batches, supervised, collator.encodings.weights)


def test_losses_are_those_of_the_whole_logits(seeing):
    base, collator, _ = seeing
    micro = collator(alone(0, 1, 2, 3))
    found = Objective(base.model, "cpu", "float32").losses(micro)
    logits = base.model(**micro.inputs).logits.log_softmax(-1)
    wanted = -logits[micro.rows, micro.positions, micro.targets]
    torch.testing.assert_close(found, wanted)
    labels = torch.full_like(micro.inputs["input_ids"], -100)
    labels[micro.rows, micro.positions + 1] = micro.targets
    theirs = base.model(**micro.inputs, labels=labels).loss
    torch.testing.assert_close(found.mean(), theirs)


def test_accumulating_four_batches_of_one_is_one_batch_of_four(seeing):
    base, collator, _ = seeing
    objective = Objective(base.model, "cpu", "float32")
    results = []
    for cut in (
        [alone(0, 1, 2, 3)],
        [alone(0), alone(1), alone(2), alone(3)],
        [alone(3, 1), alone(0, 2)],
    ):
        base.model.zero_grad()
        whole, loss = weight_of(collator, *cut), 0.0
        for batch in cut:
            part = objective.total(collator(batch)) / whole
            part.backward()
            loss += part.item()
        grads = {
            name: part.grad.clone()
            for name, part in base.model.named_parameters()
            if part.grad is not None
        }
        results.append((loss, grads))
    for loss, grads in results[1:]:
        assert loss == pytest.approx(results[0][0], rel=1e-6)
        torch.testing.assert_close(grads, results[0][1], rtol=1e-4, atol=1e-6)


def test_the_loss_is_the_weighted_mean_over_tokens(seeing):
    base, collator, _ = seeing
    objective = Objective(base.model, "cpu", "float32")
    batch = alone(0, 1, 2, 3)
    with torch.no_grad():
        loss = float(objective.total(collator(batch))) / weight_of(collator, batch)
        nlls = [objective.losses(collator(alone(place))).numpy() for place in range(4)]
    weights = [np.full(len(nll), w) for nll, w in zip(nlls, (2.0, 1.0, 0.5, 4.0), strict=True)]
    assert loss == pytest.approx(
        np.average(np.concatenate(nlls), weights=np.concatenate(weights)), rel=1e-5
    )
    assert weight_of(collator, batch, alone(0)._replace(counts=False)) == weight_of(collator, batch)


def test_packed_samples_have_the_losses_of_each_alone(seeing):
    base, padding, packing = seeing
    objective = Objective(base.model, "cpu", "float32")
    with torch.no_grad():
        for order in ((0, 1, 2, 3), (3, 2, 0), (2, 1)):
            micro = packing(Batch((order,)))
            assert micro.inputs["input_ids"].shape[0] == 1
            single = torch.cat([objective.losses(padding(alone(place))) for place in order])
            torch.testing.assert_close(objective.losses(micro), single, rtol=1e-4, atol=1e-5)
            assert torch.equal(
                micro.weights, torch.cat([padding(alone(place)).weights for place in order])
            )
            check_packing("q", objective.losses(micro).numpy(), single.numpy(), "float32")


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_text_packs_under_every_kernel_that_takes_a_mask(llama: Path, make_run, attention):
    config = PretrainedBase(model=str(llama), attention=attention)
    base = load_base(config, "float32", full=False)
    run = make_run([asked(f"what is {k}?", "left lung " * (k + 1)) for k in range(3)])
    padding, packing = collators(base, run)
    objective = Objective(base.model, "cpu", "float32")
    with torch.no_grad():
        packed = objective.losses(packing(Batch(((2, 0, 1),))))
        single = torch.cat([objective.losses(padding(alone(place))) for place in (2, 0, 1)])
    torch.testing.assert_close(packed, single, rtol=1e-4, atol=1e-5)


def test_a_model_that_lets_packed_samples_see_each_other_is_refused(seeing):
    base, padding, packing = seeing
    objective = Objective(base.model, "cpu", "float32")
    micro = packing(Batch(((0, 1),)))
    length = micro.inputs["input_ids"].shape[1]
    leaking = torch.ones(length, length, dtype=torch.bool).tril()[None, None]
    micro.inputs["attention_mask"] = leaking
    with torch.no_grad():
        packed = objective.losses(micro).numpy()
        single = torch.cat([objective.losses(padding(alone(k))) for k in (0, 1)]).numpy()
    with raises_code("packing_unsupported", model="q"):
        check_packing("q", packed, single, "float32")


def test_a_kernel_without_masks_is_refused(qwen_base: Base, monkeypatch):
    settings = qwen_base.model.config.get_text_config()
    monkeypatch.setattr(settings, "_attn_implementation_internal", "flash_attention_2")
    with raises_code("packing_unsupported", attention="flash_attention_2"):
        Packer(qwen_base)


def test_pictures_reach_the_loss(seeing, tmp_path: Path, make_run):
    base, collator, _ = seeing
    other, _ = collators(
        base,
        make_run([asked("is it clear?", "yes", draw(tmp_path / "x.png", 50, 28, 90))], folder="b"),
    )
    objective = Objective(base.model, "cpu", "float32")
    with torch.no_grad():
        here, there = objective.losses(collator(alone(0))), objective.losses(other(alone(0)))
    assert (here - there).abs().max() > 1e-3
