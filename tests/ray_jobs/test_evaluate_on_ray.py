"""Replies of a worker of Ray are those of this process."""

# Fixtures of another file are imported, and then named by whoever wants them.
# ruff: noqa: F811

from __future__ import annotations

import pytest

from medsift.manifest import read
from tests.ray_jobs.test_evaluate import ITEMS, slow_recipe  # noqa: F401 - fixtures


@pytest.mark.ray
def test_ray_and_this_process_get_the_same_replies(
    one_worker, medsift, slow_recipe, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    sql = "SELECT item_id, reply, score FROM predictions ORDER BY item_id"
    found = []
    for place in ("--ray", "--local"):
        words = ["--set", f"runs={place[2:]}"]
        said = medsift("evaluate", slow_recipe, place, *words)
        assert said.code == 0, said.err
        found.append(read(tmp_path / place[2:] / "slow" / "manifest.duckdb", sql).to_pylist())
    assert found[0] == found[1]
    assert len(found[0]) == ITEMS
