"""Sharded weights take the same steps as whole ones, and a killed training continues with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from medsift.progress import StepLine, TrainingBegun
from tests.fakes import Killed
from tests.training.conftest import MakeRun, asked, draw, recipe
from training.loop.checkpoint import FolderCheckpointStore
from training.loop.distributed import Communicator, ProcessGroup, SingleProcess
from training.model.sharding import full_tensor, shard, sharded
from training.prepare import Prepared
from training.run import now, run_worker
from training.training_id import CHECKPOINTS, open_training


@pytest.fixture
def group() -> Iterator[None]:
    """A process group of this process alone: weights are in parts, though there is one part."""
    import torch.distributed as distributed

    distributed.init_process_group("gloo", rank=0, world_size=1, store=distributed.HashStore())
    yield
    distributed.destroy_process_group()


@pytest.fixture
def run(make_run: MakeRun, tmp_path: Path) -> Path:
    picture = draw(tmp_path / "a.png", 1, 56, 56)
    lines = [asked(f"is {k} clear?", "yes", *([picture] if k else [])) for k in range(4)]
    return make_run(lines)


def fit(
    made: Any,
    folder: Path,
    communicator: Communicator,
    ready: Callable[[Prepared], None],
    kill_at: int = 0,
) -> dict[str, torch.Tensor]:
    """Train into a folder, killed and started again if that is wanted; the result's weights."""

    def watch(event: TrainingBegun | StepLine) -> None:
        if isinstance(event, StepLine) and event.step == kill_at:
            raise Killed

    folder.mkdir(exist_ok=True)
    store = FolderCheckpointStore(folder / CHECKPOINTS, 2)
    try:
        run_worker(open_training(made), store, communicator, folder, watch, now(), ready)
    except Killed:
        return fit(made, folder, communicator, ready)
    [weights] = (folder / "result").glob("*.safetensors")
    found: dict[str, torch.Tensor] = load_file(weights)
    return found


@pytest.mark.parametrize(
    "settings",
    [{"lora": {"rank": 2}, "vision": "trained"}, {"lora": {"full": True}}],
    ids=["adapters", "full"],
)
def test_sharded_weights_end_where_whole_ones_do(
    qwen: Path, run: Path, tmp_path: Path, group: None, settings: dict[str, Any]
):
    made = recipe(
        run,
        qwen,
        steps=4,
        batches={"max_samples": 2},
        checkpoints={"interval_steps": 2},
        optimiser={"lr": 1e-2},
        log={"tensorboard": False},
        **settings,
    )

    def ready(prepared: Prepared) -> None:
        shard(prepared.model)
        parameters = list(prepared.model.parameters())
        assert all(sharded(part) for part in parameters)
        assert full_tensor(parameters[0]).shape == parameters[0].shape

    wanted = fit(made, tmp_path / "whole", SingleProcess(), lambda prepared: None)
    found = fit(made, tmp_path / "parts", ProcessGroup(), ready, kill_at=3)
    assert found.keys() == wanted.keys()
    for name, weights in wanted.items():
        torch.testing.assert_close(found[name], weights, rtol=1e-6, atol=1e-7)
