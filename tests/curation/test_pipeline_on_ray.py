"""A run on Ray is the run of this process."""

from __future__ import annotations

import pytest

from curation.pipeline import curate
from tests.curation.test_pipeline import dropped, selection


@pytest.mark.ray
def test_ray_with_two_workers_and_tiles_as_tasks_writes_the_same_selection(
    ray_session, phantom_run, phantom_recipe, tmp_path
):
    from ray_jobs.executor import RayExecutor

    tiles = ("neighbors.spread_above=1", "neighbors.tile=16")
    recipe = phantom_recipe(*tiles, cache=tmp_path / "fresh")
    parallel = curate(recipe, tmp_path / "run", RayExecutor())
    assert selection(parallel) == selection(phantom_run)
    assert dropped(parallel) == dropped(phantom_run)
