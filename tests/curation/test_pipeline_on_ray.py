"""A run on Ray is the run of this process."""

from __future__ import annotations

import shutil

import pytest

from curation.execution import LocalExecutor
from curation.pipeline import curate
from tests.curation.test_pipeline import dropped, selection


@pytest.mark.ray
def test_ray_with_two_workers_writes_the_same_selection(
    ray_session, phantom_run, phantom_recipe, tmp_path
):
    from ray_jobs.executor import RayExecutor

    recipe = phantom_recipe(cache=tmp_path / "fresh")
    parallel = curate(recipe, tmp_path / "run", RayExecutor())
    assert selection(parallel) == selection(phantom_run)
    assert dropped(parallel) == dropped(phantom_run)


@pytest.mark.ray
def test_tiles_as_ray_tasks_find_the_same(ray_session, phantom_run, phantom_recipe, tmp_path):
    from ray_jobs.executor import RayExecutor

    shutil.copytree(phantom_run.run_dir, tmp_path / "run")
    [dedup] = (tmp_path / "run" / "stages").glob("dedup-*")
    shutil.rmtree(dedup)
    recipe = phantom_recipe("neighbors.spread_above=1", "neighbors.tile=16")
    plain = phantom_recipe("neighbors.tile=16")
    spread = curate(recipe, tmp_path / "run", RayExecutor())
    alone = curate(plain, tmp_path / "alone", LocalExecutor())
    assert selection(spread) == selection(alone) == selection(phantom_run)
    assert dropped(alone) == dropped(phantom_run)
