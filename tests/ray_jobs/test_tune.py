"""`medsift tune`: rows become a model that was asked before and after, and once is enough."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from curation.phantoms import PhantomSet
from medsift.manifest import read
from tests.ray_jobs.conftest import RecipeWriter, Said

Tune = Callable[..., Said]
ITEMS = 12
ALL = [{"name": "all", "method": {"kind": "random"}, "budget": {"fraction": 1.0}}]


@pytest.fixture
def written(
    tmp_path: Path, phantom_recipe: RecipeWriter, planted: PhantomSet, tiny_model: Path
) -> Callable[..., Path]:
    """Write the recipes of curation, training and the whole, whose settings may change."""
    training = {
        "name": "small",
        "run": "elsewhere",
        "base": {"kind": "transformers", "model": str(tiny_model)},
        "lora": {"rank": 4, "alpha": 64},
        "optimiser": {"lr": 0.05},
        "steps": 2,
        "log": {"tensorboard": False},
    }
    path = tmp_path / "train.yaml"
    path.write_text(yaml.safe_dump(training), encoding="utf-8")

    def write(**changed: Any) -> Path:
        whole = {
            "name": "whole",
            "curation": str(phantom_recipe(selections=ALL)),
            "training": str(path),
            "evaluation": {
                "benchmarks": [{"kind": "phantoms", "path": str(planted.root), "split": "train"}],
                "items": ITEMS,
                "variants": ["blank"],
                "generation": {"max_new_tokens": 1},
            },
        }
        path_of_whole = tmp_path / "whole.yaml"
        path_of_whole.write_text(yaml.safe_dump(whole | changed), encoding="utf-8")
        return path_of_whole

    return write


def test_one_recipe_curates_trains_and_asks_before_and_after(
    medsift: Tune, written: Callable[..., Path], tmp_path: Path
):
    run, recipe = tmp_path / "run", written()
    manifest = run / "manifest.duckdb"
    said = medsift("tune", recipe, "--local", "--run-dir", run)
    assert said.code == 0, said.err
    asked = read(
        manifest,
        "SELECT e.model, count(*) AS n, list_sort(list(DISTINCT p.variant)) AS variants "
        "FROM evaluations e JOIN predictions p USING (evaluation_id) GROUP BY ALL ORDER BY ALL",
    ).to_pylist()
    assert [line["model"] for line in asked] == ["after", "before", "majority"]
    assert {line["n"] for line in asked} == {2 * ITEMS}
    assert all(line["variants"] == ["blank", "original"] for line in asked)
    [training] = read(manifest, "SELECT training_id, selection FROM trainings").to_pylist()
    assert training["selection"] == "all"
    [after] = read(
        manifest, "SELECT training_id FROM evaluations WHERE model = 'after'"
    ).to_pylist()
    assert after["training_id"] == training["training_id"]
    told = said.out.splitlines()
    assert [line for line in told if "before" in line]
    assert [line for line in told if training["training_id"] in line]

    again = medsift("tune", recipe, "--local", "--run-dir", run)
    assert again.code == 0, again.err
    assert "finished before" in again.out
    assert read(manifest, "SELECT count(*) AS n FROM trainings").to_pylist() == [{"n": 1}]


def test_what_is_wrong_with_a_part_is_said_before_anything_runs(
    medsift: Tune, written: Callable[..., Path], tmp_path: Path
):
    run = tmp_path / "run"
    for changed, words in (
        ({"training": str(tmp_path / "none.yaml")}, "[recipe_missing]"),
        ({"curation": "phantom"}, "[recipe_missing]"),
        ({"evaluation": {"benchmarks": []}}, "[recipe_invalid]"),
    ):
        said = medsift("tune", written(**changed), "--local", "--run-dir", run)
        assert said.code == 2
        assert words in said.error
    assert not run.exists()
