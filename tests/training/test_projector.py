"""The first stage: a projector that learns alone, results that name their parents, pairs seen."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from safetensors.torch import load_file

from medsift.manifest import query
from medsift.models.pretrained import PretrainedConfig
from medsift.vocabulary import LINEAGE_NAME
from tests.expect import raises_code
from tests.tiny_models import llava, saved
from tests.training.conftest import asked, draw, recipe, write_run
from training.dataset.batches import BatchPlan
from training.merge import merge
from training.model.base_model import load_base
from training.model.trainable import prepare_model, trained_parameters
from training.recipe import BatchesConfig, TrainingRecipe
from training.results.lineage import read_lineage
from training.run import Trained, train_here

QUICK: dict[str, Any] = {
    "optimiser": {"lr": 1e-2, "warmup_ratio": 0.0},
    "log": {"tensorboard": False},
    "checkpoints": {"interval_steps": 1},
    "steps": 2,
}


def of(changes: dict[str, Any]) -> TrainingRecipe:
    usual = {"name": "tiny", "run": "run", "base": {"kind": "embedded_vlm"}}
    return TrainingRecipe.model_validate(usual | changes)


def learning(folder: Path, **given: Any) -> set[str]:
    made = recipe(Path("run"), folder, trainable="projector", **given)
    base = load_base(made.base, "float32", full=False)
    return set(trained_parameters(prepare_model(base, made)))


def test_the_projector_of_each_architecture_learns_alone(qwen: Path, tmp_path: Path):
    other = Path(saved(llava(), tmp_path / "llava").model)
    for folder, part in ((qwen, "model.visual.merger."), (other, "model.multi_modal_projector.")):
        names = learning(folder)
        assert names
        assert all(name.startswith(part) for name in names)


def test_a_projector_that_is_not_known_is_named(qwen: Path, llama: Path):
    assert all(
        ".norm." in name
        for name in learning(qwen, lora={"modules_to_save": ["language_model.norm"]})
    )
    with raises_code("trainable_parts_invalid", setting="trainable"):
        learning(llama)


@pytest.mark.parametrize(
    "changes",
    [
        {"lora": {"full": True}},
        {"vision": "trained"},
        {"objective": "grpo"},
        {"base": {"kind": "embedded"}},
    ],
)
def test_a_projector_stage_refuses_what_trains_other_weights(changes: dict[str, Any]):
    with pytest.raises(ValidationError, match="projector"):
        of({"trainable": "projector"} | changes)


@pytest.fixture(scope="module")
def first(qwen: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A trained projector."""
    folder = tmp_path_factory.mktemp("stages")
    lines = [asked("Describe this image.", "noise", draw(folder / "a.png", 1, 56, 56))]
    run = write_run(folder / "run", lines)
    return train_here(recipe(run, qwen, name="first", trainable="projector", **QUICK))


def test_all_other_weights_of_the_result_are_those_of_the_base(qwen: Path, first: Trained):
    before = load_file(qwen / "model.safetensors")
    after = load_file(first.training.result / "model.safetensors")
    assert set(before) == set(after)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert all("merger" in name for name in changed)


def test_a_chain_of_trainings_names_its_parents(first: Trained, tmp_path: Path):
    result = first.training.result
    made = recipe(first.training.recipe.run, result, name="second", lora={"rank": 2}, **QUICK)
    second = train_here(made)
    merged = merge(second.training.result, tmp_path / "merged").folder
    third = train_here(recipe(made.run, merged, name="third", lora={"rank": 2}, **QUICK))
    ids = [one.training.training_id for one in (first, second, third)]
    lines = query(first.training.manifest, "SELECT training_id, parent FROM trainings").to_pylist()
    assert {line["training_id"]: line["parent"] for line in lines} == dict(
        zip(ids, [None, *ids[:2]], strict=True)
    )
    parents = read_lineage(third.training.result)["parents"]
    assert [parent["training_id"] for parent in parents] == [ids[1], ids[0]]


def test_the_times_of_a_result_are_no_part_of_its_identity(first: Trained, tmp_path: Path):
    copy = Path(shutil.copytree(first.training.result, tmp_path / "copy"))
    (copy / LINEAGE_NAME).write_text("{}", encoding="utf-8")
    same = [PretrainedConfig(model=str(one)).fingerprint() for one in (first.training.result, copy)]
    assert same[0] == same[1]


def test_a_recipe_of_before_keeps_its_identity():
    assert not {"trainable", "pairs"} & set(of({}).decisive())
    assert of({"pairs": 7}).decisive()["pairs"] == 7


@settings(deadline=None)
@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=30),
    st.integers(1, 200),
    st.integers(1, 6),
    st.booleans(),
)
def test_the_budget_in_pairs_is_met_by_the_last_batch(lengths, pairs, most, drawn):
    odds = np.linspace(1.0, 2.0, len(lengths)) if drawn else None
    config = BatchesConfig(max_samples=most, max_tokens=80)
    plan = BatchPlan(
        np.array(lengths, np.int64), config, 0, per_step=2, odds=odds, wanted_samples=pairs
    )
    seen = [len(batch.members) for step in range(plan.steps) for batch in plan.batches(step)]
    assert sum(seen[:-1]) < pairs <= sum(seen)


def test_steps_epochs_and_pairs_exclude_each_other():
    with pytest.raises(ValidationError, match="name one of"):
        of({"steps": 1, "pairs": 2})
