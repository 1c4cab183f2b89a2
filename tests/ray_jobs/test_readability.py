"""What a recipe's encoder cannot read is said before the run, at its end, and to machines."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ray_jobs.cli import run
from ray_jobs.readability import check_texts

ROWS = [
    ("Is the liver enlarged?", "yes"),
    ("肝脏是否增大？", "是"),
    ("폐렴이 있습니까?", "아니요"),
]


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.png")
    lines = [{"question": q, "answer": a, "images": "a.png"} for q, a in ROWS]
    text = "\n".join(json.dumps(line, ensure_ascii=False) for line in lines)
    (tmp_path / "rows.jsonl").write_text(text, encoding="utf-8")
    (tmp_path / "recipe.yaml").write_text(
        f"""
name: languages
runs: {tmp_path / "runs"}
encoder: {{kind: embedded}}
sources:
  - {{name: s, reader: table, path: {tmp_path / "rows.jsonl"}, image_root: {tmp_path}}}
strata: []
compute: {{ray: false}}
"""
    )
    return tmp_path / "recipe.yaml"


def test_the_doctor_counts_the_first_texts_of_a_recipe(recipe: Path) -> None:
    finding = check_texts(str(recipe))
    assert finding.status == "WARN"
    assert "4 of the first 6 distinct texts" in finding.detail
    assert "(cjk 2, hangul 2)" in finding.detail
    assert finding.fix


def test_the_doctor_is_content_with_english(recipe: Path) -> None:
    rows = recipe.with_name("rows.jsonl")
    rows.write_text(rows.read_text(encoding="utf-8").splitlines()[0], encoding="utf-8")
    assert (check_texts(str(recipe)).status, check_texts(str(recipe)).fix) == ("OK", "")


def test_the_doctor_names_a_recipe_that_is_not_there(tmp_path: Path) -> None:
    assert check_texts(str(tmp_path / "none.yaml")).status == "FAIL"


def test_a_run_says_it_before_and_after_and_so_does_one_that_is_reused(
    recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = "4 of 6 distinct texts cannot be read by encoder embedded (cjk 2, hangul 2)"
    assert run(["curate", str(recipe), "--local"]) == 0
    assert capsys.readouterr().err.count(said) == 2
    assert run(["curate", str(recipe), "--local", "--log-json"]) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [event["event"] for event in events if said in json.dumps(event)] == ["run_finished"]
    assert said in events[-1]["warnings"][0]
