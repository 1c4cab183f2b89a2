"""When is a small set enough? Phantom pools of 18 shapes, probed by many draws.

    python benchmarks/factorial.py OUT [--seeds 0 1] [--images 240] [--only pools]

Redundancy (each distinct row 1, 3 or 10 times) x wrong answers (0, 10, 30 %) x imbalance of cells
(1:1, 1:20): every pool is drawn, curated by the shipped recipe and probed, and what each arm
answers is written to OUT/answers.parquet. `python benchmarks/factorial_effects.py OUT` fits the
effects. A pool that is finished is not made again.

Pools of one seed have as many distinct rows and the same balanced, right and copy-free test
split, which is what every probe is asked about: so a wrong answer in a pool never counts as right.
Sizes are shares of the distinct rows, equal in all pools. `random` draws from all rows.
"""

from __future__ import annotations

import argparse
import os
from functools import cache
from itertools import product
from pathlib import Path
from typing import Final, NamedTuple

from curation.phantoms.alterations import altered
from curation.phantoms.cases import Case

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
    def run(self) -> Path:
        """The run directory."""
        return self.folder / self.name


def pool_places(folder: Path, seeds: list[int]) -> list[PoolPlace]:
    """List every pool of the factorial, by seed."""
    grid = product(seeds, COPIES, WRONG, IMBALANCE)
    return [PoolPlace(*shape, folder) for shape in grid]


@cache
def painted_once(name: str, case: Case, seed: int) -> bytes:
    """Return what `altered` does, and remember it."""
    return altered(name, case, seed)


def make_pool(place: PoolPlace, images: int) -> None:
    """Draw a pool and curate it up to its scores; pictures are encoded once for all pools."""
    from curation.phantoms import PoolShape, make_phantoms, write_dataset
    from curation.pipeline import run_stages
    from curation.recipe import load_recipe
    from medsift.execution import LocalExecutor
    from ray_jobs.cli_args import recipe_path

    # Most pools show the same pictures: each is painted once in this process.
    write_dataset.altered = painted_once
    shape = PoolShape(place.copies, place.wrong, place.imbalance)
    make_phantoms(place.data, images=images, seed=place.seed, shape=shape)
    os.environ["MEDSIFT_PHANTOMS"] = str(place.data.absolute())
    changes = [
        f"runs={place.folder}",
        "images.burned_in_text=off",
        f"cache={place.folder / 'cache'}",
    ]
    recipe = load_recipe(recipe_path("phantoms"), changes)
    done = run_stages(recipe, place.run, LocalExecutor(), until="score")
    if done.problem is not None:
        raise done.problem
    kept = done.stages[-1].balance.kept
    print(f"{place.name}: {kept:,} samples left, held-out ones included", flush=True)


def main() -> None:
    """Make every pool."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--images", type=int, default=240)
    parser.add_argument("--only", choices=["pools"])
    options = parser.parse_args()
    for place in pool_places(options.out, options.seeds):
        make_pool(place, options.images)


if __name__ == "__main__":
    main()
