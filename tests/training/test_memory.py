"""Memory estimates: exact where shapes decide, near where they do not, and a refusal in time."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from medsift.manifest import query
from medsift.progress import TrainingBegun
from tests.expect import raises_code
from tests.training.conftest import MakeRun, asked, recipe
from training.loop import memory
from training.loop.memory import (
    MEGABYTE,
    MemoryEstimate,
    check_memory,
    estimate_memory,
    measured_memory,
)
from training.prepare import prepare
from training.run import train_here

SMALL: dict[str, Any] = {
    "lora": {"rank": 2, "alpha": 4},
    "batches": {"max_samples": 4},
    "log": {"tensorboard": False},
    "steps": 2,
}


@pytest.fixture
def run(make_run: MakeRun) -> Path:
    lines = [asked(f"is lung {k} clear?", "yes, " * k + "yes") for k in range(6)]
    return make_run(lines)


def test_weights_gradients_and_moments_are_exact(llama: Path, run: Path):
    with closing(prepare(recipe(run, llama, **SMALL))) as prepared:
        found = estimate_memory(prepared)
        model = prepared.model
        optimiser = torch.optim.AdamW([one for one in model.parameters() if one.requires_grad])
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.grad = torch.ones_like(parameter)
        optimiser.step()

        def mib(tensors: Any) -> float:
            return float(sum(one.numel() * one.element_size() for one in tensors) / MEGABYTE)

        learned = [one for one in model.parameters() if one.requires_grad]
        moments = [one for state in optimiser.state.values() for one in state.values() if one.ndim]
        assert found.weights == pytest.approx(mib(model.parameters()))
        assert found.gradients == pytest.approx(mib(one.grad for one in learned))
        assert found.optimiser == pytest.approx(mib(moments))


def test_the_cache_of_a_group_is_exact(llama: Path, run: Path):
    policy = {"group": 4, "max_new_tokens": 8}
    made = recipe(run, llama, **SMALL, objective="grpo", policy=policy | {"answer_types": ["open"]})
    with closing(prepare(made)) as prepared:
        found = estimate_memory(prepared)
        width = int(prepared.training.plan.lengths.max()) + 8
        ids = torch.zeros((4, width), dtype=torch.int64)
        with torch.no_grad():
            cache = prepared.base.model(input_ids=ids, use_cache=True).past_key_values
        kept = [one for layer in cache.layers for one in (layer.keys, layer.values)]
        size = sum(one.numel() * one.element_size() for one in kept)
        assert found.cache == pytest.approx(size / MEGABYTE)


def test_what_is_kept_for_the_backward_pass_is_estimated_within_a_factor_of_two(
    llama: Path, run: Path
):
    """Against the bytes that autograd itself keeps, weights left out."""
    with closing(prepare(recipe(run, llama, **SMALL))) as prepared:
        found = estimate_memory(prepared)
        weights = {one.untyped_storage().data_ptr() for one in prepared.model.parameters()}
        kept: dict[int, int] = {}

        def pack(tensor: torch.Tensor) -> torch.Tensor:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in weights:
                kept[storage.data_ptr()] = storage.nbytes()
            return tensor

        plan = prepared.training.plan
        batch = max(plan.batches(0), key=lambda one: memory.cost(one, plan.lengths))
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            loss = prepared.objective.total(prepared.training.collator(batch))
        assert loss.requires_grad
        actual = sum(kept.values()) / MEGABYTE
        assert actual / 2 < found.activations + found.logits < actual * 2


GIVEN = MemoryEstimate(
    weights=500, gradients=100, optimiser=200, activations=300, logits=50, cache=40, device=2000
)


def test_what_cannot_fit_is_refused_and_what_may_not_fit_is_warned_of():
    assert check_memory(GIVEN) is None
    assert GIVEN.learn == 1150
    assert GIVEN.generate == 840
    assert check_memory(replace(GIVEN, device=1100)) is not None
    assert check_memory(replace(GIVEN, device=1100, activations=0)) is None
    with raises_code("memory_exhausted", needed_mb=800, device_mb=700):
        check_memory(replace(GIVEN, device=700))


def test_measured_peaks_are_those_of_the_phases():
    steps = [{"peak_memory_mb": peak} for peak in (900.4, 1200.2)]
    policy = [{"generate_memory_mb": peak} for peak in (700.0, 1100.0)]
    known = {"prepared": 600.0, "learn": 1200.0}
    assert measured_memory(600.3, steps, policy) == known | {"generate": 700.0}
    assert measured_memory(600.3, steps, []) == known


def test_the_estimate_is_announced_and_stored_beside_what_was_measured(
    llama: Path, run: Path, monkeypatch: pytest.MonkeyPatch
):
    heard: list[TrainingBegun] = []

    def listen(event: Any) -> None:
        if isinstance(event, TrainingBegun):
            heard.append(event)

    # A machine so small that weights fit and the batch may not.
    with closing(prepare(recipe(run, llama, **SMALL))) as prepared:
        estimate = estimate_memory(prepared)
    exact = estimate.weights + estimate.gradients + estimate.optimiser
    monkeypatch.setattr(memory, "device_memory", lambda _: int((exact + 0.01) * MEGABYTE))
    trained = train_here(recipe(run, llama, **SMALL), listen)
    [begun] = heard
    assert begun.memory is not None
    assert any("memory may run out" in note for note in begun.notes)
    sql = "SELECT memory FROM trainings WHERE training_id = '{}'"
    [row] = query(trained.training.manifest, sql.format(trained.training.training_id)).to_pylist()
    stored = json.loads(row["memory"])
    assert stored["estimated"] == begun.memory
    assert stored["measured"]["learn"] >= stored["measured"]["prepared"] > 50


TOO_MUCH = """
import resource, sys, torch
from training.loop.step import explain_oom
from training.recipe import TrainingRecipe
made = TrainingRecipe.model_validate({"name": "a", "run": "r", "base": {"kind": "embedded"}})
limit = 8 << 30
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
try:
    with explain_oom(made, "cpu", 2, "moments"):
        torch.ones(limit, dtype=torch.uint8)
except Exception as error:
    print(error.code, error.values["step"], error.values["changes"])
"""


def test_out_of_memory_names_the_step_and_what_to_change():
    """A real refusal of the system, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", TOO_MUCH], capture_output=True, text=True, timeout=300, check=True
    )
    assert done.stdout.split() == ["memory_exhausted", "3", "['lora.rank']"]
