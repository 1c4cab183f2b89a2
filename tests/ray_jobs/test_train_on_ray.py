"""Training by Ray Train: who is killed, where it is kept and who decodes change nothing."""

# Fixtures of another file are imported, and then named by whoever wants them.
# ruff: noqa: F811

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest

from medsift.manifest import read
from medsift.progress import StepLine, TrainingBegun
from medsift.storage.locations import filesystem
from medsift.storage.mirror import mirror_of
from ray_jobs.training import train_on_ray
from tests.expect import raises_code
from tests.ray_jobs.test_train import (  # noqa: F401 - fixtures
    STEPS_IN_ALL,
    check_same,
    curve,
    origin,
    run,
    settings,
    uninterrupted,
)
from tests.training.conftest import qwen, recipe  # noqa: F401 - fixtures
from training.loop.checkpoint import PREFIX, checkpoints, folder_name
from training.run import train_here
from training.training_id import CHECKPOINTS, open_training


@pytest.mark.nightly
@pytest.mark.ray
def test_two_workers_one_killed_end_as_one_that_accumulates_twice(
    ray_session: None,
    bucket: str,
    qwen: Path,
    run: Path,
    uninterrupted: Path,
):
    heard: list[TrainingBegun | StepLine] = []
    victims = []

    def watch(event: TrainingBegun | StepLine) -> None:
        heard.append(event)
        if isinstance(event, StepLine) and event.step >= 3 and not victims:
            victims.append(_workers()[-1])
            victims[0].kill()

    two = settings(
        batches={"max_samples": 1},
        workers={"count": 2},
        checkpoints={"storage": bucket, "interval_steps": 2},
    )
    done = train_on_ray(recipe(run, qwen, **two), watch)
    begun = [event for event in heard if isinstance(event, TrainingBegun)]
    assert len(begun) == 2
    assert begun[1].resumed_step >= 2
    check_same(done.training.folder, uninterrupted)
    assert ask(run) == [{"status": "done", "steps": STEPS_IN_ALL}]
    # The newest stay, whatever Ray Train had heard of when the worker was lost.
    names = [folder_name(step) for step in (STEPS_IN_ALL - 2, STEPS_IN_ALL)]
    listed = checkpoints(mirror_of(bucket) / done.training.training_id / CHECKPOINTS)
    assert [path.name for path in listed] == names
    found = read(run / "manifest.duckdb", "SELECT path FROM checkpoints ORDER BY step")
    place = f"s3://trainings/all/{done.training.training_id}/{CHECKPOINTS}"
    assert found.column("path").to_pylist() == [f"{place}/{name}" for name in names]


@pytest.fixture
def bucket(object_store: str) -> str:
    """A place in the object store, for this process and for Ray's."""
    server = f"endpoint_override={object_store}&scheme=http&region=us-east-1"
    filesystem(f"s3://trainings?{server}&allow_bucket_creation=true")[0].create_dir("trainings")
    return f"s3://trainings/all?{server}"


@pytest.mark.nightly
@pytest.mark.ray
def test_begun_here_it_goes_on_with_pictures_from_ray_data_and_after_an_error_here_again(
    ray_session: None, qwen: Path, run: Path, uninterrupted: Path
):
    told = recipe(run, qwen, **settings(workers={"decoding": "ray_data"}))
    folder = open_training(told).folder
    with pytest.raises(KeyboardInterrupt):
        train_here(told, _stopping_at(5))
    assert _kept(folder) == [2, 4]
    in_the_way = folder / CHECKPOINTS / folder_name(STEPS_IN_ALL)
    in_the_way.write_text("")
    heard: list[TrainingBegun | StepLine] = []
    with raises_code("disk_refused", path=str(in_the_way)):
        train_on_ray(told, heard.append)
    assert _resumed(heard) == 4
    assert ask(run) == [{"status": "failed", "steps": STEPS_IN_ALL}]
    assert curve(folder) == curve(uninterrupted)
    # Those of before are gone, too, though Ray Train never heard of them.
    assert _kept(folder) == [STEPS_IN_ALL - 4, STEPS_IN_ALL - 2]
    in_the_way.unlink()
    heard.clear()
    train_here(told, heard.append)
    assert _resumed(heard) == STEPS_IN_ALL - 2
    check_same(folder, uninterrupted)
    assert ask(run) == [{"status": "done", "steps": STEPS_IN_ALL}]


def _stopping_at(step: int) -> Callable[[TrainingBegun | StepLine], None]:
    """A listener who stops the training, as Ctrl-C does."""

    def listen(event: TrainingBegun | StepLine) -> None:
        if isinstance(event, StepLine) and event.step == step:
            raise KeyboardInterrupt

    return listen


def _kept(folder: Path) -> list[int]:
    return [int(path.name.removeprefix(PREFIX)) for path in checkpoints(folder / CHECKPOINTS)]


def _resumed(heard: Sequence[TrainingBegun | StepLine]) -> int:
    [begun] = [event for event in heard if isinstance(event, TrainingBegun)]
    return begun.resumed_step


def ask(run: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = read(
        run / "manifest.duckdb", "SELECT status, steps FROM trainings"
    ).to_pylist()
    return found


def _workers() -> list[psutil.Process]:
    """Ray Train's workers of this session, by process id."""
    mine = psutil.Process(os.getpid()).children(recursive=True)
    named = [one for one in mine if one.status() != psutil.STATUS_ZOMBIE]
    return sorted(
        (one for one in named if "RayTrainWorker" in " ".join(one.cmdline())),
        key=lambda one: one.pid,
    )
