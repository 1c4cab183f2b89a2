"""Pools decided by shards: what an earlier run decided is copied, and equals deciding it anew."""

from __future__ import annotations

import random
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.scale import recipe_of, write_pool
from curation.dedup.text_keys import TextKeys
from curation.pipeline import curate
from curation.run_dir import open_run
from curation.stages.compare_rows import CompareRows
from curation.stages.dedup_shards import DecideShard
from medsift.execution import LocalExecutor
from medsift.storage.parts import read_part

SIZE = 400
TABLES = {
    "dedup": ("decisions", "clusters", "conflicts_found", "split_leaks", "groups", "sweep"),
    "decontaminate": ("decisions", "leaks_found", "reviews", "matched"),
}


def tables(run_dir: Path) -> dict[str, list[str]]:
    """What the two stages found out, its lines in one order.

    The correlation of a pair depends on the pairs that are registered with it, in the sixth place.
    """
    upstream = open_run(run_dir).upstream

    def shown(line: dict[str, Any]) -> str:
        return repr({n: round(v, 4) if isinstance(v, float) else v for n, v in line.items()})

    return {
        f"{stage}.{name}": sorted(map(shown, getattr(upstream[stage], name).read().to_pylist()))
        for stage, names in TABLES.items()
        for name in names
    }


def curated(folder: Path, rows: int, exam_pictures: int = 0, shard: int = 60) -> Path:
    """Curate the first rows of a pool in the run directory of a folder."""
    made = {"rows": [rows], "seed": 5, "dimension": 16, "exam_rows": 200}
    write_pool(folder, Namespace(**made, exam_pictures=exam_pictures, decided=False))
    recipe = recipe_of(folder)
    compute = recipe.compute.model_copy(update={"rows_per_shard": shard})
    curate(recipe.model_copy(update={"compute": compute}), folder / "run", LocalExecutor())
    return folder / "run"


@pytest.fixture
def counted(monkeypatch) -> dict[str, int]:
    """How many rows were given to each worker."""
    count = dict.fromkeys(("keys", "decided", "compared"), 0)
    for worker, name, path in (
        (TextKeys, "keys", lambda item: item),
        (DecideShard, "decided", lambda item: item.samples),
        (CompareRows, "compared", lambda item: item[0]),
    ):
        real = worker.__call__

        def call(self, item, real=real, name=name, path=path):
            count[name] += read_part(path(item)).num_rows
            return real(self, item)

        monkeypatch.setattr(worker, "__call__", call)
    return count


@pytest.mark.parametrize("exam_pictures", [0, 3])
def test_a_pool_that_grew_in_random_parts_is_decided_as_one_at_once(
    tmp_path, counted, exam_pictures
):
    draw = random.Random(exam_pictures)
    sizes = [200, *sorted(draw.sample(range(220, SIZE, 20), 2 if exam_pictures == 0 else 1)), SIZE]
    for rows in sizes:
        counted.update(dict.fromkeys(counted, 0))
        in_parts = curated(tmp_path / "parts", rows, exam_pictures)
    new = sizes[-1] - sizes[-2]
    # The group of the first row is always decided anew.
    assert counted["keys"] <= new
    assert counted["decided"] <= new + 5
    assert counted["compared"] <= new
    counted.update(dict.fromkeys(counted, 0))
    at_once = curated(tmp_path / "once", SIZE, exam_pictures)
    assert counted["decided"] == SIZE
    found, expected = tables(in_parts), tables(at_once)
    assert all(expected[f"dedup.{name}"] for name in ("decisions", "clusters", "sweep"))
    assert expected["decontaminate.leaks_found"]
    for name in expected:
        assert found[name] == expected[name], name
