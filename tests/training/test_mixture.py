"""A mixture of sources, strata or tags: what it does to draws, gradients and the record."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from medsift.manifest import query
from medsift.records import TAGS
from tests.expect import raises_code
from tests.training.conftest import MakeRun, asked, recipe, write_run
from tests.training.test_loop import curve, final, session
from training.dataset.batches import Batch
from training.dataset.sample_weights import describe_mixture, sample_weights
from training.dataset.samples import read_selection
from training.model.loss import step_weight
from training.prepare import prepare
from training.recipe import DataConfig
from training.run import train_here

QUICK = {"lora": {"rank": 2}, "log": {"tensorboard": False}}


def lines(n: int = 12) -> list[dict]:
    """Samples with different weights, a quarter of them of the small source, about the lung."""
    return [
        asked(
            f"what is {k}?",
            "a lung" if k % 2 else "a large heart",
            weight=1.0 + k % 3,
            source="small" if k % 4 == 3 else "big",
            body_part="lung" if k % 4 == 3 else "heart",
        )
        for k in range(n)
    ]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("mixed") / "run", lines())


def data(**mixture) -> DataConfig:
    weights = mixture.pop("selection", "loss")
    return DataConfig.model_validate({"weights": weights, "mixture": mixture})


@pytest.mark.parametrize("selection", ["loss", "sampling", "none"])
@pytest.mark.parametrize("form", ["loss", "sampling", None])
def test_a_weight_multiplies_where_it_is_told_to(run: Path, selection: str, form: str | None):
    samples = read_selection(run).samples
    own = np.array([sample.weight for sample in samples])
    factor = np.array([3.0 if sample.tags["source"] == "small" else 1.0 for sample in samples])
    found = sample_weights(
        samples, data(selection=selection, by="source", weights={"small": 3.0}, **{"as": form})
    )
    wanted = {"loss": np.ones(len(own)), "sampling": np.ones(len(own))}
    if selection != "none":
        wanted[selection] = wanted[selection] * own
    wanted[form or (selection if selection != "none" else "loss")] *= factor
    np.testing.assert_allclose(found.loss, wanted["loss"] / wanted["loss"].mean())
    if (wanted["sampling"] == 1.0).all():
        assert found.odds is None
    else:
        assert found.odds is not None
        np.testing.assert_allclose(found.odds, wanted["sampling"] / wanted["sampling"].mean())


def test_draws_of_an_epoch_follow_the_weights_within_one(run: Path, llama: Path):
    mixture = {"by": "source", "weights": {"small": 3.0}, "as": "sampling"}
    made = recipe(run, llama, data={"weights": "none", "mixture": mixture}, epochs=3.0)
    prepared = prepare(made)
    prepared.close()
    plan, samples = prepared.training.plan, prepared.training.encodings.samples
    expected = {"small": 3 * 3.0, "big": 9 * 1.0}
    for epoch in range(3):
        batches = plan.make_epoch(epoch)
        members = [index for batch in batches for index in batch.members]
        assert len(members) == len(samples)
        drawn = Counter(samples[index].tags["source"] for index in members)
        for name, total in expected.items():
            assert abs(drawn[name] - 12 * total / 18.0) < 1.0 + 1e-9
        each = Counter(members)
        for index, sample in enumerate(samples):
            share = (3.0 if sample.tags["source"] == "small" else 1.0) / 18.0
            assert abs(each[index] - 12 * share) < 1.0


def test_loss_weights_scale_each_samples_gradient(run: Path, llama: Path):
    mixture = {"by": "source", "weights": {"small": 5.0}, "as": "loss"}
    made = recipe(run, llama, lora={"full": True}, data={"mixture": mixture})
    prepared = prepare(made)
    split, objective = prepared.training, prepared.objective
    batch = Batch(tuple((k,) for k in range(6)))
    parameters = [part for part in prepared.model.parameters() if part.requires_grad]

    def gradients(loss: torch.Tensor) -> torch.Tensor:
        parts = torch.autograd.grad(loss, parameters, allow_unused=True)
        return torch.cat([part.flatten() for part in parts if part is not None]).double()

    weight = step_weight([batch], split.supervised, split.encodings.weights)
    found = gradients(objective.total(split.collator(batch)) / weight)
    numerator, denominator = torch.zeros_like(found), 0.0
    for k in range(6):
        sample = split.encodings.samples[k]
        counts = sample.weight * (5.0 if sample.tags["source"] == "small" else 1.0)
        losses = objective.losses(split.collator(Batch(((k,),))))
        numerator += counts * gradients(losses.sum())
        denominator += counts * len(losses)
    prepared.close()
    torch.testing.assert_close(found, numerator / denominator, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("form", ["loss", "sampling"])
def test_weights_of_one_train_to_the_bits_of_no_mixture(
    run: Path, llama: Path, tmp_path: Path, form: str
):
    mixture = {"by": "source", "weights": {"small": 1.0, "big": 1.0}, "as": form}
    session(recipe(run, llama, steps=4, **QUICK), tmp_path / "without")
    session(recipe(run, llama, steps=4, data={"mixture": mixture}, **QUICK), tmp_path / "with")
    assert curve(tmp_path / "with") == curve(tmp_path / "without")
    assert final(tmp_path / "with") == final(tmp_path / "without")


def test_a_mixed_training_resumes_to_the_bit(run: Path, llama: Path, tmp_path: Path):
    mixture = {"by": "body_part", "weights": {"lung": 4.0}, "as": "sampling"}
    settings = QUICK | {"checkpoints": {"interval_steps": 1}, "batches": {"max_samples": 3}}
    made = recipe(run, llama, steps=5, data={"mixture": mixture}, **settings)

    def kill(line) -> None:
        if line.step == 3:
            raise KeyboardInterrupt

    session(made, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        session(made, tmp_path / "cut", watch=kill)
    session(made, tmp_path / "cut")
    assert curve(tmp_path / "cut") == curve(tmp_path / "whole")
    assert final(tmp_path / "cut") == final(tmp_path / "whole")


def test_the_manifest_says_what_the_mixture_made(llama: Path, tmp_path: Path):
    run = write_run(tmp_path / "run", lines())
    mixture = {"by": "source", "weights": {"small": 3.0}, "as": "sampling"}
    wanted = {"weights": "none", "mixture": mixture}
    train_here(recipe(run, llama, steps=1, data=wanted, **QUICK))
    train_here(recipe(run, llama, steps=1, name="plain", **QUICK))
    sql = "SELECT mixture FROM trainings ORDER BY mixture NULLS LAST"
    [mixed, plain] = query(run / "manifest.duckdb", sql)["mixture"].to_pylist()
    assert plain is None
    assert json.loads(mixed) == {
        "by": "source",
        "as": "sampling",
        "weights": {"small": 3.0},
        "shares": None,
        "samples": {"big": 9, "small": 3},
        "share": {"big": pytest.approx(0.5), "small": pytest.approx(0.5)},
    }


def test_shares_are_of_the_total_whatever_the_number_of_samples(run: Path):
    samples = read_selection(run).samples
    config = data(by="source", shares={"big": 1.0, "small": 3.0}, **{"as": "sampling"})
    made = describe_mixture(samples, sample_weights(samples, config), config)
    # Selection weights multiply the loss, and the mixture the odds: shares are of the odds.
    odds = sample_weights(samples, config).odds
    assert odds is not None
    small = np.array([sample.tags["source"] == "small" for sample in samples])
    assert odds[small].sum() / odds.sum() == pytest.approx(0.75)
    assert made is not None
    assert sum(made["share"].values()) == pytest.approx(1.0)


def test_names_that_the_selection_lacks_are_refused_with_the_nearest(make_run: MakeRun):
    samples = read_selection(make_run(lines(4))).samples
    for mixture in ({"weights": {"smal": 2.0}}, {"shares": {"smal": 2.0, "big": 1.0}}):
        with raises_code("mixture_unfit", nearest=["small"], allowed=["big", "small"]):
            sample_weights(samples, data(by="source", **mixture))
    for mixture in ({"by": "sources", "weights": {"a": 1}}, {"by": "source"}):
        with pytest.raises(ValueError, match=r"source|weights"):
            data(**mixture)
    assert "body_part" in TAGS
