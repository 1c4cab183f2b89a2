"""A training recipe is refused in one line that names the path, the value and what is allowed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import Any

import pytest
import yaml

from medsift import recipe_yaml
from tests.expect import raises_code
from training.recipe import TrainingRecipe, load_training

GOOD = """
name: tiny
run: medsift-runs/one
base: {kind: embedded}
"""

SHIPPED = sorted((Path(__file__).parents[2] / "recipes").glob("train_*.yaml"))


def parse(text: str, overrides: Sequence[str] = ()) -> TrainingRecipe:
    return recipe_yaml.parse(TrainingRecipe, text, overrides)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_recipe_names_a_benchmark(path: Path) -> None:
    assert load_training(path).benchmarks


@pytest.mark.parametrize(
    ("overrides", "path"),
    [
        (["lora.rnak=8"], "lora.rnak"),
        (["base.kind=vlm"], "base"),
        (["steps=10", "epochs=1"], "recipe"),
        (["early_stopping={}"], "recipe"),
        (["data.held_out={}"], "data.held_out"),
        (["data.held_out.share=0.1", "data.held_out.split=test"], "data.held_out"),
        (["lora.full=true", "lora.dora=true"], "lora"),
        (["lora.targets='('"], "lora.targets"),
        (["data.mixture.shares={a: 0}"], "data.mixture.shares"),
        (["data.mixture={by: hospital, shares: {a: 1}}"], "data.mixture.by"),
        (["data.mixture={shares: {a: 1}, weights: {a: 1}}"], "data.mixture"),
        (["data.mixture={weights: {a: 1}, as: both}"], "data.mixture.as"),
        (["optimiser.betas=[0.9, 1.0]"], "optimiser.betas"),
        (["workers={count: 2, min_count: 3}"], "workers"),
        (["lora.quantise=8bit"], "lora.quantise"),
    ],
)
def test_a_wrong_setting_is_refused_with_its_path_in_one_line(overrides, path):
    with raises_code("recipe_invalid", paths=[path]) as caught:
        parse(GOOD, overrides)
    assert "\n" not in str(caught.value)


def test_a_recipe_is_read_from_a_file_with_overrides(tmp_path: Path):
    path = tmp_path / "train.yaml"
    path.write_text(GOOD)
    recipe = load_training(path, ["lora.rank=4", "epochs=2"])
    assert (recipe.lora.rank, recipe.passes, recipe.selection) == (4, 2.0, None)
    assert parse(GOOD).passes == 1.0
    assert parse(GOOD, ["steps=3"]).passes is None
    assert parse(yaml.safe_dump(recipe.resolved())) == recipe


@pytest.mark.parametrize(
    ("override", "same"),
    [
        ("run=elsewhere", True),
        ("log.interval_steps=5", True),
        ("checkpoints.interval_steps=7", True),
        ("workers.gpus=false", True),
        ("workers.count=2", False),
        ("seed=1", False),
        ("lora.rank=4", False),
        ("data.max_pixels=100", False),
    ],
)
def test_places_and_logs_decide_nothing(override, same):
    plain, changed = parse(GOOD).decisive(), parse(GOOD, [override]).decisive()
    assert (plain == changed) is same


def test_two_workers_are_one_that_accumulates_twice():
    two = parse(GOOD, ["workers.count=2", "batches.grad_accumulation_steps=3"])
    one = parse(GOOD, ["batches.grad_accumulation_steps=6"])
    assert two.batches_per_step == one.batches_per_step == 6
    assert two.decisive() == one.decisive()


def test_the_projector_of_the_embedded_model_learns_unless_told_otherwise():
    assert parse(GOOD).modules_to_save == ()
    seeing = parse(GOOD, ["base.kind=embedded_vlm"])
    assert seeing.modules_to_save == ("multi_modal_projector",)
    none = parse(GOOD, ["base.kind=embedded_vlm", "lora.modules_to_save=[]"])
    assert none.modules_to_save == ()


RENAMED = {
    "lora.also": ("lora.modules_to_save", ["lm_head"]),
    "optimiser.also_lr": ("optimiser.modules_to_save_lr", 0.5),
    "optimiser.warmup": ("optimiser.warmup_ratio", 0.25),
    "optimiser.final": ("optimiser.min_lr_ratio", 0.125),
    "optimiser.clip": ("optimiser.max_grad_norm", 2.0),
    "batches.tokens": ("batches.max_tokens", 99),
    "batches.samples": ("batches.max_samples", 7),
    "batches.accumulation": ("batches.grad_accumulation_steps", 3),
    "data.held_out.every": ("data.held_out.interval_steps", 11),
    "checkpoints.every": ("checkpoints.interval_steps", 13),
    "early_stopping.delta": ("early_stopping.min_delta", 0.75),
    "log.every": ("log.interval_steps", 17),
}
"""Keys of earlier versions, their names today, and a value that is not the usual one."""


def settings_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a recipe's settings with these values at dotted paths."""
    settings = yaml.safe_load(GOOD) | {"data": {"held_out": {"share": 0.1}}, "early_stopping": {}}
    for path, value in values.items():
        *above, key = path.split(".")
        reduce(lambda group, name: group.setdefault(name, {}), above, settings)[key] = value
    return settings


@pytest.mark.parametrize("old", RENAMED)
def test_an_old_key_is_refused_with_its_name_today(old: str) -> None:
    today, value = RENAMED[old]
    with raises_code("recipe_invalid", paths=[old]) as caught:
        recipe_yaml.validated(TrainingRecipe, settings_of({old: value}))
    assert repr(today.rpartition(".")[2]) in str(caught.value)


def test_a_stored_recipe_of_an_earlier_version_is_the_same_training() -> None:
    stored = TrainingRecipe.from_stored(settings_of({old: v for old, (_, v) in RENAMED.items()}))
    named = TrainingRecipe.model_validate(settings_of(dict(RENAMED.values())))
    assert stored == named


def test_names_of_today_make_no_other_training() -> None:
    """Ids of trainings are digests of these names, so they stay those of the first version."""
    decisive = parse(GOOD, ["data.held_out.share=0.1", "early_stopping={}"]).decisive()
    assert set(decisive["batches"]) == {"tokens", "samples", "grouped", "packing"}
    assert {"also_lr", "warmup", "final", "clip"} < set(decisive["optimiser"])
    assert "also" in decisive["lora"]
    assert "every" in decisive["data"]["held_out"]
    assert set(decisive["early_stopping"]) == {"patience", "delta"}
