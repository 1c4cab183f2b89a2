"""Shards of phantoms are decided as all phantoms at once: copies, conflicts, leaks and all."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from curation.dedup.partition import deal_groups
from curation.pipeline import RunResult, run_stages
from curation.stage_outputs import StageOutputs
from medsift.connected import connected_components
from medsift.execution import LocalExecutor

NOTES = {"text_keys", "decided"}
"""What shards leave for the next run."""


def tables(outputs: StageOutputs) -> dict[str, list[str]]:
    names = {*outputs.schemas, "decisions"} - NOTES
    return {name: sorted(map(repr, getattr(outputs, name).read().to_pylist())) for name in names}


def test_shards_decide_as_one_process_does(
    phantom_run: RunResult, phantom_recipe, tmp_path: Path
) -> None:
    recipe = phantom_recipe()
    copied = tmp_path / "run"
    shutil.copytree(phantom_run.run_dir / "stages", copied / "stages")
    for stage in phantom_run.stages[-5:]:
        shutil.rmtree(copied / "stages" / stage.outputs.folder.name, ignore_errors=True)
    compute = recipe.compute.model_copy(update={"rows_per_shard": 40})
    recipe = recipe.model_copy(update={"compute": compute})
    done = run_stages(recipe, copied, LocalExecutor(), until="dedup").stages[-1]
    assert (done.stage, done.reused) == ("dedup", False)
    whole = tables(phantom_run.upstream.dedup)
    assert all(whole[name] for name in ("decisions", "clusters", "conflicts_found"))
    assert tables(done.outputs) == whole
    # More than one shard had something to say.
    assert len(done.outputs.decisions.parts()) > 1


@given(st.integers(1, 30), st.integers(1, 8), st.data())
def test_linked_rows_share_a_shard_that_is_no_larger_than_it_must_be(
    n: int, size: int, data: st.DataObject
) -> None:
    row = st.integers(0, n - 1)
    links = data.draw(st.lists(st.tuples(row, row), max_size=n))
    left, right = np.array(links, np.int64).reshape(-1, 2).T
    label = connected_components(n, left, right)
    shard = deal_groups(label, size)
    assert (shard[left] == shard[right]).all()
    largest = np.bincount(label).max()
    assert np.bincount(shard).max() < size + largest
    assert np.unique(shard).tolist() == list(range(shard.max() + 1))
