"""Settings of sameness whose keys got a better name: old keys, stored recipes, fingerprints."""

from __future__ import annotations

from typing import Any

import pytest

from curation.recipe import Recipe
from curation.stages.dedup import DedupStage
from medsift import recipe_yaml
from tests.expect import raises_code

RECIPE: dict[str, Any] = {
    "name": "r",
    "sources": [{"name": "s", "reader": "table", "path": "s.jsonl"}],
    "encoder": {"kind": "embedded"},
}
RENAMED = [
    ("dedup.sample.question", "question_cosine", 0.9),
    ("dedup.sample.answer", "answer_cosine", 0.9),
    ("dedup.image.correlation", "registered_correlation", 0.9),
    ("dedup.image.detail", "detail_correlation", 0.9),
    ("dedup.image.partners", "candidates_per_image", 4),
    ("dedup.text.shingle", "shingle_words", 4),
    ("dedup.text.pairs", "max_pairs", 4),
    ("neighbors.limit", "max_pairs", 4),
    ("splits.slices", "slice_correlation", 0.98),
    ("decontaminate.least_words", "min_words", 4),
    ("decontaminate.gram", "ngram_words", 4),
]


def nested(path: str, value: Any) -> dict[str, Any]:
    for key in reversed(path.split(".")):
        value = {key: value}
    return RECIPE | value


@pytest.mark.parametrize(("path", "today", "value"), RENAMED)
def test_an_old_key_is_refused_in_a_recipe_and_read_in_a_stored_one(
    path: str, today: str, value: Any
) -> None:
    with raises_code("recipe_invalid", paths=[path]) as caught:
        recipe_yaml.validated(Recipe, nested(path, value))
    assert repr(today) in str(caught.value)
    stored = Recipe.from_stored(nested(path, value))
    written = recipe_yaml.validated(Recipe, nested(f"{path.rpartition('.')[0]}.{today}", value))
    assert stored == written
    assert stored != recipe_yaml.validated(Recipe, RECIPE)


def test_a_better_name_makes_no_other_stage() -> None:
    settings = DedupStage().settings(recipe_yaml.validated(Recipe, RECIPE), None)
    assert set(settings["dedup"]["sample"]) == {"question", "answer"}
    assert {"correlation", "detail", "partners"} < set(settings["dedup"]["image"])
    assert {"shingle", "pairs"} < set(settings["dedup"]["text"])
    assert "limit" in settings["neighbors"]
