"""docs/selection.md names every scorer and every method, and its recipe is a recipe."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import yaml

from curation.recipe import parse_recipe
from curation.scoring import AnyScorer
from curation.selection import AnyMethod

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "selection.md").read_text(encoding="utf-8")


def kinds(union) -> set[str]:
    return {
        get_args(one.model_fields["kind"].annotation)[0] for one in get_args(get_args(union)[0])
    }


def listed(heading: str) -> set[str]:
    section = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE))


def test_every_scorer_and_every_method_has_its_line() -> None:
    assert listed("Scores") == kinds(AnyScorer)
    assert listed("Methods") == kinds(AnyMethod)


def test_the_settings_shown_are_valid() -> None:
    settings = yaml.safe_load(re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)[0])
    source = {"name": "s", "reader": "table", "path": "rows.jsonl"}
    whole = {"name": "x", "sources": [source], "encoder": {"kind": "embedded"}} | settings
    assert len(parse_recipe(yaml.safe_dump(whole)).selections) == 2
