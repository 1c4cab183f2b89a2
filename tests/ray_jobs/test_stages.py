"""Stages: each training starts from the last one's result, all in one manifest, and again."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

import medsift as ms
from medsift.manifest import query
from ray_jobs.actions.stages import MERGED, choose_questions
from ray_jobs.cli_args import shipped
from ray_jobs.stages.recipe import StagesRecipe, load_stages
from tests.expect import raises_code
from tests.tiny_models import qwen, saved
from tests.training.conftest import asked, draw, write_run

QUICK: dict[str, Any] = {
    "selection": "chosen",
    "steps": 2,
    "lora": {"rank": 2},
    "optimiser": {"lr": 1e-2},
    "checkpoints": {"interval_steps": 1},
    "log": {"tensorboard": False},
}
PROJECTOR = {"name": "first", "train": QUICK | {"trainable": "projector"}}
ADAPTERS = {"name": "second", "train": QUICK}


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("stages")
    tags = {"answer_type": "closed", "task_type": "presence", "modality": "ct"}
    lines = [
        asked(f"is {at} clear?", "yes", draw(folder / f"{at}.png", at), **tags) for at in range(4)
    ]
    saved(qwen(), folder / "model")
    run = write_run(folder / "run", lines)
    base = {"kind": "transformers", "model": str(folder / "model")}
    return {"name": "small", "run": str(run), "base": base, "stages": [PROJECTOR, ADAPTERS]}


def test_every_stage_starts_from_the_one_before_and_a_repeated_command_goes_on(settings):
    begun = ms.stages(settings)
    last = {"name": "third", "train": QUICK}
    whole = ms.stages(settings | {"stages": [PROJECTOR, ADAPTERS, last]})
    assert [one.reused for one in whole.trained] == [True, True, False]
    ids = [one.training.training_id for one in whole.trained]
    assert ids[:2] == [one.training.training_id for one in begun.trained]
    lines = query(whole.run / "manifest.duckdb", "SELECT training_id, parent FROM trainings")
    assert {line["training_id"]: line["parent"] for line in lines.to_pylist()} == dict(
        zip(ids, [None, *ids[:2]], strict=True)
    )
    # An adapter is merged only where a later stage starts from it.
    merged = [(one.training.folder / MERGED).is_dir() for one in whole.trained]
    assert merged == [False, True, False]
    again = ms.stages(settings | {"stages": [PROJECTOR, ADAPTERS, last]})
    assert all(one.reused for one in again.trained)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"stages": [PROJECTOR, PROJECTOR]}, "two stages"),
        ({"stages": [{"name": "x"}]}, "either train or rollouts"),
        ({"stages": [{"name": "x", "train": QUICK | {"run": "elsewhere"}}]}, "leave it out"),
        ({"stages": [{"name": "x", "train": QUICK | {"base": {"kind": "embedded"}}}]}, "leave it"),
        ({"stages": []}, "stages"),
        ({"run": None}, "name the run"),
        (
            {
                "stages": [
                    {
                        "name": "x",
                        "rollouts": {"selection": "chosen", "generation": {"temperature": 0}},
                    }
                ]
            },
            "temperature",
        ),
    ],
)
def test_stages_that_cannot_be_run_are_refused(settings, changes: dict[str, Any], words: str):
    with pytest.raises(ValidationError, match=words):
        StagesRecipe.model_validate(settings | changes)


def test_rollouts_are_drawn_once_and_say_when_nothing_is_worth_training_on(settings):
    rollouts = {"selection": "chosen", "draws": 2, "blank_draws": 0}
    rollouts |= {"generation": {"temperature": 1.0, "max_new_tokens": 2}}
    stage = {"name": "kept", "rollouts": rollouts | {"keep": {"min_usefulness": 0.0}}}
    recipe = StagesRecipe.model_validate(settings | {"stages": [stage]})
    drawn = recipe.stages[0].rollouts.of("kept", recipe.run, recipe.base)
    sql = "SELECT DISTINCT created_at FROM selections WHERE selection = 'kept'"
    times = []
    for _ in range(2):
        choose_questions(drawn, ray=False)
        times.append(query(recipe.run / "manifest.duckdb", sql).to_pylist())
    assert len(times[0]) == 1
    assert times[0] == times[1]
    # A random model never answers now and then: nothing to learn from.
    none = recipe.stages[0].rollouts.model_copy(
        update={"keep": recipe.stages[0].rollouts.keep.model_copy(update={"min_usefulness": 1.0})}
    )
    with raises_code("selection_untrainable", selection="none"):
        choose_questions(none.of("none", recipe.run, recipe.base), ray=False)


def test_the_shipped_stages_are_a_projector_adapters_and_a_policy():
    recipe = load_stages(shipped()["three_stages"])
    trained = [stage.train for stage in recipe.stages if stage.train is not None]
    assert [(one.trainable, one.objective) for one in trained] == [
        ("projector", "sft"),
        ("adapters", "sft"),
        ("adapters", "grpo"),
    ]
