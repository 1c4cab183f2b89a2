"""Replies are learned from on Ray Train as in one process: those of the model, and stored pairs."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from ray_jobs.training import train_on_ray
from tests.training.conftest import asked, recipe, write_llama, write_run
from tests.training.policy.conftest import saying_little
from tests.training.preference.conftest import append_replies, reply
from training.loop.logs import DETAILS, STEPS, read_lines
from training.run import train_here

ADAPTER = "adapter_model.safetensors"
TIMES = ("generate_seconds", "learn_seconds", "generate_memory_mb", "learn_memory_mb")
SMALL: dict[str, Any] = {
    "lora": {"rank": 2, "alpha": 4},
    "optimiser": {"lr": 1e-2, "warmup_ratio": 0.0},
    "batches": {"max_samples": 1},
    "checkpoints": {"interval_steps": 2},
    "log": {"tensorboard": False},
    "workers": {"count": 2},
    "steps": 3,
    "policy": {"prompts": 3, "group": 4, "max_new_tokens": 4, "mask_truncated": False},
}


@pytest.fixture(scope="module")
def talker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that says little, so that some of its replies are right."""
    folder = tmp_path_factory.mktemp("talker")
    return saying_little(write_llama(folder / "llama"), folder / "model")


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Closed questions, with a right and a wrong reply to each."""
    answers = ("yes", "no") * 3
    lines = [
        asked(f"is lung {k} clear?", answer, answer_type="closed")
        for k, answer in enumerate(answers)
    ]
    run = write_run(tmp_path_factory.mktemp("origin") / "run", lines)
    append_replies(
        run,
        [
            reply(k, f"is lung {k} clear?", text, correct=text == answer)
            for k, answer in enumerate(answers)
            for text in ("yes", "no")
        ],
    )
    return run


@pytest.mark.nightly
@pytest.mark.ray
@pytest.mark.parametrize("objective", ["grpo", "dpo"])
def test_two_workers_on_ray_end_as_one_process(
    ray_session: None, talker: Path, origin: Path, tmp_path: Path, objective: str
):
    ends = []
    for name, train in (("here", train_here), ("ray", train_on_ray)):
        run = Path(shutil.copytree(origin, tmp_path / name))
        ends.append(train(recipe(run, talker, objective=objective, **SMALL)).training.folder)
    here, there = ends
    assert here.name == there.name
    file = DETAILS[objective]
    wanted, found = (
        [
            {name: value for name, value in line.items() if name not in TIMES}
            for line in read_lines(folder / file)
        ]
        for folder in ends
    )
    assert len(wanted) == len(found) == 3
    for ours, theirs in zip(found, wanted, strict=True):
        assert ours == pytest.approx(theirs, abs=1e-4)
    losses = [[line["loss"] for line in read_lines(folder / STEPS)] for folder in ends]
    assert losses[1] == pytest.approx(losses[0], abs=1e-5)
    weights = [load_file(folder / "result" / ADAPTER) for folder in ends]
    assert any(
        float(one.abs().max()) > 1e-3 for name, one in weights[0].items() if "lora_B" in name
    )
    for name, value in weights[0].items():
        torch.testing.assert_close(weights[1][name], value, atol=5e-4, rtol=0)
