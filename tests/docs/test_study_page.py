"""docs/study.md: its recipe is a recipe, its query is one."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from medsift.manifest import query
from ray_jobs.study.recipe import StudyRecipe
from tests.study_trials import trials_of, write_study

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "study.md").read_text(encoding="utf-8")


def test_the_recipe_shown_is_valid() -> None:
    [shown] = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    recipe = StudyRecipe.model_validate(yaml.safe_load(shown))
    assert list(recipe.arms) == ["facility_location", "by_quality"]
    assert recipe.equalise == "steps"


def test_the_query_shown_answers_with_a_line_for_every_arm_and_budget(tmp_path: Path) -> None:
    [sql] = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)
    manifest = write_study(tmp_path / "m.duckdb", trials_of())
    assert query(manifest, sql.strip().removesuffix(";")).num_rows == 2 * 4
