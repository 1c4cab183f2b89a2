"""`medsift compare` from the command line, and `medsift export` with it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from medsift import records
from medsift.manifest import RunRecord, write_manifest


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    samples = [
        {"sample_id": f"id{index}", "row_id": f"s:f:{index}", "source": "s", "modality": "[ct]",
         "question": "Is it?", "answer": "yes", "refs": [], "images": [],
         "messages": [{"role": "user", "content": "Is it?"}]}
        for index in range(4)
    ]  # fmt: skip
    chosen = [
        {"selection": name, "rank": rank, "weight": 1.0, "stratum": "[ct]",
         **{key: samples[index][key] for key in ("sample_id", "row_id")}}
        for name, places in (("kept", (0, 1, 2, 3)), ("small", (3, 1)))
        for rank, index in enumerate(places)
    ]  # fmt: skip
    tables = {
        "rows": pa.Table.from_pylist(
            [{"row_id": line["row_id"], "source": "s", "file": "f", "index": 0} for line in samples]
        ),
        "samples": pa.Table.from_pylist(samples, schema=records.SAMPLES),
        "selections": pa.Table.from_pylist(chosen),
    }
    write_manifest(folder / "manifest.duckdb", tables, RunRecord("r", "t", datetime(2026, 1, 1)))
    return folder


Medsift = Callable[..., Any]


def test_a_table_and_json_go_to_stdout(medsift: Medsift, run_dir: Path) -> None:
    said = medsift("compare", run_dir, "kept", "small")
    assert (said.code, said.err) == (0, "")
    assert "rows of kept and small" in said.out
    assert "[ct]" in said.out, "a stratum's name is no markup"
    said = medsift("compare", run_dir / "manifest.duckdb", "kept", "small", "--format", "json")
    assert json.loads(said.out)["overlaps"][0]["rows_jaccard"] == 0.5


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("kept", "tiny"), "has no selection 'tiny'; it has kept, small"),
        (("kept", "kept"), "selection 'kept' is given twice; name two different ones"),
        (("kept", "small", "--run-id", "x"), "has no run 'x'; it has r"),
        (("kept",), "[command_invalid]"),
        (("kept", "small", "--format", "yaml"), "[command_invalid]"),
    ],
)
def test_what_cannot_be_compared_is_one_line(
    medsift: Medsift, run_dir: Path, words: tuple[str, ...], message: str
) -> None:
    said = medsift("compare", run_dir, *words)
    assert (said.code, said.out) == (2, "")
    assert message in said.error


def test_a_run_directory_without_a_manifest_is_one_line(medsift: Medsift, tmp_path: Path) -> None:
    said = medsift("compare", tmp_path, "a", "b")
    assert said.code == 2
    assert said.error_code == "manifest_missing"


def test_export_takes_a_selection_by_name(medsift: Medsift, run_dir: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.jsonl"
    words = ("export", run_dir, "--format", "messages", "--output", target, "--selection", "small")
    said = medsift(*words)
    assert (said.code, said.out) == (0, f"2 samples of selection 'small' in {target}\n")
    assert [json.loads(line)["rank"] for line in target.read_text().splitlines()] == [0, 1]
    again = medsift(*words)
    assert again.code == 2
    assert "is not empty; name another one or remove it" in again.error


def test_a_run_is_compared_with_itself_by_its_selections(medsift: Medsift, run_dir: Path) -> None:
    said = medsift("diff", run_dir, "--selection-a", "small", "--json")
    assert (said.code, said.err) == (0, "")
    found = json.loads(said.out)
    assert [(line["change"], line["rows"]) for line in found["counts"]] == [("left", 2)]
    assert [line["row_id"] for line in found["rows"]] == ["s:f:1", "s:f:3"]
    said = medsift("diff", run_dir)
    assert (said.code, said.error_code) == (2, "runs_too_few")
