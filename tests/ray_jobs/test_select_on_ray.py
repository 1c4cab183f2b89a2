"""A selection on Ray is the selection of this process."""

# Fixtures of another file are imported, and then named by whoever wants them.
# ruff: noqa: F811

from __future__ import annotations

from dataclasses import replace

import pytest

from curation.add_selection import add_selection, parse_selection
from curation.neighbors import NeighborsConfig
from curation.selection.quality import Scores
from curation.selection.select import select
from medsift.execution import LocalExecutor
from ray_jobs.executor import RayExecutor
from tests.curation.probe.test_enough import enough, planted
from tests.ray_jobs.test_select import run_dir  # noqa: F401 - fixtures


@pytest.mark.ray
def test_ray_selects_what_this_process_selects(run_dir, ray_session):
    methods = (
        {"kind": "facility_location", "partition_above": 20},
        {"kind": "k_center"},
        {"kind": "cluster_temperature"},
    )
    for method in methods:
        config = parse_selection({"name": "small", "method": method, "budget": "25%"})
        here = add_selection(run_dir, config, replace=True)
        spread = replace(here.candidates, neighbors=NeighborsConfig(spread_above=0))
        there = select(spread, Scores(None), config, 0, RayExecutor())
        assert there.order.tolist() == here.selection.order.tolist()


@pytest.mark.ray
def test_ray_finds_the_size_that_this_process_finds(ray_session):
    inputs = planted(20, 8)
    here, there = (
        enough(inputs, executor, budget="auto:0.1") for executor in (LocalExecutor(), RayExecutor())
    )
    assert there.share == here.share
    assert there.explanation == here.explanation
    assert there.probe.results.equals(here.probe.results)
