"""A run directory that somebody else changed: one line that names the fault, never a traceback."""

from __future__ import annotations

import shutil
from pathlib import Path

import duckdb
import pytest


@pytest.fixture
def foreign(planted_run: Path, tmp_path: Path) -> Path:
    """A copy of a run that a test may change."""
    return Path(shutil.copytree(planted_run, tmp_path / "foreign"))


def change(run_dir: Path, statement: str) -> None:
    with duckdb.connect(str(run_dir / "manifest.duckdb")) as con:
        con.execute(statement)


@pytest.mark.parametrize(
    "words",
    [
        ("report", "{run}", "--output", "{out}.html"),
        ("export", "{run}", "--format", "hf", "--output", "{out}"),
        ("select", "{run}", "--name", "small", "--budget", "10%"),
        ("splits", "{run}"),
        ("index", "{run}", "--output", "{out}"),
    ],
    ids=lambda words: words[0],
)
def test_a_recipe_that_is_no_json_is_one_line(words, foreign, medsift, tmp_path) -> None:
    change(foreign, "UPDATE runs SET recipe = '{'")
    said = medsift(*(word.format(run=foreign, out=tmp_path / "out") for word in words))
    assert said.code == 2
    assert len(said.err.splitlines()) == 1
    assert "recipe" in said.err


def test_a_fault_of_ours_stays_loud(foreign, medsift, tmp_path, monkeypatch) -> None:
    def fail(*_: object) -> None:
        raise KeyError("ours")

    monkeypatch.setattr("curation.report.write_report", fail)
    with pytest.raises(KeyError, match="ours"):
        medsift("report", foreign, "--output", tmp_path / "out.html")


@pytest.mark.parametrize("damage", ["gone", "empty", "cut", "flipped"])
@pytest.mark.parametrize(
    ("command", "table"),
    [
        ("splits", "ingest-*/samples"),
        ("index", "ingest-*/samples"),
        ("index", "images-*/images"),
        ("select", "dedup-*/decisions"),
    ],
)
def test_a_damaged_part_is_never_read_as_fewer_rows(
    damage, command, table, foreign, medsift, tmp_path
) -> None:
    part = min(foreign.glob(f"stages/{table}/part-*.parquet"))
    data = bytearray(part.read_bytes())
    data[len(data) // 2] ^= 1
    part.unlink()
    if damage != "gone":
        part.write_bytes({"empty": b"", "cut": data[:-9], "flipped": data}[damage])
    extra = {
        "splits": (),
        "index": ("--output", tmp_path / "out"),
        "select": ("--name", "small", "--budget", "10%"),
    }[command]
    said = medsift(command, foreign, *extra)
    assert said.code == 3
    assert part.name in said.err
    assert len(said.err.splitlines()) == 1


def test_a_run_that_names_no_stage_of_its_own_is_one_line(foreign, medsift) -> None:
    change(foreign, "DELETE FROM stages WHERE stage = 'dedup'")
    said = medsift("splits", foreign)
    assert (said.code, said.error_code) == (2, "stage_missing")


def test_a_column_named_by_a_statement_is_a_column(foreign, medsift, tmp_path) -> None:
    target = tmp_path / "written"
    column = f"x\" FROM old.scores; COPY (SELECT 1) TO '{target}'; --"
    quoted = column.replace('"', '""')
    change(foreign, f'ALTER TABLE scores ADD COLUMN "{quoted}" VARCHAR')
    change(foreign, "UPDATE runs SET run_id = 'another'; UPDATE scores SET run_id = 'another'")
    said = medsift("curate", foreign / "recipe.yaml", "--local", "--run-dir", foreign)
    assert said.code in (0, 2)
    assert not target.exists()


def test_a_picture_of_any_size_is_not_read(foreign, medsift, tmp_path) -> None:
    huge = tmp_path / "huge.png"
    with huge.open("wb") as file:
        file.truncate(1 << 40)  # sparse; more than any memory
    ref = f"list_transform(images, lambda x: struct_update(x, ref := '{huge}'))"
    change(foreign, f"UPDATE samples SET images = {ref}")
    change(foreign, f"UPDATE images SET ref = '{huge}'")
    said = medsift("export", foreign, "--format", "hf", "--output", tmp_path / "out")
    assert said.code == 3
    assert "bytes" in said.err
    assert medsift("report", foreign, "--output", tmp_path / "out.html").code == 0


def test_an_error_says_control_characters_in_letters(foreign, medsift) -> None:
    change(foreign, "UPDATE stages SET stage = chr(27) || '[2J/' || stage")
    said = medsift("splits", foreign)
    assert said.code == 2
    assert "\x1b" not in said.err
