"""Answer losses that a worker of Ray finds."""

# Fixtures of another file are imported, and then named by whoever wants them.
# ruff: noqa: F811

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from medsift.models import TransformersModelConfig
from tests.curation.scoring.test_language import (  # noqa: F401 - fixtures
    Context,
    context,
    conversations,
    losses,
    saved,
    tiny,
)


@pytest.mark.nightly
@pytest.mark.ray
def test_a_worker_of_ray_finds_the_same_losses(
    saved: TransformersModelConfig,
    context: Context,
    tmp_path: Path,
    one_worker: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from ray_jobs.executor import RayExecutor

    spoken = conversations(60)
    wanted = losses(context(spoken, "a"), saved, 256)
    monkeypatch.setattr("curation.scoring.language.CHARACTERS_PER_ITEM", 3_000)
    spread = context(spoken, "b", executor=RayExecutor(), cache=tmp_path / "new")
    found = losses(spread, saved, 256)
    assert len(list((spread.folder / "losses").glob("part-*.parquet"))) > 2
    np.testing.assert_array_equal(found.conditioned, wanted.conditioned)
    np.testing.assert_array_equal(found.direct, wanted.direct)
