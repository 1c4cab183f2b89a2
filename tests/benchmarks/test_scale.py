"""A synthetic pool has what was planted in it, and shards of any size find that."""

from __future__ import annotations

import shutil
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.scale import check, recipe_of, write_pool
from benchmarks.scale_pool import make_part
from curation.pipeline import run_stages
from curation.stage_outputs import StageOutputs
from medsift.execution import LocalExecutor

NOTES = {"text_keys", "decided"}
"""What shards leave for the next run."""
OPTIONS = Namespace(rows=[600], seed=3, dimension=16, exam_pictures=0, decided=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scale")
    write_pool(folder, OPTIONS)
    return folder


def tables(outputs: StageOutputs) -> dict[str, list[str]]:
    """Every table of a stage, its rows in one order."""
    names = {*outputs.schemas, "decisions"} - NOTES
    return {name: sorted(map(repr, getattr(outputs, name).read().to_pylist())) for name in names}


def run(folder: Path, stage: str, rows_per_shard: int) -> dict[str, list[str]]:
    """The tables of a stage, which is removed again."""
    recipe = recipe_of(folder)
    compute = recipe.compute.model_copy(update={"rows_per_shard": rows_per_shard})
    recipe = recipe.model_copy(update={"compute": compute})
    [*_, last] = run_stages(recipe, folder / "run", LocalExecutor(), until=stage).stages
    assert not last.reused
    found = tables(last.outputs)
    shutil.rmtree(last.outputs.folder)
    return found


def test_shards_of_any_size_decide_as_one_process_does(folder: Path) -> None:
    whole: dict[str, Any] = run(folder, "dedup", 600)
    assert len(whole["decisions"]) == 90
    assert whole == run(folder, "dedup", 70) == run(folder, "dedup", 1)
    assert not (folder / "run" / ".scratch" / "dedup").exists()


def test_files_of_any_size_are_compared_with_a_benchmark_alike(folder: Path) -> None:
    assert run(folder, "decontaminate", 600) == run(folder, "decontaminate", 33)


def test_all_that_is_planted_is_found(folder: Path) -> None:
    run_stages(recipe_of(folder), folder / "run", LocalExecutor(), until="decontaminate")
    check(folder, OPTIONS)


def test_a_block_depends_on_seed_and_number_alone() -> None:
    several = make_part(np.arange(4), 7, 16)
    alone = make_part(np.array([2]), 7, 16)
    assert several.samples.slice(40, 20).equals(alone.samples)
    assert several.updates.slice(40, 20).equals(alone.updates)
