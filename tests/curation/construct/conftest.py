"""Small runs with a selection to ask about, and teachers on loopback."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from curation.construct.settings import ConstructRecipe
from medsift import records
from medsift.images import ImagesConfig, decode
from medsift.manifest import RunRecord, write_manifest
from tests.curation.construct.teacher_server import TeacherServer, by_chance

START = datetime(2026, 1, 1)
IMAGES = pa.schema([(name, pa.string()) for name in ("image_id", "byte_hash", "ref")])
QUICK = {"timeout_s": 10.0, "backoff_s": 0.001, "retries": 2}


@pytest.fixture(autouse=True)
def _direct(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def case(number: int, answer: str = "yes", **more: Any) -> dict[str, Any]:
    """A line of `write_run`: a closed question about one picture."""
    turns = [("user", f"Is this case {number} abnormal?"), ("assistant", answer)]
    return {"turns": turns, "pictures": 1, "modality": "ct", **more}


def write_run(run: Path, lines: Sequence[Mapping[str, Any]]) -> Path:
    """Write a run directory whose selection `chosen` is `lines`, each with pictures of its own."""
    (run / "images").mkdir(parents=True)
    rows, images, chosen = [], [], []
    for place, line in enumerate(lines):
        ids: list[str] = []
        refs: list[str] = []
        for number in range(line["pictures"]):
            path = run / "images" / f"{place}-{number}.png"
            pixels = np.random.default_rng([place, number]).integers(0, 256, (20, 30, 3))
            Image.fromarray(pixels.astype(np.uint8)).save(path)
            refs.append(str(path))
            ids.append(decode(path.read_bytes(), path.name, ImagesConfig()).image_id)
            images.append({"image_id": ids[-1], "byte_hash": "", "ref": str(path)})
        messages = [{"role": role, "content": content} for role, content in line["turns"]]
        row = {
            "sample_id": records.sample_id(ids, messages),
            "row_id": f"s:f.jsonl:{place}",
            "source": "s",
            "file": "f.jsonl",
            "index": place,
            "messages": messages,
            "question": line["turns"][0][1],
            "answer": line["turns"][-1][1],
            "refs": refs,
            "images": ids,
            **{tag: line[tag] for tag in records.TAGS if tag in line},
        }
        rows.append(row)
        key = {"sample_id": row["sample_id"], "row_id": row["row_id"]}
        chosen.append({"selection": "chosen", "rank": place, "created_at": START, **key})
    tables = {
        "rows": pa.Table.from_pylist(rows, schema=records.ROWS),
        "samples": pa.Table.from_pylist(rows, schema=records.SAMPLES),
        "images": pa.Table.from_pylist(images, schema=IMAGES),
        "selections": pa.Table.from_pylist(
            chosen,
            schema=pa.schema(
                [(name, pa.string()) for name in ("selection", "sample_id", "row_id")]
                + [("rank", pa.int64()), ("created_at", pa.timestamp("us"))]
            ),
        ),
    }
    write_manifest(run / "manifest.duckdb", tables, RunRecord("one", "test", START))
    return run


@pytest.fixture
def serve() -> Iterator[Callable[..., TeacherServer]]:
    """Start teachers, each with a rule of its own."""
    started: list[TeacherServer] = []

    def start(rule: Any = by_chance, seconds: float = 0.0) -> TeacherServer:
        started.append(TeacherServer(rule, seconds))
        return started[-1]

    yield start
    for server in started:
        server.close()


def recipe_for(run: Path, server: TeacherServer, **settings: Any) -> ConstructRecipe:
    """A recipe that asks a teacher about a run."""
    teacher = {"url": server.url, "model": "teacher-32b", **QUICK, **settings.pop("teacher", {})}
    given = {"name": "thoughts", "run": str(run), "attempts": 4, "teacher": teacher}
    return ConstructRecipe.model_validate(given | settings)
