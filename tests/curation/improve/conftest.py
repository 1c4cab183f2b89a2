"""A run to improve, cut into its parts once."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from curation.improve.parts import Cut, cut_parts
from curation.improve.settings import ImproveConfig
from curation.run_dir import open_run

CELLS = ("task_type",)
ConfigMaker = Callable[..., ImproveConfig]


@pytest.fixture(scope="module")
def run_dir(phantom_run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the run that improvements may add to."""
    return shutil.copytree(phantom_run.manifest.parent, tmp_path_factory.mktemp("improve") / "run")


@pytest.fixture(scope="module")
def make_config(run_dir: Path) -> ConfigMaker:
    """Settings of a small improvement."""

    def make(**more: Any) -> ImproveConfig:
        settings: dict[str, Any] = {
            "name": "small",
            "run": run_dir,
            "budget": "30%",
            "rounds": 2,
            "cells": CELLS,
            "validation": 0.3,
            "min_groups": 3,
            "curves": {"budgets": [0.2, 0.5, 1.0], "draws": 2, "resamples": 50},
        }
        return ImproveConfig.model_validate(settings | more)

    return make


@pytest.fixture(scope="module")
def cut(run_dir: Path, make_config: ConfigMaker) -> Cut:
    """Its parts."""
    return cut_parts(open_run(run_dir).upstream, CELLS, make_config(), 0)
