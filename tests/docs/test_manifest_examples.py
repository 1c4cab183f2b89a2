"""docs/manifest.md: its examples run; its tables are checked in test_reference_pages.py."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pytest

from medsift import records
from medsift.manifest import RunRecord, query, write_manifest

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "manifest.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)


def row(index: int) -> str:
    return records.row_id("hospital", "train.jsonl", index)


def sample(index: int, answer: str) -> dict[str, object]:
    return {
        "sample_id": f"id{index}",
        "row_id": row(index),
        "source": "hospital",
        "modality": ("ct", "mr")[index // 2],
        "task_type": "presence",
        "question": f"Is there a lesion{'?' * (1 + index % 2)}",
        "answer": answer,
        "messages": [{"role": "user", "content": "Is there?"}],
        "refs": [f"/images/{index // 2}.png"],
        "images": [f"image{index // 2}"],
    }


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    path = tmp_path_factory.mktemp("docs") / "manifest.duckdb"
    source = [
        {"row_id": row(index), "source": "hospital", "file": "train.jsonl", "index": index}
        for index in range(5)
    ]
    samples = [sample(index, answer) for index, answer in enumerate(["yes", "yes", "yes", "no"])]
    entries = [
        records.decision(row(4), "ingest", "failed", "malformed_json", detail="line 5"),
        records.decision(
            row(1), "dedup", "dropped", "same_sample", sample="id1", witness=row(0), value=0.99,
            threshold=0.9,
        ),
    ]  # fmt: skip
    counts = [("ingest", 5, 4, 0, 1), ("dedup", 4, 3, 1, 0), ("select", 3, 2, 1, 0)]
    names = ["stage", "rows_in", "kept", "dropped", "failed"]
    stages = [
        dict(zip(names, line, strict=True)) | {"ordinal": place, "seconds": 1.0}
        for place, line in enumerate(counts)
    ]
    chosen = [
        {"selection": "all", "rank": rank, "sample_id": f"id{index}", "row_id": row(index),
         "weight": 1.0}
        for rank, index in enumerate((0, 2))
    ]  # fmt: skip
    conflicts = [
        {"group_id": "c", "sample_id": f"id{index}", "row_id": row(index), "question": "q?",
         "answer": answer}
        for index, answer in ((2, "yes"), (3, "no"))
    ]  # fmt: skip
    leak = {"row_id": row(2), "sample_id": "id2", "benchmark": "split:test", "item_id": row(3),
            "kind": "same_image", "similarity": 1.0, "verdict": "leak"}  # fmt: skip
    tables = {
        "rows": pa.Table.from_pylist(source, schema=records.ROWS),
        "samples": pa.Table.from_pylist(samples, schema=records.SAMPLES),
        "decisions": records.decisions(entries),
        "stages": pa.Table.from_pylist(stages),
        "selections": pa.Table.from_pylist(chosen),
        "conflicts_found": pa.Table.from_pylist(conflicts),
        "leaks_found": pa.Table.from_pylist([leak]),
    }
    write_manifest(path, tables, RunRecord("first", "test", datetime(2026, 1, 1)))
    return path


def test_there_are_ten_examples():
    assert len(EXAMPLES) == 10


@pytest.mark.parametrize("sql", EXAMPLES, ids=lambda sql: sql.split("FROM")[1].split()[0])
def test_every_example_answers_with_rows(manifest, sql):
    assert query(manifest, sql).num_rows > 0


def test_examples_say_what_they_promise(manifest):
    answers = [query(manifest, sql).to_pylist() for sql in EXAMPLES]
    assert answers[1][0]["explanation"] == (
        "dropped in dedup: same_sample of row hospital:train.jsonl:0 (similarity 0.99 ≥ 0.9)"
    )
    assert answers[4][0]["kept"] == "Is there a lesion?"
    assert answers[5] == [
        {"stratum": "mr / presence / unknown", "pool": 2, "selected": 1, "percent": 50.0},
        {"stratum": "ct / presence / unknown", "pool": 1, "selected": 1, "percent": 100.0},
    ]
    assert {line["modality"]: line["samples"] for line in answers[6]} == {"ct": 1, "mr": 1}
    assert answers[7][0]["answers"] == ["no", "yes"]
