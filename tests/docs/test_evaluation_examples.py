"""docs/evaluation.md: its recipe is one, its SQL answers, and it names every kind of model."""

from __future__ import annotations

import re
import typing
from pathlib import Path

import pytest
import yaml

from curation.phantoms import make_phantoms
from evaluation.benchmarks import AnyBenchmark
from evaluation.evaluate import evaluate
from evaluation.generators import AnyGenerator
from evaluation.perturb import FAMILIES
from evaluation.recipe import EvaluationRecipe
from medsift import recipe_yaml as yaml_recipe
from medsift.execution import LocalExecutor
from medsift.manifest import query

PAGE = Path(__file__).resolve().parents[2] / "docs" / "evaluation.md"
TEXT = PAGE.read_text(encoding="utf-8")
STATEMENTS = [
    part
    for block in re.findall(r"```sql\n(.*?)```", TEXT, re.DOTALL)
    for part in block.split(";\n")
    if part.strip()
]


def kinds(union: object) -> list[str]:
    [inner, *_] = typing.get_args(union)
    return [one.model_fields["kind"].default for one in typing.get_args(inner)]


@pytest.fixture(scope="module")
def manifest(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("docs")
    drawn = make_phantoms(folder / "phantoms", images=16, seed=4)
    settings = {
        "name": "docs",
        "runs": str(folder),
        "models": [{"kind": "majority"}, {"kind": "prior"}],
        "benchmarks": [{"kind": "phantoms", "path": str(drawn.root), "split": "train"}],
        "resampling": {"draws": 199},
    }
    return evaluate(yaml_recipe.validated(EvaluationRecipe, settings), LocalExecutor()).manifest


@pytest.mark.parametrize("sql", STATEMENTS, ids=["wrong", "cells"])
def test_every_statement_answers_with_rows(manifest, sql):
    assert query(manifest, sql).num_rows > 0


def test_the_recipe_is_valid():
    [block] = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
    recipe = yaml_recipe.validated(EvaluationRecipe, yaml.safe_load(block))
    assert {model.kind for model in recipe.models} < set(kinds(AnyGenerator))


def test_every_kind_of_model_benchmark_and_variant_is_named():
    for name in (*kinds(AnyGenerator), *kinds(AnyBenchmark)):
        assert f"`{name}`" in TEXT, name
    for family in FAMILIES[1:]:
        assert family.family in TEXT, family.family
