"""One selection with everything an export meets: no picture, several, DICOM, marks, odd text."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from medsift import records
from medsift.images import ImagesConfig, decode
from medsift.manifest import RunRecord, write_manifest

SAMPLES = 9
DICOM_AT = 8
LICENCES = ("CC BY 4.0", "PhysioNet Restricted", None)


def pictures(folder: Path, index: int) -> list[str]:
    """Sample 0 is text-only, every third has two pictures, formats differ, one is DICOM."""
    if index == 0:
        return []
    if index == DICOM_AT:
        from pydicom.data import get_testdata_file

        return [shutil.copy(str(get_testdata_file("CT_small.dcm", download=False)), folder)]
    paths = []
    for place in range(2 if index % 3 == 0 else 1):
        path = folder / f"{index}-{place}.{'png' if index % 2 else 'jpg'}"
        Image.fromarray(np.full((8, 8), 20 * index + place, np.uint8)).save(path)
        paths.append(str(path))
    return paths


def image_id(ref: str) -> str:
    """The identity that a run gives to a picture."""
    path = Path(ref)
    return decode(path.read_bytes(), path.name, ImagesConfig()).image_id


def sample(folder: Path, index: int) -> dict[str, Any]:
    """One sample; its patient's number would not survive being read as a number."""
    refs = pictures(folder, index)
    question = "Left or <image> right?" if index == 1 else f'Is "{index}" né?\nSay </b>.'
    turns = [{"role": "system", "content": "Be brief."}] if index == 2 else []
    turns += [{"role": "user", "content": question}, {"role": "assistant", "content": "yes"}]
    return {
        "sample_id": f"id{index}",
        "row_id": records.row_id("s", "f", index),
        "source": "s" if index % 2 else "t",
        "modality": "ct",
        "task_type": "pre|sence",
        "language": "en",
        "patient_id": f"00{index}",
        "license": LICENCES[index % 3],
        "question": question,
        "answer": "yes",
        "messages": turns,
        "refs": refs,
        "images": [image_id(ref) for ref in refs],
    }


def chosen(line: Mapping[str, Any], rank: int, **more: Any) -> dict[str, Any]:
    """A line of the selection `small`."""
    named = {key: line[key] for key in ("sample_id", "row_id")}
    return {
        "selection": "small",
        "rank": rank,
        "weight": 1.5 + rank,
        "stratum": "a",
        **named,
    } | more


SETTINGS = {
    "selection": "small",
    "ordinal": 0,
    "created_at": datetime(2026, 1, 2, 3, 4, 5),
    "method": "facility_location",
    "budget": "75%",
    "settings": '{"kind": "facility_location", "quality_weight": 0.5}',
    "seed": 7,
    "fingerprint": "f1",
    "pool": 12,
    "selected": SAMPLES,
    "tokens": 123,
    "objective": 4.5,
    "coverage": 0.875,
}


def write(path: Path, samples: Sequence[Mapping[str, Any]], **more: Any) -> Path:
    """A manifest in which the samples are selected in reverse."""
    rows = [
        {"row_id": line["row_id"], "source": line["source"], "file": "f", "index": index}
        for index, line in enumerate(samples)
    ]
    lines = [chosen(line, rank) for rank, line in enumerate(reversed(samples))]
    tables = {
        "rows": pa.Table.from_pylist(rows, schema=records.ROWS),
        "samples": pa.Table.from_pylist(list(samples), schema=records.SAMPLES),
        "selections": pa.Table.from_pylist(lines),
        **more,
    }
    recipe = {"sources": [{"name": "s", "reader": "table", "path": "/home/someone/data.csv"}]}
    run = RunRecord(
        "run-a",
        "test",
        datetime(2026, 1, 1),
        recipe=recipe,
        recipe_fingerprint="r1",
        input_fingerprint="i1",
        code_version="0.1.0",
        seed=1,
    )
    write_manifest(path, tables, run)
    return path


@pytest.fixture(scope="session")
def write_selection() -> Callable[..., Path]:
    """Write samples as a manifest that selects them."""
    return write


@pytest.fixture(scope="session")
def samples(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The samples, their pictures on disk."""
    folder = tmp_path_factory.mktemp("pictures")
    return [sample(folder, index) for index in range(SAMPLES)]


@pytest.fixture(scope="session")
def manifest(tmp_path_factory: pytest.TempPathFactory, samples: list[dict[str, Any]]) -> Path:
    """The manifest of the selection `small`, with how it was made."""
    settings = pa.Table.from_pylist([SETTINGS])
    stages = pa.Table.from_pylist(
        [{"ordinal": 0, "stage": "ingest", "rows_in": 9, "kept": 9, "dropped": 0, "failed": 0}]
    )
    path = tmp_path_factory.mktemp("run") / "manifest.duckdb"
    return write(path, samples, selection_settings=settings, stages=stages)


@pytest.fixture(scope="session")
def expected(samples: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What must travel along, in rank order."""
    return [
        {**chosen(line, rank), "pictures": len(line["refs"]), "patient_id": line["patient_id"]}
        for rank, line in enumerate(reversed(samples))
    ]
