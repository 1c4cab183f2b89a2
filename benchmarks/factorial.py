"""When is a small set enough? Phantom pools of 18 shapes, probed by many draws.

    python -m benchmarks.factorial OUT [--seeds 0 1] [--images 200] [--only pools]

Redundancy (each distinct row 1, 3 or 10 times) x wrong answers (0, 10, 30 %) x imbalance of cells
(1:1, 1:20): every pool is drawn, curated by the shipped recipe and probed, and what each arm
answers is written to OUT. `python -m benchmarks.factorial_effects OUT` fits the
effects. A pool that is finished is not made again.

Pools of one seed have as many distinct rows and the same balanced, right and copy-free test
split, which is what every probe is asked about: so a wrong answer in a pool never counts as right.
Sizes are shares of the distinct rows, equal in all pools. `random` draws from all rows.
"""

from __future__ import annotations

import argparse
import os
import time
from functools import cache
from itertools import product
from pathlib import Path
from typing import Final, NamedTuple

import pyarrow.parquet as pq

from benchmarks.factorial_probe import distinct_rows, probe_pool
from curation.phantoms import PoolShape, make_phantoms, write_dataset
from curation.phantoms.alterations import altered
from curation.phantoms.cases import Case
from curation.pipeline import StagesDone, run_stages
from curation.recipe import Recipe, load_recipe
from curation.stage_outputs import Upstream
from medsift.execution import LocalExecutor
from ray_jobs.cli_args import recipe_path

COPIES: Final = (1, 3, 10)
WRONG: Final = (0.0, 0.1, 0.3)
IMBALANCE: Final = (1.0, 20.0)


class PoolPlace(NamedTuple):
    """One pool: its seed and shape, and where its data and its run are."""

    seed: int
    copies: int
    wrong: float
    imbalance: float
    folder: Path

    @property
    def name(self) -> str:
        """The shape in short."""
        return f"s{self.seed}-c{self.copies}-w{100 * self.wrong:.0f}-i{self.imbalance:.0f}"

    @property
    def data(self) -> Path:
        """The phantom set."""
        return self.folder / "data" / self.name

    @property
    def answers(self) -> Path:
        """What each arm answers, when the pool has been probed."""
        return self.folder / f"{self.name}.parquet"

    @property
    def run(self) -> Path:
        """The run directory."""
        return self.folder / self.name


def pool_places(folder: Path, seeds: list[int]) -> list[PoolPlace]:
    """List every pool of the factorial: the corners of all seeds first, then what is between."""
    places = [PoolPlace(*shape, folder) for shape in product(seeds, COPIES, WRONG, IMBALANCE)]
    return sorted(places, key=lambda place: place.copies == COPIES[1] or place.wrong == WRONG[1])


@cache
def painted_once(name: str, case: Case, seed: int) -> bytes:
    """Return what `altered` does, and remember it."""
    return altered(name, case, seed)


def pool_recipe(place: PoolPlace) -> Recipe:
    """Return the shipped recipe of phantoms for a pool; names burned in are not looked for."""
    os.environ["MEDSIFT_PHANTOMS"] = str(place.data.absolute())
    cache = f"cache={place.folder / 'cache'}"
    changes = [f"runs={place.folder}", "images.burned_in_text=off", cache]
    return load_recipe(recipe_path("phantoms"), changes)


def make_pool(place: PoolPlace, images: int) -> StagesDone:
    """Draw a pool and curate it up to its scores; pictures are encoded once for all pools."""
    # Most pools show the same pictures: each is painted once in this process.
    write_dataset.altered = painted_once
    shape = PoolShape(place.copies, place.wrong, place.imbalance)
    make_phantoms(place.data, images=images, seed=place.seed, shape=shape)
    done = run_stages(pool_recipe(place), place.run, LocalExecutor(), until="score")
    if done.problem is not None:
        raise done.problem
    return done


def main() -> None:
    """Make every pool, then probe it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--only", choices=["pools"])
    options = parser.parse_args()
    for place in pool_places(options.out, options.seeds):
        start = time.perf_counter()
        done = make_pool(place, options.images)
        if options.only is None and not place.answers.exists():
            upstream = Upstream([stage.outputs for stage in done.stages])
            recipe, distinct = pool_recipe(place), distinct_rows(place.data)
            table = probe_pool(upstream, recipe, distinct, place.seed)
            pq.write_table(table, place.answers)
        seconds = time.perf_counter() - start
        kept = done.stages[-1].balance.kept
        print(
            f"{place.name}: {kept:,} samples, held-out ones included; {seconds:.0f} s", flush=True
        )


if __name__ == "__main__":
    main()
