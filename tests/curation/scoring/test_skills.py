"""Skills of a pool on small real models: plain readings, order, nulls, the stage and quotas."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from curation.pipeline import curate
from curation.scoring.skill_buckets import top_neurons
from curation.scoring.skills import SkillsConfig
from curation.selection.quotas import Groups, QuotasConfig
from medsift.execution import LocalExecutor
from medsift.manifest import read
from medsift.models import EmbeddedModelConfig
from medsift.models.answer_neurons import AnswerNeurons
from medsift.models.image_text import Illustrated
from tests.curation.scoring.conftest import Illustrations
from tests.expect import raises_code
from tests.tiny_models import causal, llava, saved, saved_causal, seeded

Coloured = list[tuple[Path, str]]
Line = tuple[Path | None, str, str]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("skills") / "model"
    saved(seeded(llava), folder)
    return {"kind": "transformers", "model": str(folder)}


def lines_of(pictures: Coloured) -> list[Line]:
    """Questions with a picture, and the same ones without."""
    seen: list[Line] = [
        (file, question, answer)
        for file, name in pictures
        for question, answer in (("what colour?", name), ("is it a lung?", "no"))
    ]
    return [*seen, (None, "what is red?", "a colour"), (None, "is red a lung?", "no")]


def test_top_neurons_are_those_of_samples_read_one_by_one(
    model: dict[str, str], coloured: Coloured, context: Illustrations
) -> None:
    config = SkillsConfig.model_validate({"model": model, "neurons": 5, "buckets": 3})
    lines = lines_of(coloured)
    table = config.assign(context(lines), "cpu")
    reader = AnswerNeurons(config.model.build(), config.depth, config.max_answer_tokens)
    single = []
    for file, question, answer in lines:
        shown = [] if file is None else [Image.open(file).convert("RGB")]
        mark = "<image>" * len(shown)
        single.append(reader.activations([Illustrated([("user", mark + question)], answer, shown)]))
    wanted = top_neurons(np.concatenate(single), 5)
    np.testing.assert_array_equal(np.array(table["neurons"].to_pylist()), wanted)
    assert set(table["skill"].to_pylist()) <= {"skill_0", "skill_1", "skill_2"}


def test_neurons_do_not_depend_on_order_and_equal_samples_share_a_skill(
    model: dict[str, str], coloured: Coloured, context: Illustrations, tmp_path: Path
) -> None:
    config = SkillsConfig.model_validate({"model": model})
    lines = lines_of(coloured) * 2
    first = config.assign(context(lines, "a"), "cpu")
    again = config.assign(context(lines, "b"), "cpu")
    assert again.equals(first)
    fresh = context(lines[::-1], "c", cache=tmp_path / "new")
    back = config.assign(fresh, "cpu")
    assert back["neurons"].to_pylist() == first["neurons"].to_pylist()[::-1]
    half = len(lines) // 2
    names = first["skill"].to_pylist()
    assert names[:half] == names[half:]


def test_what_the_model_cannot_read_has_no_skill(
    model: dict[str, str], coloured: Coloured, context: Illustrations
) -> None:
    file = coloured[0][0]
    lines = [(file, "why?", "so"), (None, "why?", "so"), (file, "why?", " "), (None, "", "so")]
    lines += [(file, "what is <s>?", "so")]
    table = SkillsConfig.model_validate({"model": model}).assign(context(lines), "cpu")
    assert [name is None for name in table["skill"].to_pylist()] == [False, False, True, True, True]
    assert [own is None for own in table["neurons"].to_pylist()] == [False, False, True, True, True]


def test_no_sample_that_can_be_read_is_no_skill(
    model: dict[str, str], context: Illustrations
) -> None:
    table = SkillsConfig.model_validate({"model": model}).assign(context([(None, "", "so")]), "cpu")
    assert table["skill"].to_pylist() == [None]


def test_a_language_model_names_skills_by_words(
    coloured: Coloured, context: Illustrations, tmp_path: Path
) -> None:
    saved_causal(causal(), tmp_path / "words")
    named = {"kind": "transformers", "model": str(tmp_path / "words")}
    lines = [(file, "what colour?", "red") for file, _ in coloured]
    config = SkillsConfig.model_validate({"model": named, "buckets": 2})
    [own] = {tuple(own) for own in config.assign(context(lines), "cpu")["neurons"].to_pylist()}
    assert len(own) == 8


def test_the_identity_covers_model_layer_neurons_and_buckets(model: dict[str, str]) -> None:
    given = [
        {},
        {"depth": 0.25},
        {"neurons": 4},
        {"buckets": 7},
        {"max_answer_tokens": 9},
        {"model": EmbeddedModelConfig().model_dump()},
    ]
    plain = {"model": model}
    found = [json.dumps(SkillsConfig.model_validate(plain | one).fingerprint()) for one in given]
    assert len(set(found)) == len(found)
    deep = SkillsConfig.model_validate(plain | {"neurons": 4}).activations_fingerprint()
    assert deep == SkillsConfig.model_validate(plain).activations_fingerprint()


def test_a_model_that_cannot_be_had_is_refused_before_anything_runs(tmp_path: Path) -> None:
    lost = {"kind": "transformers", "model": str(tmp_path / "nowhere")}
    with raises_code("model_unloadable"):
        SkillsConfig.model_validate({"model": lost}).fingerprint()


def test_a_run_writes_skills_and_selects_by_them(
    model: dict[str, str], phantom_recipe, tmp_path: Path
) -> None:
    quotas = {"kind": "equal", "by": "skill"}
    random = {"kind": "random"}
    selection = {"name": "by_skill", "method": random, "budget": 20, "quotas": quotas}
    recipe = phantom_recipe(
        f"scores.skills={json.dumps({'model': model, 'buckets': 6})}",
        f"selections={json.dumps([selection])}",
    )
    run = curate(recipe, tmp_path / "run", LocalExecutor())
    sql = """
        SELECT k.skill, count(*) AS pool, count(s.sample_id) AS selected
        FROM skills k JOIN samples p USING (sample_id)
        LEFT JOIN selections s ON s.sample_id = k.sample_id AND s.selection = 'by_skill'
        GROUP BY 1 ORDER BY 1
    """
    found = read(run.manifest, sql).to_pylist()
    names = [line["skill"] for line in found for _ in range(line["pool"])]
    groups = Groups.of(names)
    wanted = QuotasConfig(kind="equal", by="skill").counts(groups, 20)
    counted = Counter({line["skill"]: line["selected"] for line in found})
    assert [counted[name] for name in groups.names] == wanted.tolist()
    assert sum(wanted) == 20
    [kept] = read(run.manifest, "SELECT count(*) AS n FROM skills").to_pylist()
    [pool] = read(
        run.manifest, "SELECT count(*) AS n FROM selections WHERE selection = 'kept'"
    ).to_pylist()
    assert kept == pool
    parts = read(run.manifest, "SELECT operator, seconds FROM timings WHERE stage = 'score'")
    seconds = {line["operator"]: line["seconds"] for line in parts.to_pylist()}
    assert set(seconds) == {"skills", "skills: device works", "skills: device waits"}
    assert min(seconds.values()) > 0
