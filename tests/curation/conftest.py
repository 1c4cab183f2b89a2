"""A small phantom set, curated once, that the tests of runs share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from curation.phantoms import PhantomSet, make_phantoms
from curation.pipeline import RunResult, curate
from curation.recipe import Recipe, parse_recipe
from medsift.execution import LocalExecutor

RECIPE = """
name: phantoms
sources:
  - name: phantoms
    reader: table
    path: {root}/{table}
    image_root: {root}/images
encoder: {{kind: embedded}}
cache: {cache}
failures: {{tolerance: 0.25}}
compute: {{images_per_batch: 16, rows_per_batch: 200}}
"""
PhantomRecipe = Callable[..., Recipe]


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> PhantomSet:
    """Twenty base pictures with every defect planted."""
    return make_phantoms(tmp_path_factory.mktemp("data") / "phantoms", images=20, seed=3)


@pytest.fixture(scope="session")
def phantom_recipe(phantoms: PhantomSet, vectors: Path) -> PhantomRecipe:
    """A recipe over the phantom set, or another table in its folder; vectors are shared."""

    def make(*overrides: str, table: str = "samples.jsonl", cache: Path = vectors) -> Recipe:
        text = RECIPE.format(root=phantoms.root, table=table, cache=cache)
        return parse_recipe(text, overrides)

    return make


@pytest.fixture(scope="session")
def phantom_run(
    phantom_recipe: PhantomRecipe, tmp_path_factory: pytest.TempPathFactory
) -> RunResult:
    """The phantom set curated in this process without interruption."""
    return curate(phantom_recipe(), tmp_path_factory.mktemp("run"), LocalExecutor())
