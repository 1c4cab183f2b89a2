"""Training by Ray Train: a worker that is killed changes nothing, an error arrives as it was."""

# Fixtures of another file are imported, and then named by whoever wants them.
# ruff: noqa: F811

from __future__ import annotations

import os
from pathlib import Path

import psutil
import pytest

from curation.errors import RecipeError
from curation.manifest import query
from curation.sources.storage import filesystem
from ray_jobs.keeper import Store
from ray_jobs.training import train_on_ray
from tests.ray_jobs.test_train import (  # noqa: F401 - fixtures
    STEPS_IN_ALL,
    check_same,
    origin,
    run,
    settings,
    uninterrupted,
)
from tests.training.conftest import qwen, recipe  # noqa: F401 - fixtures
from training.identity import CHECKPOINTS
from training.logs import StepLine
from training.run import TrainingBegun


@pytest.mark.ray
def test_two_workers_one_killed_end_as_one_that_accumulates_twice(
    ray_session: None,
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

    two = settings(batches={"samples": 1}, workers={"count": 2})
    done = train_on_ray(recipe(run, qwen, **two), watch)
    begun = [event for event in heard if isinstance(event, TrainingBegun)]
    assert len(begun) == 2
    assert begun[1].resumed_step >= 2
    check_same(done.training.folder, uninterrupted)
    [line] = query(run / "manifest.duckdb", "SELECT status, steps FROM trainings").to_pylist()
    assert line == {"status": "done", "steps": STEPS_IN_ALL}
    # Ray Train keeps the newest; what it noted is what is there.
    kept = Store.at(str(done.training.folder / CHECKPOINTS))
    assert kept.checkpoints() == ["step-000022", "step-000024"]


@pytest.mark.ray
def test_pictures_from_ray_data_and_checkpoints_in_an_object_store_change_nothing(
    ray_session: None, bucket: str, qwen: Path, run: Path, uninterrupted: Path
):
    checkpoints = {"storage": bucket, "every": 2}
    elsewhere = settings(workers={"decoding": "ray_data"}, checkpoints=checkpoints)
    done = train_on_ray(recipe(run, qwen, **elsewhere))
    check_same(done.training.folder, uninterrupted)
    found = query(run / "manifest.duckdb", "SELECT step, path FROM checkpoints ORDER BY step")
    place = f"s3://trainings/all/{done.training.training_id}/checkpoints"
    assert found.to_pylist() == [
        {"step": step, "path": f"{place}/step-{step:06d}"}
        for step in (STEPS_IN_ALL - 2, STEPS_IN_ALL)
    ]


@pytest.fixture
def bucket(object_store: str) -> str:
    """A place in the object store, for this process and for Ray's."""
    server = f"endpoint_override={object_store}&scheme=http&region=us-east-1"
    filesystem(f"s3://trainings?{server}&allow_bucket_creation=true")[0].create_dir("trainings")
    return f"s3://trainings/all?{server}"


@pytest.mark.ray
def test_an_error_of_a_worker_arrives_as_it_was(ray_session: None, qwen: Path, run: Path):
    with pytest.raises(RecipeError, match=r"lora\.targets 'nothing' do not fit"):
        train_on_ray(recipe(run, qwen, **settings(lora={"targets": "nothing"})))
    [line] = query(run / "manifest.duckdb", "SELECT status FROM trainings").to_pylist()
    assert line == {"status": "failed"}


def _workers() -> list[psutil.Process]:
    """Ray Train's workers of this session, by process id."""
    mine = psutil.Process(os.getpid()).children(recursive=True)
    named = [one for one in mine if one.status() != psutil.STATUS_ZOMBIE]
    return sorted(
        (one for one in named if "RayTrainWorker" in " ".join(one.cmdline())),
        key=lambda one: one.pid,
    )
