"""One small set with every defect planted, curated once through `ms.curate`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import medsift as ms
from curation.phantoms import PhantomSet, make_phantoms


@pytest.fixture(scope="session")
def planted(tmp_path_factory: pytest.TempPathFactory) -> PhantomSet:
    """Sixteen base pictures with every defect planted."""
    return make_phantoms(tmp_path_factory.mktemp("data") / "phantoms", images=16, seed=5)


@pytest.fixture(scope="session")
def settings(planted: PhantomSet, vectors: Path) -> dict[str, Any]:
    """A recipe over the planted set, as a mapping."""
    return {
        "name": "planted",
        "sources": [
            {
                "name": "p",
                "reader": "table",
                "path": str(planted.samples),
                "image_root": str(planted.images),
                "columns": {"images": "image"},
            }
        ],
        "encoder": {"kind": "embedded"},
        "cache": str(vectors),
        "failures": {"tolerance": 0.25},
    }


@pytest.fixture(scope="session")
def planted_run(settings: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> ms.Run:
    """The run of that recipe; tests may add selections to it."""
    return ms.curate(settings, tmp_path_factory.mktemp("run") / "planted", ray=False)


@pytest.fixture(scope="session")
def rows(planted: PhantomSet) -> list[dict[str, Any]]:
    """The rows of the planted set, each with its number."""
    lines = planted.samples.read_text(encoding="utf-8").splitlines()
    return [json.loads(line) | {"number": number} for number, line in enumerate(lines)]
