"""One pool, whose rows are files of their own, curated once."""

from __future__ import annotations

from pathlib import Path

import pytest

from curation.add_selection import add_selection
from curation.phantoms import PhantomSet, make_phantoms
from curation.pipeline import curate
from medsift.execution import LocalExecutor
from tests.curation.increments.pools import ADDED, recipe_of, split_rows


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory) -> PhantomSet:
    return make_phantoms(tmp_path_factory.mktemp("data") / "phantoms", images=16, seed=7)


@pytest.fixture(scope="session")
def files(phantoms, tmp_path_factory) -> list[Path]:
    return split_rows(phantoms, tmp_path_factory.mktemp("rows") / "rows", rows=45)


@pytest.fixture(scope="session")
def first(phantoms, files, tmp_path_factory) -> Path:
    """A folder with a run of all rows and the cache that only this run uses."""
    root = tmp_path_factory.mktemp("first")
    curate(recipe_of(files[0].parent, phantoms, root / "cache"), root / "run", LocalExecutor())
    add_selection(root / "run", ADDED)
    return root
