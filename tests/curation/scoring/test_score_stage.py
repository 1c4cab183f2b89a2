"""The stage: SQL takes its scores apart, nothing depends on order, and bad input stops it early."""

from __future__ import annotations

import random
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.current_samples import read_samples
from curation.mapped import MAPPED
from curation.pipeline import curate
from curation.pool import load_pool
from curation.recipe import Recipe, parse_recipe
from curation.scoring import ScorerConfig
from curation.scoring.config import ScoresConfig
from curation.scoring.tables import score_tables, spearman
from curation.stage_outputs import Upstream
from curation.stages import STAGES
from curation.stages.score import ScoreStage, check_models
from medsift.errors import ModelError
from medsift.execution import LocalExecutor
from medsift.manifest import read
from tests.expect import raises_code

SCORED = (
    "scores.scorers=[{kind: image_quality}, {kind: text_quality}, {kind: alignment},"
    " {kind: density}, {kind: rarity}, {kind: tag_rarity}, {kind: label_noise}]"
)
WEIGHED = "scores.weights={alignment: 2, label_noise: 1, rarity: 1}"
RECOMPUTED = """
SELECT s.sample_id,
       sum(abs(c.weight) * CASE WHEN c.weight > 0 THEN p.percentile ELSE 1 - p.percentile END)
       / sum(abs(c.weight)) AS again,
       any_value(s.value) AS value
FROM scores s
JOIN combinations c ON c.scorer = s.scorer
JOIN scores p ON p.scorer = c.part AND p.sample_id = s.sample_id AND p.percentile IS NOT NULL
WHERE s.scorer = 'quality'
GROUP BY s.sample_id
"""


def test_sql_takes_quality_apart_again(noisy) -> None:
    manifest = noisy.run.manifest
    lines = read(manifest, RECOMPUTED)
    assert lines.num_rows == len(noisy.pool)
    np.testing.assert_allclose(lines["again"].to_numpy(), lines["value"].to_numpy(), atol=1e-12)
    weights = {
        line["part"]: line["weight"]
        for line in read(manifest, "SELECT part, weight FROM combinations").to_pylist()
    }
    assert weights == {"alignment": 2.0, "image_quality": 1.0, "label_noise": -0.5}


def test_every_sample_of_the_pool_has_a_line_of_every_scorer(noisy) -> None:
    scores = noisy.table("scores")
    names = set(scores["scorer"].to_pylist())
    assert names == {
        *("image_quality", "text_quality", "alignment", "density", "rarity", "tag_rarity"),
        *("label_noise", "quality"),
    }
    for name in names:
        noisy.value(name)
    strata = dict(zip(noisy.pool.sample_ids, noisy.pool.strata, strict=True))
    for line in scores.to_pylist():
        assert line["stratum"] == strata[line["sample_id"]]
        assert (line["value"] is None) == (line["percentile"] is None)


def test_percentiles_of_a_stratum_have_the_middle_as_their_mean(noisy) -> None:
    connection = duckdb.connect()
    scores = noisy.table("scores")
    connection.register("scores", scores)
    means = connection.sql("SELECT avg(percentile) FROM scores GROUP BY scorer, stratum").fetchall()
    known = [mean for (mean,) in means if mean is not None]
    assert known
    np.testing.assert_allclose(known, 0.5)


def test_correlations_are_those_of_the_scores(noisy) -> None:
    lines = noisy.table("correlations").to_pylist()
    names = {line["scorer"] for line in lines}
    assert len(lines) == len(names) * len(names)
    answers = noisy.pool.samples["answer"].to_pylist()
    length = np.array([len(answer) for answer in answers], float)
    for line in lines:
        other = length if line["other"] == "answer_length" else noisy.value(line["other"])
        rho, n = spearman(noisy.value(line["scorer"]), other)
        assert (line["rho"], line["n"]) == (rho, n)


def test_planted_noise_has_the_lower_quality(noisy) -> None:
    quality = noisy.value("quality")
    spoiled = noisy.wrong | noisy.mismatched
    assert np.median(quality[spoiled]) < np.median(quality[~spoiled]) - 0.1


def scored_bytes(folder: Path) -> list[bytes]:
    names = ("scores", "combinations", "correlations")
    return [path.read_bytes() for name in names for path in sorted((folder / name).iterdir())]


def folder_of(run: Any, name: str) -> Path:
    return next(stage.outputs.folder for stage in run.stages if stage.stage == name)


@pytest.fixture(scope="module")
def scored_run(phantom_run, phantom_recipe, tmp_path_factory):
    """The shared phantom run, gone on with scores."""
    folder = tmp_path_factory.mktemp("scored") / "run"
    shutil.copytree(phantom_run.run_dir, folder)
    return curate(phantom_recipe(SCORED, WEIGHED), folder, LocalExecutor())


def test_order_of_rows_changes_no_byte(scored_run, phantoms, phantom_recipe, tmp_path) -> None:
    lines = phantoms.samples.read_text(encoding="utf-8").splitlines(keepends=True)
    random.Random(7).shuffle(lines)
    (phantoms.root / "score_order.jsonl").write_text("".join(lines), encoding="utf-8")
    recipe = phantom_recipe(SCORED, WEIGHED, table="score_order.jsonl")
    shuffled = curate(recipe, tmp_path, LocalExecutor())
    assert scored_bytes(folder_of(shuffled, "score")) == scored_bytes(
        folder_of(scored_run, "score")
    )


def test_a_second_run_reuses_the_scores_and_the_graph(scored_run, phantom_recipe, tmp_path) -> None:
    shutil.copytree(scored_run.run_dir, tmp_path / "run")
    [graph] = (tmp_path / "run" / "graphs").glob("*.arrow")
    before = graph.stat().st_mtime_ns
    again = curate(phantom_recipe(SCORED, WEIGHED), tmp_path / "run", LocalExecutor())
    assert all(stage.reused for stage in again.stages)
    other = phantom_recipe(SCORED, "scores.weights={density: 1}")
    curate(other, tmp_path / "run", LocalExecutor())
    assert [path.stat().st_mtime_ns for path in (tmp_path / "run" / "graphs").iterdir()] == [before]


def test_without_scorers_samples_only_pass(phantom_run) -> None:
    score = folder_of(phantom_run, "score")
    assert [path.name for path in score.iterdir()] == ["done.json"]
    before, after = (phantom_run.upstream.through(name) for name in ("decontaminate", "score"))
    assert read_samples(after).equals(read_samples(before))


def test_held_out_rows_pass_but_have_no_score(scored_run) -> None:
    score = folder_of(scored_run, "score")
    splits = read_samples(scored_run.upstream, ["sample_id", "split"]).to_pylist()
    held_out = {line["sample_id"] for line in splits if line["split"] == "test"}
    assert held_out
    scored = set(pq.read_table(score / "scores")["sample_id"].to_pylist())
    assert scored.isdisjoint(held_out)
    assert scored | held_out == {line["sample_id"] for line in splits}


@pytest.mark.parametrize(
    "override",
    [
        "scores.weights={alignment: 1}",
        "strata=[modality]",
        "graph.neighbors=5",
        "seed=4",
        "scores.scorers.2.folds=7",
    ],
)
def test_what_decides_a_score_decides_the_fingerprint(phantom_recipe, override) -> None:
    stage = ScoreStage()
    plain = phantom_recipe(SCORED, WEIGHED)
    changed = phantom_recipe(SCORED, WEIGHED, override)
    assert stage.settings(changed, {}) != stage.settings(plain, {})


def test_a_null_stratum_is_refused_in_one_line(phantom_run, phantom_recipe, tmp_path) -> None:
    shutil.copytree(phantom_run.run_dir, tmp_path / "run")
    recipe = phantom_recipe(SCORED, "strata=[license]")
    with raises_code("stratum_tag_empty", tag="license") as caught:
        curate(recipe, tmp_path / "run", LocalExecutor())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("stage", "bad"), [("images", np.nan), ("embed", np.inf)])
def test_vectors_that_are_not_finite_are_refused_in_one_line(
    phantom_run, phantom_recipe, tmp_path, stage, bad
) -> None:
    # Without the files that the vectors were mapped to before.
    ignored = shutil.ignore_patterns(MAPPED)
    shutil.copytree(phantom_run.run_dir, tmp_path / "run", ignore=ignored)
    [part, *_] = sorted((tmp_path / "run" / "stages").glob(f"{stage}-*/vectors/*.parquet"))
    table = pq.read_table(part)
    vectors = np.stack(table["vector"].to_numpy(zero_copy_only=False)).copy()
    vectors[0, 3] = bad
    flat = pa.array(vectors.reshape(-1), pa.float32())
    column = pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1])
    pq.write_table(table.set_column(1, table.schema.field("vector"), column), part)
    copied = [
        replace(outputs, folder=part.parents[2] / outputs.folder.name)
        for outputs in phantom_run.upstream.values()
    ]
    with raises_code("vectors_invalid", rows=1) as caught:
        load_pool(Upstream(copied), ("modality",), shared_space=False)
    assert "\n" not in str(caught.value)


class NeedyConfig(ScorerConfig):
    """A scorer whose model is not there."""

    kind: Literal["needy"]

    def fingerprint(self) -> Any:
        raise ModelError("no model at nowhere; install it", code="model_unloadable")


def needy(recipe: Recipe) -> Recipe:
    scores = ScoresConfig.model_construct(scorers=(NeedyConfig(kind="needy"),), weights={})
    return recipe.model_copy(update={"scores": scores})


def test_a_model_that_cannot_be_had_stops_a_run_before_it_starts(phantom_recipe, tmp_path) -> None:
    recipe = needy(phantom_recipe())
    for early in (lambda: check_models(recipe), lambda: ScoreStage().settings(recipe, {})):
        with raises_code("model_unloadable"):
            early()
    check_models(phantom_recipe(SCORED))


def test_a_scorer_that_gives_infinite_or_too_few_values_is_named(noisy) -> None:
    n = len(noisy.pool)
    for values, fault in ((np.full(n, np.inf), {"infinite": n}), (np.zeros(3), {"shape": (3,)})):
        with raises_code("score_invalid", scorer="broken", **fault):
            score_tables(noisy.pool, {"broken": values}, ScoresConfig())


def test_the_stage_stands_between_the_pool_and_the_selection() -> None:
    names = [stage.name for stage in STAGES if stage.name != "filter"]
    assert names.index("dedup") < names.index("score") == names.index("select") - 1


GOOD = """
name: tiny
sources: [{name: one, reader: table, path: rows.jsonl}]
encoder: {kind: embedded}
scores: {scorers: [{kind: density}, {kind: rarity}]}
"""


@pytest.mark.parametrize(
    ("override", "path"),
    [
        ("scores.weights={densty: 1}", "scores"),
        ("scores.weights={alignment: 1}", "scores"),
        ("scores.weights={density: 0, rarity: 0}", "scores"),
        ("scores.weights={density: -1, rarity: 2}", "scores"),
        ("scores.weights={density: .inf}", "scores"),
        ("scores.weights={density: .nan}", "scores"),
        ("scores.scorers=[{kind: density}, {kind: density}]", "scores.scorers"),
        ("scores.scorers=[{kind: densty}]", "scores.scorers.0"),
        ("scores.scorers=[{kind: density, k: 3}]", "scores.scorers.0.k"),
        ("strata=[modalty]", "strata"),
        ("strata=[shoe_size]", "strata"),
        ("strata=[modality, modality]", "strata"),
        ("graph={image: 0, question: 0, answer: 0}", "graph"),
    ],
)
def test_a_recipe_that_cannot_be_scored_is_refused_in_one_line(override, path) -> None:
    with raises_code("recipe_invalid", paths=[path]) as caught:
        parse_recipe(GOOD, [override])
    assert "\n" not in str(caught.value)
