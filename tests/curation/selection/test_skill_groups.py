"""Quotas by skill: what they count, what they need, and that a recipe is refused early."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from curation.recipe import parse_recipe
from curation.scoring.skills import SKILLS
from curation.selection.config import SelectionConfig
from curation.selection.quality import Scores
from curation.selection.quotas import QuotasConfig
from curation.selection.select import select
from curation.selection.skill_groups import read_skill_groups
from medsift.execution import LocalExecutor
from tests.expect import raises_code


@pytest.fixture
def skills(candidates, tmp_path: Path) -> Scores:
    """Skills of all candidates but every tenth, in another order and in two parts."""
    ids = candidates.sample_ids
    names = [None if row % 10 == 0 else f"skill_{row % 3}" for row in range(len(ids))]
    order = np.random.default_rng(1).permutation(len(ids))
    table = pa.table([ids, names, [None] * len(ids)], schema=SKILLS).take(pa.array(order))
    (tmp_path / "skills").mkdir()
    for part, rows in enumerate((table.slice(0, 77), table.slice(77))):
        pq.write_table(rows, tmp_path / "skills" / f"part-{part:06d}.parquet")
    return Scores(None, tmp_path / "skills")


def make(candidates, scores, **settings):
    config = SelectionConfig.model_validate({"name": "x", "budget": 40, **settings})
    return select(candidates, scores, config, 0, LocalExecutor())


@pytest.mark.parametrize("method", ["facility_location", "random", "k_center", "top_score"])
@pytest.mark.parametrize("kind", ["equal", "proportional"])
def test_every_method_fills_quotas_by_skill(candidates, skills, method, kind) -> None:
    quotas = {"kind": kind, "by": "skill"}
    found = make(candidates, skills, method={"kind": method}, quotas=quotas)
    groups = read_skill_groups(candidates.sample_ids, skills)
    assert groups.names == ("skill_0", "skill_1", "skill_2", "unknown")
    taken = np.bincount(groups.code[found.order], minlength=4)
    assert taken.tolist() == QuotasConfig(kind=kind).counts(groups, 40).tolist()


def test_skills_decide_the_fingerprint_only_where_they_are_asked_for(candidates, skills) -> None:
    plain = make(candidates, Scores(None))
    assert make(candidates, skills).fingerprint == plain.fingerprint
    by_skill = make(candidates, skills, quotas={"by": "skill"})
    assert by_skill.fingerprint != plain.fingerprint
    assert by_skill.order.tolist() != plain.order.tolist()


def test_a_run_without_skills_is_refused_in_one_line(candidates, tmp_path: Path) -> None:
    for scores in (Scores(None), Scores(None, tmp_path / "empty")):
        with raises_code("skills_missing") as caught:
            make(candidates, scores, quotas={"by": "skill"})
        assert "\n" not in str(caught.value)


RECIPE = """
name: tiny
sources: [{name: one, reader: table, path: rows.jsonl}]
encoder: {kind: embedded}
selections: [{name: a, budget: 5, quotas: {by: skill}}]
"""


def test_a_recipe_that_makes_no_skills_is_refused_before_it_runs() -> None:
    with raises_code("recipe_invalid", paths=["selections"]):
        parse_recipe(RECIPE)
    recipe = parse_recipe(RECIPE, ["scores.skills={}"])
    assert recipe.selections[0].quotas is not None
    assert recipe.selections[0].quotas.by == "skill"


def test_no_quotas_have_no_key() -> None:
    with pytest.raises(ValidationError):
        QuotasConfig.model_validate({"kind": "none", "by": "skill"})
