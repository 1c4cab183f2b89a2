"""The newest probe in the report of its run: figure, verdicts, sizes that it decided, its page."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from curation.report import write_report
from medsift.manifest import append_tables
from medsift.manifest.schema import arrow_schema
from tests.curation.report.test_report_page import Page

ARMS = ("facility_location", "k_center")
SHARES = (0.05, 0.1, 0.5)


def result(probe_id: str, arm: str, budget: float, accuracy: float) -> dict[str, Any]:
    known = arm not in ("random", "full")
    line = {
        "probe_id": probe_id,
        "arm": arm,
        "budget": budget,
        "samples": 1000 * budget,
        "facet": "all",
        "trainings": 1,
        "accuracy": accuracy,
        "low": accuracy - 0.02,
        "high": accuracy + 0.02,
        "n": 500,
        "clusters": 200,
        "full_difference": accuracy - 0.7,
        "full_low": accuracy - 0.72,
        "full_high": accuracy - 0.68,
        "non_inferiority": "inferior",
    }
    gap = {"random_difference": 0.05, "random_low": 0.03, "random_high": 0.07}
    efficiency = {"efficiency": 2.0, "efficiency_low": 1.5, "efficiency_high": 2.5}
    return line | gap | efficiency if known else line


def tables(probe_id: str, minute: int) -> dict[str, list[dict[str, Any]]]:
    """A probe of two arms; `longest` beats nothing."""
    settings = {"arms": [{"name": arm} for arm in ARMS], "margin": 0.02}
    run = {
        "probe_id": probe_id,
        "created_at": datetime(2026, 1, 3, 4, minute),
        "settings": json.dumps(settings),
        "seed": 0,
        "pool": 900,
        "left_out": json.dumps({"rare answer": 77}),
        "classes": ["no", "yes"],
        "asked": 500,
        "clusters": 200,
        "majority": 0.5,
        "verdict": "facility_location beats random",
        "seconds": 61.0,
    }
    rows = [
        result(probe_id, arm, share, 0.4 + share + (arm == ARMS[0]) / 10)
        for arm in ("random", *ARMS)
        for share in SHARES
    ]
    rows.append(result(probe_id, "full", 1.0, 0.7))
    return {"probe_runs": [run], "probe_results": rows}


@pytest.fixture
def manifest(curated_manifest: Path, tmp_path: Path) -> Path:
    """A run that was probed twice; `minimal` has the size that a probe decided."""
    own = Path(shutil.copy(curated_manifest, tmp_path / "manifest.duckdb"))
    # The newer one is stored first.
    for probe_id, minute in (("newer", 9), ("older", 3)):
        lines = tables(probe_id, minute)
        added = {
            name: pa.Table.from_pylist(rows, arrow_schema(name)) for name, rows in lines.items()
        }
        append_tables(own, "run-1", added)
    settings = {
        "selection": "minimal",
        "ordinal": 1,
        "created_at": datetime(2026, 1, 2, 4, 1),
        "method": "facility_location",
        "budget": "auto:0.02",
        "selected": 30,
        "pool": 120,
        "coverage": 0.6,
        "probe_id": "older",
        "explanation": "25 % of the pool is the smallest of 13 sizes <b>",
    }
    append_tables(own, "run-1", {"selection_settings": pa.Table.from_pylist([settings])})
    return own


def page_of(manifest: Path) -> Page:
    written = write_report(manifest, None, manifest.with_name("report.html"))
    return Page(written.read_text(encoding="utf-8"))


def test_the_newest_probe_is_drawn_with_a_sentence_for_each_arm(manifest: Path) -> None:
    page = page_of(manifest)
    words = " ".join(page.text["probe"].split())
    assert "Probe newer, 1 min 01 s" in words
    assert "facility_location beats random at every budget, by 5.0 points" in words
    assert "k_center beats random at every budget" in words
    assert "900 samples" in words
    assert "77 were left out: rare answer" in words
    assert [name for tag, name in page.elements if name.get("data-figure") == "probe"]


def test_the_reason_of_a_size_that_a_probe_decided_is_there_as_text(manifest: Path) -> None:
    page = page_of(manifest)
    words = " ".join(page.text["probe"].split())
    assert "(auto:0.02): 25 % of the pool is the smallest of 13 sizes <b>" in words
    assert not [tag for tag, _ in page.elements if tag == "b"]


def test_the_probes_own_page_is_linked_where_it_is_of_this_probe(manifest: Path) -> None:
    def linked() -> bool:
        return "probe.html" in [link.get("href") for tag, link in page_of(manifest).elements]

    assert not linked()
    page = manifest.with_name("probe.html")
    page.write_text('<p class="brand" data-probe="older">', encoding="utf-8")
    assert not linked()
    page.write_text('<p class="brand" data-probe="newer">', encoding="utf-8")
    assert linked()


def test_a_run_without_a_probe_says_nothing_of_probes(curated_manifest: Path) -> None:
    assert "probe" not in page_of(curated_manifest).text


def test_a_manifest_of_a_layout_without_reasons_and_probes_is_reported(manifest: Path) -> None:
    old = Path(shutil.copy(manifest, manifest.with_name("old.duckdb")))
    with duckdb.connect(str(old)) as con:
        con.execute("DROP TABLE probe_runs; DROP TABLE probe_results")
        for column in ("probe_id", "explanation"):
            con.execute(f"ALTER TABLE selection_settings DROP COLUMN {column}")
        con.execute("UPDATE runs SET schema_version = 4")
    page = page_of(old)
    assert "probe" not in page.text
    assert "minimal" in page.text["curves"]


@pytest.mark.page
def test_the_browser_draws_the_probe_without_a_complaint(
    manifest: Path, browse: Callable[..., tuple[str, str]], tmp_path: Path
) -> None:
    written = write_report(manifest, None, manifest.with_name("report.html"))
    dom, console = browse(written, tmp_path / "profile")
    assert 'data-figure="probe"' in dom
    assert dom.count('class="main-svg"') >= dom.count("data-figure=")
    assert console == ""
