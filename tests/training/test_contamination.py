"""The gate: what curation found of a benchmark among the selected samples, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from curation.decontaminate import SAME_IMAGE
from medsift import records
from medsift.manifest import RunRecord, write_manifest
from medsift.vocabulary import NEAR
from tests.expect import raises_code
from tests.training.conftest import recipe
from training.contamination import Verdict, check_contamination

Hits = list[tuple[int, str, str]]
Gate = Callable[..., Verdict]


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    """The verdict on rows 0 to 3 of six; hits are (row, benchmark, verdict)."""

    def decide(hits: Hits, compared: tuple[str, ...] = ("slake",), **settings: Any) -> Verdict:
        manifest = tmp_path / "manifest.duckdb"
        tables = {
            "rows": pa.Table.from_pylist([_row(k) for k in range(6)], schema=records.ROWS),
            "samples": pa.Table.from_pylist([_row(k) for k in range(6)], schema=records.SAMPLES),
            "selections": pa.Table.from_pylist([_chosen(k) for k in range(4)]),
        }
        if hits:
            tables["leaks_found"] = pa.Table.from_pylist([_hit(*hit) for hit in hits])
        listed = [{"name": name, "index": "there"} for name in compared]
        made_by = {"decontaminate": {"benchmarks": listed}}
        run = RunRecord("one", "test", datetime(2026, 1, 1), recipe=made_by)
        write_manifest(manifest, tables, run)
        given = recipe(tmp_path, "base", **settings)
        return check_contamination(manifest, "one", "chosen", given)

    return decide


def _row(place: int) -> dict[str, Any]:
    return {
        "sample_id": f"id{place}",
        "row_id": f"s:f:{place}",
        "source": "s",
        "file": "f",
        "index": place,
        "messages": [{"role": "user", "content": "?"}],
        "refs": [],
        "images": [],
        "split": "train" if place < 5 else "test",
    }


def _chosen(place: int) -> dict[str, Any]:
    row = _row(place)
    return {"selection": "chosen", "rank": place, "sample_id": row["sample_id"],
            "row_id": row["row_id"], "weight": 1.0}  # fmt: skip


def _hit(place: int, benchmark: str, verdict: str) -> Mapping[str, Any]:
    return {
        "row_id": f"s:f:{place}",
        "sample_id": f"id{place}",
        "benchmark": benchmark,
        "item_id": f"item{place}",
        "kind": "same_image",
        "similarity": 0.9 + place / 100,
        "verdict": verdict,
    }


def refused(gate: Gate, *given: Any, **settings: Any) -> dict[str, Any]:
    """The values of the error that refuses a selection."""
    with raises_code("selection_contaminated") as caught:
        gate(*given, **settings)
    message = str(caught.value)
    assert "\n" not in message
    assert "or set allow_contaminated: true" in message
    return caught.value.values


def test_without_benchmarks_nobody_looked(gate):
    assert gate([(0, "slake", SAME_IMAGE)]) == Verdict()
    assert Verdict().contaminated is None


def test_a_benchmark_that_was_not_compared_closes_the_gate(gate):
    values = refused(gate, [], benchmarks=["vqa"])
    assert values == {"benchmark": "vqa", "rows": [], "known": ["slake"]}
    assert refused(gate, [], (), benchmarks=["vqa"])["known"] == []


def test_a_known_hit_closes_it_and_an_unresolved_one_too(gate):
    hits = [(1, "slake", SAME_IMAGE), (2, "slake", SAME_IMAGE), (3, "slake", NEAR)]
    assert refused(gate, hits, benchmarks=["slake"])["rows"] == ["s:f:2", "s:f:1"]
    assert refused(gate, hits[2:], benchmarks=["slake"])["rows"] == ["s:f:3"]
    found = gate(hits, benchmarks=["slake"], allow_contaminated=True)
    assert [reason.partition(", for example ")[2] for reason in found.reasons] == [
        "s:f:2 (same image as item2 of slake)",
        "s:f:3 (near, unresolved as item3 of slake)",
    ]
    assert all(" of 4 selected samples" in reason for reason in found.reasons)


def test_what_is_not_selected_or_not_asked_about_is_nobody_s_business(gate):
    hits = [(4, "slake", SAME_IMAGE), (0, "other", SAME_IMAGE), (0, "split:test", "leak")]
    assert gate(hits, benchmarks=["slake"]) == Verdict(("slake",), contaminated=False)


def test_a_row_that_is_known_is_not_counted_as_near_as_well(gate):
    hits = [(1, "slake", NEAR), (1, "slake", SAME_IMAGE)]
    found = gate(hits, benchmarks=["slake"], allow_contaminated=True)
    assert len(found.reasons) == 1
    assert "in benchmark" in found.reasons[0]


def test_allowed_it_goes_on_and_says_why_it_should_not(gate):
    hits = [(1, "slake", SAME_IMAGE), (3, "slake", NEAR)]
    names = ["slake", "vqa"]
    found = gate(hits, benchmarks=names, allow_contaminated=True)
    assert found.contaminated is True
    assert [reason.split(" ")[0] for reason in found.reasons] == ["1", "1", "benchmark"]
    assert found.left_out == {}
    assert gate([], benchmarks=["slake"], allow_contaminated=True).contaminated is False


def test_hits_can_be_left_out_but_not_what_nobody_compared(gate):
    hits = [(1, "slake", SAME_IMAGE), (3, "slake", NEAR), (4, "slake", NEAR)]
    found = gate(hits, benchmarks=["slake"], leaks="drop")
    assert set(found.left_out) == {"s:f:1", "s:f:3"}
    assert found.left_out["s:f:1"] == "same image as item1 of slake"
    assert (found.contaminated, found.reasons) == (False, ())
    refused(gate, hits, benchmarks=["slake", "vqa"], leaks="drop")


def test_a_split_of_the_run_is_a_benchmark(gate):
    values = refused(gate, [(0, "split:test", "leak")], benchmarks=["split:test"])
    assert (values["benchmark"], values["rows"]) == ("split:test", ["s:f:0"])
    assert gate([], benchmarks=["split:test"]).contaminated is False
    values = refused(gate, [], benchmarks=["split:dev"])
    assert (values["benchmark"], values["known"]) == ("split:validation", ["test", "train"])
