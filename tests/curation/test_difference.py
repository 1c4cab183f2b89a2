"""`medsift diff`: every changed fate is listed once, with its kind and both witnesses."""

from __future__ import annotations

import random
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from curation.compare.difference import difference, difference_table, last_two_runs
from medsift import records
from medsift.manifest import RunRecord, write_manifest
from medsift.manifest.fate_changes import ABSENT, CHANGES, SELECTED, Side
from tests.expect import raises_code

Fate = tuple[str, str | None, str | None, str | None]
"""Action, stage, reason and witness."""


def write_run(folder: Path, run: str, fates: dict[str, Fate], chosen: set[str], day: int) -> Path:
    """Write rows with these fates, and a selection `small` of some, as a run of a manifest."""
    samples = [
        {"sample_id": f"id-{row}", "row_id": row, "source": "s", "question": "?", "answer": "a",
         "messages": [], "refs": [], "images": []}
        for row in fates
    ]  # fmt: skip
    decided = [
        records.decision(row, stage or "", action, reason or "", witness=witness, value=0.5)
        for row, (action, stage, reason, witness) in fates.items()
        if action != "kept"
    ]
    tables = {
        "rows": pa.Table.from_pylist(
            [{"row_id": row, "source": "s", "file": "f", "index": 0} for row in fates]
        ),
        "samples": pa.Table.from_pylist(samples, schema=records.SAMPLES),
        "decisions": records.decisions(decided),
        "stages": pa.table(
            {"ordinal": [0], "stage": [f"last-{run}"], "rows_in": [1], "kept": [1], "dropped": [0],
             "failed": [0]}
        ),
        "selections": pa.Table.from_pylist(
            [{"selection": "small", "rank": rank, "sample_id": f"id-{row}", "row_id": row}
             for rank, row in enumerate(sorted(chosen))],
            schema=pa.schema([("selection", pa.string()), ("rank", pa.int64()),
                              ("sample_id", pa.string()), ("row_id", pa.string())]),
        ),
    }  # fmt: skip
    manifest = folder / "manifest.duckdb"
    write_manifest(manifest, tables, RunRecord(run, "t", datetime(2026, 1, day)))
    return manifest


def some_fates(draw: random.Random, rows: list[str]) -> dict[str, Fate]:
    """Draw a fate for each row; the first is kept, as the witness of the rest."""
    dropped: list[Fate] = [
        ("dropped", "dedup", "paraphrase", rows[0]),
        ("dropped", "dedup", "paraphrase", rows[1]),
        ("dropped", "dedup", "same_sample", rows[0]),
        ("failed", "images", "image_missing", None),
    ]
    kept: Fate = ("kept", None, None, None)
    fates = {row: draw.choice([kept, *dropped]) for row in rows}
    return fates | {rows[0]: kept, rows[1]: kept}


def kind(before: Fate | None, after: Fate | None, was: bool, now: bool) -> str | None:
    """Return the kind of change by the words of the documentation, one row at a time."""
    if before is None:
        return "new"
    if after is None:
        return "gone"
    if before[0] != "kept" and after[0] == "kept":
        return "returned"
    if before[0] == "kept" and after[0] != "kept":
        return "lost"
    if before[0] == after[0] == "kept":
        return {(False, True): "entered", (True, False): "left"}.get((was, now))
    if before[:3] != after[:3]:
        return "other_reason"
    return None if before == after else "other_witness"


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("same_file", [True, False])
def test_every_changed_row_is_listed_once_with_its_kind(tmp_path, seed, same_file):
    draw = random.Random(seed)
    names = [f"s:f:{number}" for number in range(40)]
    sides = [some_fates(draw, [*names[:2], *sorted(draw.sample(names[2:], 30))]) for _ in "ab"]
    chosen = [{row for row, fate in side.items() if fate[0] == "kept" and draw.random() < 0.5}
              for side in sides]  # fmt: skip
    folders = [tmp_path, tmp_path if same_file else tmp_path / "other"]
    manifests = [
        write_run(folder, run, side, rows, day)
        for folder, run, side, rows, day in zip(folders, "ab", sides, chosen, (1, 2), strict=True)
    ]
    found = difference(Side(manifests[0], "a", "small"), Side(manifests[1], "b", "small"))
    expected = {}
    for row in names:
        before, after = (side.get(row) for side in sides)
        if before or after:
            change = kind(before, after, row in chosen[0], row in chosen[1])
            if change is not None:
                expected[row] = change
    lines = found.rows.to_pylist()
    assert {line["row_id"]: line["change"] for line in lines} == expected
    assert len(lines) == len(expected)
    counted: Counter[str] = Counter()
    for line in found.counts.to_pylist():
        counted[line["change"]] += line["rows"]
    assert counted == Counter(expected.values())
    actions = [{row: SELECTED if row in rows else fate[0] for row, fate in side.items()}
               for side, rows in zip(sides, chosen, strict=True)]  # fmt: skip
    for line in lines:
        assert line["action"] == actions[0].get(line["row_id"], ABSENT)
        assert line["other_action"] == actions[1].get(line["row_id"], ABSENT)
        if line["witness"] is not None:
            assert line["witness_is_now"] == actions[1].get(line["witness"], ABSENT)
        if line["other_witness"] is not None:
            assert line["other_witness_was"] == actions[0].get(line["other_witness"], ABSENT)


def test_kept_rows_are_equal_whatever_the_last_stage_is(tmp_path):
    kept: dict[str, Any] = {"s:f:0": ("kept", None, None, None)}
    first = write_run(tmp_path / "a", "a", kept, set(), 1)
    second = write_run(tmp_path / "b", "b", kept, set(), 1)
    assert difference(Side(first, ""), Side(second, "")).rows.num_rows == 0


def test_the_newest_two_runs_are_compared_by_default(tmp_path):
    fates: dict[str, Fate] = {"s:f:0": ("kept", None, None, None)}
    manifest = write_run(tmp_path, "old", fates, set(), 1)
    with raises_code("runs_too_few"):
        last_two_runs(manifest)
    write_run(tmp_path, "newer", fates, set(), 3)
    write_run(tmp_path, "new", fates, set(), 2)
    assert last_two_runs(manifest) == ("new", "newer")


def test_the_table_counts_first_and_limits_the_rows(tmp_path):
    dropped: Fate = ("dropped", "dedup", "paraphrase", "s:f:0")
    before: dict[str, Fate] = {"s:f:0": ("kept", None, None, None)}
    before |= {f"s:f:{number}": dropped for number in range(1, 6)}
    after: dict[str, Fate] = {f"s:f:{number}": ("kept", None, None, None) for number in range(1, 6)}
    first = write_run(tmp_path / "a", "a", before, set(), 1)
    second = write_run(tmp_path / "b", "b", after, set(), 2)
    found = difference(Side(first, ""), Side(second, ""))
    words = difference_table(found, limit=2)
    assert words.startswith("6 rows")
    assert words.count("returned") == 1 + 1  # its count, and one of the two rows that are shown
    assert "s:f:0 is now absent" in words
    listed = found.to_dict(limit=2)
    assert (listed["changed"], len(listed["rows"])) == (6, 2)
    assert set(CHANGES) >= {line["change"] for line in listed["counts"]}


def test_an_unknown_selection_is_refused(tmp_path):
    manifest = write_run(tmp_path, "a", {"s:f:0": ("kept", None, None, None)}, set(), 1)
    with raises_code("selection_unknown"):
        difference(Side(manifest, "", "none"), Side(manifest, ""))
