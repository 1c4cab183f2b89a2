"""Tiles of a search that Ray computes find what this process finds."""

from __future__ import annotations

import pytest

from tests.curation.dedup.test_dedup_spread import found, same


@pytest.mark.ray
@pytest.mark.parametrize("action", ["report", "drop"])
def test_ray_tasks_find_the_same(ray_session: None, action: str) -> None:
    from ray_jobs.executor import RayExecutor

    assert same(found(RayExecutor().run, action), found(None, action))
