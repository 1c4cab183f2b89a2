"""The embedded vision-language model learns phantoms: with the right picture it answers better."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from curation.phantoms.cases import Case, draw_case
from curation.phantoms.images import encode, paint, suffix
from curation.phantoms.questions import ask
from evaluation.evaluate import evaluate
from evaluation.recipe import EvaluationRecipe
from medsift import recipe_yaml as yaml_recipe
from medsift.execution import LocalExecutor
from medsift.manifest import read
from tests.training.conftest import asked, write_run
from training.loop.logs import STEPS, read_lines
from training.recipe import TrainingRecipe
from training.run import train_here
from training.training_id import Training

SEED = 11
CASES = 300
TASK, ANSWER_TYPE = "modality", "open"
"""What a coarse grid sees after a hundred samples; lesions and their sides it does not."""
TRAINING: dict[str, Any] = {
    "base": {"kind": "embedded_vlm", "side": 2},
    "steps": 24,
    "batches": {"max_samples": 4},
    "lora": {"rank": 8, "alpha": 16},
    "optimiser": {"lr": 1e-3, "modules_to_save_lr": 3e-3, "warmup_ratio": 0.1},
    "log": {"tensorboard": False},
}
LOST = """
SELECT variant, value, low, high, n FROM metrics
WHERE metric = 'drop' AND facet = 'all' AND evaluation_id = '{evaluation}'
"""


def lines_of(case: Case, folder: Path) -> list[dict[str, Any]]:
    """The picture's questions about its modality, answered in a word, if it was given any.

    The modality is not told, as VQA-RAD does not: the other picture may be of any.
    """
    file = folder / f"{case.index}{suffix(case)}"
    file.write_bytes(encode(case, paint(case, SEED)))
    questions = ask(case, np.random.default_rng([SEED, case.index]))
    return [
        asked(
            one.text,
            one.answer,
            file,
            split=case.split,
            task_type=one.task,
            answer_type=one.answer_type,
        )
        for one in questions
        if (one.task, one.answer_type) == (TASK, ANSWER_TYPE)
    ]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose selection is all training patients; one patient in seven is held out."""
    folder = tmp_path_factory.mktemp("looking")
    lines = [line for index in range(CASES) for line in lines_of(draw_case(SEED, index), folder)]
    chosen = [line for line in lines if line["split"] == "train"]
    return write_run(folder / "run", chosen, [line for line in lines if line["split"] == "test"])


@pytest.fixture(scope="module")
def trained(run: Path) -> Training:
    """The whole training, done once."""
    wanted = {"name": "looking", "run": run, **TRAINING}
    return train_here(TrainingRecipe.model_validate(wanted)).training


@pytest.mark.nightly
@pytest.mark.slow
def test_the_loss_falls(trained: Training):
    losses = [line["loss"] for line in read_lines(trained.folder / STEPS)]
    assert len(losses) == TRAINING["steps"]
    assert np.mean(losses[-8:]) < np.mean(losses[:8]) / 2


@pytest.mark.nightly
@pytest.mark.slow
def test_with_the_right_picture_it_answers_better_than_with_another_or_none(
    run: Path, trained: Training, tmp_path: Path
):
    asked_of = {
        "name": "looking",
        "run": str(run),
        "cache": str(tmp_path),
        "models": [
            {
                "kind": "image_text",
                "model": TRAINING["base"],
                "adapter": str(trained.result),
                "generation": {"max_new_tokens": 4},
                "batch_size": 32,
            }
        ],
        "benchmarks": [{"kind": "manifest", "path": str(run / "manifest.duckdb")}],
        "variants": ["swapped_image", "blank"],
    }
    found = evaluate(yaml_recipe.validated(EvaluationRecipe, asked_of), LocalExecutor())
    [evaluation] = [one.evaluation_id for one in found.models]
    lost = {
        line["variant"]: line
        for line in read(found.manifest, LOST.format(evaluation=evaluation)).to_pylist()
    }
    assert lost["swapped_image"]["low"] > 0, lost
    assert lost["blank"]["low"] > 0, lost
