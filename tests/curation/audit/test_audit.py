"""The audit of a run: its figures are those of the manifest, and its policy decides the status."""

from __future__ import annotations

import json
from datetime import datetime
from html.parser import HTMLParser
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from curation.audit.audit import audit
from curation.audit.show import audit_text
from medsift import records
from medsift.manifest import RunRecord, write_manifest
from medsift.manifest.schema import arrow_schema
from ray_jobs.cli import run

LIMITS = {"patients_across_splits": 1, "identifiers_left": 0}


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """A run whose audit fails."""
    return write(tmp_path / "run", LIMITS)


def write(folder: Path, limits: dict[str, int]) -> Path:
    """Six rows: a patient in two splits, two licences that exclude each other, a dropped row."""
    rows, samples = [], []
    for number in range(6):
        place = {"row_id": f"s:f:{number}", "source": "s", "file": "f", "index": number}
        licence = ("CC BY-SA 4.0", "CC BY-NC 4.0", None)[number % 3]
        tags = {"split": "test" if number == 1 else "train", "patient_id": f"p{number // 2}"}
        notes = ["laterality: text says left, marker right"] if number == 2 else []
        rows.append(place)
        ids = {"row_id": place["row_id"], "source": "s", "sample_id": f"id{number}"}
        samples.append(ids | {"notes": notes}
                       | tags | {"license": licence, "question": "q", "answer": "a"})  # fmt: skip
    found = [
        {"place": "question", "row_id": f"s:f:{number}", "kind": "url", "action": action}
        for number, action in ((0, "flag"), (5, "flag"), (3, "mask"))
    ]
    leak = {
        "row_id": "s:f:0",
        "sample_id": "id0",
        "benchmark": "b",
        "item_id": "i",
        "kind": "near_image",
    }
    tables = {
        "rows": pa.Table.from_pylist(rows, schema=records.ROWS),
        "samples": pa.Table.from_pylist(samples, schema=records.SAMPLES),
        "decisions": records.decisions([records.decision("s:f:5", "dedup", "dropped", "exact")]),
        "privacy_findings": pa.Table.from_pylist(found, schema=arrow_schema("privacy_findings")),
        "masked_images": pa.Table.from_pylist(
            [{"image_id": "i", "painted": 0.2, "readings": 2, "verdict": "review"}],
            schema=arrow_schema("masked_images"),
        ),
        "leaks_found": pa.Table.from_pylist([leak | {"verdict": "near, unresolved"}]),
    }
    recipe = {"audit": limits, "privacy": {"text": "mask", "pictures": "off"}}
    path = folder / "manifest.duckdb"
    folder.mkdir()
    write_manifest(path, tables, RunRecord("run-a", "set", datetime(2026, 1, 1), recipe=recipe))
    return path


def test_figures_are_those_of_the_kept_rows(manifest: Path):
    found = {check.name: check.found for check in audit(manifest).checks}
    assert found == {
        "identifiers_left": 1,
        "pictures_for_review": 1,
        "rows_without_licence": 1,
        "licence_conflicts": 1,
        "laterality_conflicts": 1,
        "patients_across_splits": 1,
        "predicted_tags": 0,
        "near_benchmark": 1,
    }


def test_the_policy_decides_the_exit_status_and_names_what_failed(
    manifest: Path, tmp_path: Path, capsys
):
    assert run(["audit", str(manifest.parent)]) == 4
    out, err = capsys.readouterr()
    assert "error[audit_failed]" in err
    assert "patients in more than one split" in out
    other = write(tmp_path / "other", LIMITS | {"identifiers_left": 1})
    assert run(["audit", str(other.parent), "--format", "json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["passed"]
    assert said["licence_conflicts"] == [["CC-BY-NC-4.0", "CC-BY-SA-4.0"]]
    assert said["patients_across_splits"] == [
        {"splits": "test and train", "patients": 1, "rows": 2}
    ]


def test_the_page_has_every_table_names_nobody_and_fetches_nothing(manifest: Path):
    class Text(HTMLParser):
        said = ""

        def handle_data(self, data: str) -> None:
            self.said += f" {data.strip()}"

    run(["audit", str(manifest.parent), "--output", str(manifest.parent / "a.html")])
    page = (manifest.parent / "a.html").read_text(encoding="utf-8")
    parser = Text()
    parser.feed(page)
    assert "Audit failed" in parser.said
    assert "Licences of kept rows" in parser.said
    assert "default-src &#39;none&#39;" in page
    assert "p0" not in parser.said
    assert "s:f:0" not in parser.said


def test_a_run_without_any_finding_is_audited(tmp_path: Path):
    tables = {"rows": records.ROWS.empty_table(), "samples": records.SAMPLES.empty_table()}
    write_manifest(tmp_path / "m.duckdb", tables, RunRecord("run-a", "set", datetime(2026, 1, 1)))
    found = audit(tmp_path / "m.duckdb")
    assert found.passed
    assert "0 of 0 rows" in audit_text(found)


def test_a_manifest_of_an_older_layout_is_audited(manifest: Path):
    with duckdb.connect(manifest) as con:
        con.execute("DROP TABLE privacy_findings; DROP TABLE masked_images")
        con.execute("UPDATE runs SET schema_version = 8")
    assert audit(manifest).findings == []
