"""Pictures and settings that the tests of benchmarks share."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydantic import TypeAdapter

from evaluation.benchmarks import AnyBenchmark, Benchmark

ADAPTER: TypeAdapter[AnyBenchmark] = TypeAdapter(AnyBenchmark)


@pytest.fixture(scope="session")
def picture_bytes() -> Callable[..., bytes]:
    """A small picture in a file format; another seed, another picture."""

    def made(seed: int = 0, kind: str = "PNG", size: tuple[int, int] = (40, 20)) -> bytes:
        pixels = np.random.default_rng(seed).integers(0, 255, size[::-1], dtype=np.uint8)
        packed = io.BytesIO()
        Image.fromarray(pixels).save(packed, kind)
        return packed.getvalue()

    return made


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., Benchmark]:
    """Load a benchmark from settings as a recipe would give them."""

    def loaded(**settings: Any) -> Benchmark:
        return ADAPTER.validate_python(settings).load(tmp_path / "cache")

    return loaded


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, Any], Path]:
    """Write a file of the published folder: bytes, text, or records as the suffix says."""

    def written(name: str, content: Any) -> Path:
        path = tmp_path / "published" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith(".jsonl"):
            content = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in content)
        elif name.endswith(".json"):
            content = json.dumps(content, ensure_ascii=False)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return tmp_path / "published"

    return written
