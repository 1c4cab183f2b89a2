"""One selection: the size its budget means, its quality, its tables, and what it refuses."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from curation.add_selection import parse_selection
from curation.pool.graph import joint_vectors
from curation.pool.groups import Groups
from curation.recipe import Recipe, parse_recipe
from curation.selection.budget import BudgetConfig, estimate_tokens
from curation.selection.config import SelectionConfig
from curation.selection.coverage import measure_coverage, measure_curve
from curation.selection.quality import Scores, read_quality
from curation.selection.select import select
from curation.selection.tables import curve_table, selection_table, settings_table
from medsift.execution import LocalExecutor
from tests.expect import raises_code

NO_SCORES = Scores(None)


def make(candidates, scores=NO_SCORES, run_seed=0, **settings):
    config = SelectionConfig.model_validate({"name": "x", "budget": 40, **settings})
    return select(candidates, scores, config, run_seed, LocalExecutor())


# Budgets.


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("500", {"count": 500}),
        (500, {"count": 500}),
        ("20%", {"fraction": 0.2}),
        ("12.5 %", {"fraction": 0.125}),
        (0.2, {"fraction": 0.2}),
        ("0.2", {"fraction": 0.2}),
        ("100000tokens", {"tokens": 100_000}),
        ("100000 tokens", {"tokens": 100_000}),
        ("coverage", {"coverage": 0.9}),
        ("coverage:0.75", {"coverage": 0.75}),
        ({"coverage": 0.8}, {"coverage": 0.8}),
        ("auto", {"auto": 0.02}),
        ("auto:0.05", {"auto": 0.05}),
        ({"auto": 0.2}, {"auto": 0.2}),
    ],
)
def test_a_budget_reads_text_and_writes_what_it_reads(text, meant):
    budget = BudgetConfig.model_validate(text)
    assert {key: value for key, value in budget.model_dump().items() if value is not None} == meant
    assert BudgetConfig.model_validate(str(budget)) == budget


@pytest.mark.parametrize(
    "wrong",
    ["", "many", "0", "-3", "120%", "coverage:2", "coverage:", "auto:2", "auto:0", "5kg", {}],
)
def test_a_budget_that_says_nothing_is_refused(wrong):
    with pytest.raises(ValidationError):
        BudgetConfig.model_validate(wrong)


@pytest.mark.parametrize("other", [{"count": 1}, {"coverage": 0.9}, {"fraction": 0.1}])
def test_a_budget_of_two_sizes_is_refused(other):
    with pytest.raises(ValidationError):
        BudgetConfig.model_validate({"auto": 0.1} | other)


@pytest.mark.parametrize("auto", [0.9, 0.25, "auto:0.9"])
def test_the_coverage_that_was_called_auto_is_refused_with_its_name_today(auto):
    """A margin of accuracy is far below any coverage that anybody asked for."""
    budget = auto if isinstance(auto, str) else {"auto": auto}
    with raises_code("selection_invalid", paths=["budget.auto"]) as caught:
        parse_selection({"name": "a", "budget": budget})
    level = auto if isinstance(auto, float) else 0.9
    assert f"coverage: {level}" in str(caught.value)


def test_a_stored_auto_of_an_earlier_version_is_a_coverage_and_a_new_one_a_margin():
    earlier = dict.fromkeys(("count", "fraction", "tokens"))
    assert BudgetConfig.from_stored(earlier | {"auto": 0.9}) == BudgetConfig(coverage=0.9)
    assert BudgetConfig.from_stored(earlier | {"auto": 0.1}) == BudgetConfig(coverage=0.1)
    for today in (BudgetConfig(auto=0.02), BudgetConfig(coverage=0.1), BudgetConfig(count=3)):
        assert BudgetConfig.from_stored(today.model_dump(mode="json")) == today


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("coverage:0.9", {"auto": 0.9}),
        ("500", {"count": 500}),
        ("auto:0.05", {"margin": 0.05}),
    ],
)
def test_a_budget_of_an_earlier_version_is_known_by_the_digest_that_it_had(text, first):
    budget = BudgetConfig.model_validate(text)
    names = budget.with_first_names(budget.model_dump(mode="json"))
    assert names == dict.fromkeys(("count", "fraction", "tokens", "auto")) | first


@pytest.mark.parametrize(("fraction", "size"), [(0.001, 1), (0.2, 40), (0.2025, 41), (1.0, 200)])
def test_a_fraction_is_rounded_and_never_nothing(candidates, fraction, size):
    assert len(make(candidates, budget={"fraction": fraction}).order) == size


def test_tokens_are_bytes_of_all_turns_and_pictures_as_asked(candidates):
    samples = candidates.pool.samples
    expected = [
        -(-sum(len(turn["content"].encode()) for turn in line["messages"]) // 4)
        for line in samples.to_pylist()
    ]
    assert estimate_tokens(samples).tolist() == expected
    assert (estimate_tokens(samples, 100) - expected).tolist() == [100] * len(expected)
    chinese = samples.slice(0, 2).to_pylist()
    chinese[0]["messages"] = [{"role": "user", "content": "肝脏"}, {"role": "user", "content": ""}]
    chinese[1] |= {"messages": [], "images": None}
    assert estimate_tokens(pa.Table.from_pylist(chinese, samples.schema), 5).tolist() == [7, 0]


@pytest.mark.parametrize("kind", ["facility_location", "random", "k_center"])
@pytest.mark.parametrize("tokens", [100, 1234])
def test_a_token_budget_is_kept_and_the_next_size_would_break_it(candidates, kind, tokens):
    found = make(candidates, method={"kind": kind}, budget={"tokens": tokens})
    assert found.tokens[found.order].sum() <= tokens
    one_more = make(candidates, method={"kind": kind}, budget=len(found.order) + 1)
    assert one_more.tokens[one_more.order].sum() > tokens


@pytest.mark.parametrize("quotas", ["none", "proportional", "equal"])
@pytest.mark.parametrize("kind", ["facility_location", "random"])
@pytest.mark.parametrize("level", [0.3, 0.7, 1.0])
def test_coverage_reaches_the_level_where_one_sample_fewer_does_not(
    candidates, quotas, kind, level
):
    settings = {"method": {"kind": kind}, "quotas": quotas}
    found = make(candidates, budget={"coverage": level}, **settings)
    assert found.curve.coverage[-1] >= level
    assert found.curve.size[-1] == len(found.order)
    smaller = make(candidates, budget=len(found.order) - 1, **settings)
    assert measure_coverage(candidates, smaller.order) < level


@pytest.mark.parametrize("kind", ["random", "facility_location", "k_center", "longest"])
@pytest.mark.parametrize("level", [0.4, 0.7, 0.9])
def test_coverage_is_the_smallest_size_where_smaller_selections_begin_the_larger(
    candidates, kind, level
):
    settings = {"method": {"kind": kind}, "quotas": "none"}
    order = make(candidates, budget={"fraction": 1.0}, **settings).order
    sizes = np.arange(1, len(order) + 1)
    reached = measure_curve(candidates, order, sizes).coverage >= level
    found = make(candidates, budget={"coverage": level}, **settings).order
    assert len(found) == sizes[reached][0]
    assert found.tolist() == order[: len(found)].tolist()


def test_facility_location_needs_fewer_for_a_level_than_random(candidates):
    sizes = [
        len(make(candidates, budget="coverage:0.8", method={"kind": kind}, quotas="none").order)
        for kind in ("facility_location", "random")
    ]
    assert sizes[0] < 0.9 * sizes[1]


def test_auto_takes_the_size_that_a_probe_chose_and_has_it_in_its_digest(candidates):
    config = SelectionConfig.model_validate({"name": "x", "budget": "auto"})
    found = [
        select(candidates, NO_SCORES, config, 0, LocalExecutor(), enough=size) for size in (30, 31)
    ]
    assert [len(one.order) for one in found] == [30, 31]
    assert found[0].order.tolist() == make(candidates, budget=30).order.tolist()
    assert len({one.fingerprint for one in found} | {make(candidates, budget=30).fingerprint}) == 3


# Quality.


@pytest.fixture
def scores(candidates, tmp_path):
    """Two scorers in two parts; one sample has no score, one has a null."""
    ids = candidates.sample_ids
    for number, scorer in enumerate(("quality", "label_noise")):
        lines = {
            "sample_id": ids[1:],
            "scorer": [scorer] * (len(ids) - 1),
            "percentile": [None, *np.linspace(0, 1, len(ids) - 2)],
        }
        pq.write_table(pa.table(lines), tmp_path / f"part-{number}.parquet")
    return Scores(tmp_path)


def test_quality_is_the_percentile_and_half_where_there_is_none(candidates, scores):
    found = read_quality(candidates.sample_ids, scores, "quality")
    assert found[:2].tolist() == [0.5, 0.5]
    assert found[2:].tolist() == np.linspace(0, 1, len(found) - 2).tolist()
    assert read_quality(candidates.sample_ids, scores, None).tolist() == found.tolist()


def test_a_score_that_is_high_for_bad_samples_is_turned_around(candidates, scores, monkeypatch):
    monkeypatch.setattr(
        "curation.selection.quality.is_higher_better", lambda name: name == "quality"
    )
    found = read_quality(candidates.sample_ids, scores, "label_noise")
    assert found[:2].tolist() == [0.5, 0.5]
    assert found[2:].tolist() == (1 - np.linspace(0, 1, len(found) - 2)).tolist()


def test_without_scores_all_samples_are_equal(candidates):
    assert (read_quality(candidates.sample_ids, NO_SCORES, None) == 1.0).all()


def test_a_scorer_that_is_not_there_is_refused_with_those_that_are(candidates, scores):
    with raises_code("scorer_unknown", scorer="qualty", known=["label_noise", "quality"]) as caught:
        make(candidates, scores, quality="qualty")
    assert "did you mean 'quality'" in str(caught.value)
    with raises_code("scorer_unknown", scorer="quality", known=[]):
        make(candidates, quality="quality")


def test_scores_move_facility_location_to_better_samples(candidates, scores):
    plain, weighed = (
        make(candidates, run_scores, budget="20%") for run_scores in (NO_SCORES, scores)
    )
    quality = read_quality(candidates.sample_ids, scores, None)
    assert quality[weighed.order].mean() > quality[plain.order].mean() + 0.05
    assert weighed.curve.coverage[-1] > 0.95 * plain.curve.coverage[-1]


# Tables.


def test_the_tables_say_what_was_selected(candidates):
    found = make(candidates, budget=25, image_tokens=3)
    table = selection_table(found, candidates).to_pylist()
    assert [line["rank"] for line in table] == list(range(25))
    assert [line["sample_id"] for line in table] == [candidates.sample_ids[i] for i in found.order]
    assert [line["stratum"] for line in table] == [candidates.pool.strata[i] for i in found.order]
    gains = [line["gain"] for line in table]
    assert gains == sorted(gains, reverse=True)
    [line] = settings_table(found, len(candidates), 2).to_pylist()
    assert (line["pool"], line["selected"], line["budget"]) == (200, 25, "25")
    assert line["tokens"] == found.tokens[found.order].sum()
    assert line["objective"] == pytest.approx(sum(gains))
    again = SelectionConfig.model_validate(json.loads(line["settings"]))
    repeated = select(candidates, NO_SCORES, again, 99, LocalExecutor())
    assert repeated.order.tolist() == found.order.tolist()
    curve = curve_table(found).to_pylist()
    assert curve[-1]["size"] == 25
    assert curve[-1]["coverage"] == line["coverage"]
    assert curve[-1]["tokens"] == line["tokens"]
    assert curve[-1]["objective"] == pytest.approx(line["objective"])
    assert [point["coverage"] for point in curve] == sorted(point["coverage"] for point in curve)


def test_a_method_without_an_objective_leaves_it_empty(candidates):
    found = make(candidates, method={"kind": "random"})
    assert selection_table(found, candidates)["gain"].null_count == 40
    assert curve_table(found)["objective"].null_count == len(found.curve.size)


def test_the_fingerprint_changes_with_all_that_decides_and_only_with_that(candidates, scores):
    def of(pool=candidates, scored=NO_SCORES, run=0, **settings):
        return make(pool, scored, run, **settings).fingerprint

    moved = replace(candidates, graph=replace(candidates.graph, index=candidates.graph.index[::-1]))
    heavier = replace(candidates, pool=replace(candidates.pool, mass=candidates.pool.mass + 1))
    others = [
        of(budget=41),
        of(run=1),
        of(scored=scores),
        of(moved),
        of(heavier),
        of(quotas="equal"),
        of(method={"kind": "k_center"}),
    ]
    assert of() == of(name="other") == of(quotas="proportional")
    assert len({of(), *others}) == 1 + len(others)


# What is refused.


@pytest.mark.parametrize(
    ("settings", "code", "values"),
    [
        ({"budget": 201}, "budget_invalid", {"budget": 201, "pool": 200, "unit": "samples"}),
        (
            {"budget": {"tokens": 10**9}},
            "budget_invalid",
            {"budget": 10**9, "pool": 2244, "unit": "tokens"},
        ),
        (
            {"budget": {"tokens": 1}, "image_tokens": 9},
            "budget_invalid",
            {"budget": 1, "needed": 17, "unit": "tokens"},
        ),
        (
            {"quotas": {"kind": "weights", "weights": {"ct / opn": 1}}},
            "quota_stratum_unknown",
            {"stratum": "ct / opn", "nearest": ["ct / open"]},
        ),
    ],
)
def test_what_the_pool_cannot_give_is_refused_in_one_line(candidates, settings, code, values):
    with raises_code(code, **values) as caught:
        make(candidates, **settings)
    assert "\n" not in str(caught.value)


def test_an_empty_pool_is_refused(make_candidates, candidates):
    none = np.zeros(0, np.int64)
    pool = replace(
        candidates.pool,
        samples=candidates.pool.samples.slice(0, 0),
        mass=none,
        strata=Groups.of([]),
    )
    graph = replace(candidates.graph, index=candidates.graph.index[:0])
    with raises_code("budget_invalid", budget="20%", pool=0):
        make(replace(candidates, pool=pool, graph=graph), budget="20%")


def test_vectors_that_are_not_finite_are_refused(candidates):
    broken = candidates.pool.vectors.question.copy()
    broken[7, 3] = np.nan
    vectors = replace(candidates.pool.vectors, question=broken)
    with raises_code("vectors_invalid", row=7, rows=1):
        joint_vectors(vectors, candidates.config)


RECIPE = """
name: tiny
sources: [{name: one, reader: table, path: rows.jsonl}]
encoder: {kind: embedded}
selections:
"""


@pytest.mark.parametrize(
    ("selections", "path"),
    [
        ("[{name: kept, budget: 5}]", "selections.0.name"),
        ("[{name: a, budget: 5}, {name: a, budget: 6}]", "selections"),
        ("[{name: a}]", "selections.0.budget"),
        ("[{name: a, budget: lots}]", "selections.0.budget"),
        ("[{name: a, budget: 5, metod: random}]", "selections.0.metod"),
        ("[{name: a, budget: 5, method: {kind: randm}}]", "selections.0.method"),
        ("[{name: a, budget: 5, method: {kind: target}}]", "selections.0.method"),
        (
            "[{name: a, budget: 5, quotas: {kind: weights, weights: {x: 0}}}]",
            "selections.0.quotas",
        ),
    ],
)
def test_a_recipe_with_a_wrong_selection_is_refused_in_one_line(selections, path):
    with raises_code("recipe_invalid", paths=[path]) as caught:
        parse_recipe(RECIPE + "  " + selections)
    assert "\n" not in str(caught.value)


def test_a_resolved_recipe_with_selections_is_the_same_recipe():
    recipe = parse_recipe(RECIPE + "  [{name: a, budget: 20%, quotas: equal}]")
    again = parse_recipe(json.dumps(recipe.resolved()))
    assert again == recipe


@pytest.mark.parametrize(
    ("group", "settings", "path", "today"),
    [
        ("selections", {"method": {"kind": "target", "where": "true", "most": 9}}, "method.most",
         "max_targets"),
        ("selections", {"method": {"kind": "deita", "threshold": 0.5}}, "method.threshold",
         "max_cosine"),
        ("selections", {"quotas": {"floor": 3}}, "quotas.floor", "min_per_stratum"),
        ("scorers", {"kind": "label_noise", "least": 9}, "least", "min_group_size"),
        ("scorers", {"kind": "label_noise", "question": 0.5}, "question", "question_cosine"),
        ("scorers", {"kind": "label_noise", "rate": 0.5}, "rate", "noise_rate"),
        ("scorers", {"kind": "alignment", "least": 9}, "least", "min_group_size"),
        ("scorers", {"kind": "alignment", "question": 0.5}, "question", "question_cosine"),
    ],
)  # fmt: skip
def test_an_old_key_is_refused_in_a_recipe_and_read_in_a_stored_one(group, settings, path, today):
    """A fingerprint is made of the first names, so that a better name makes no other run."""
    recipe = parse_recipe(RECIPE + "  []").resolved()
    if group == "selections":
        recipe["selections"] = [{"name": "a", "budget": "20%"} | settings]
    else:
        recipe["scores"] = {"scorers": [settings]}
    place = "selections.0" if group == "selections" else "scores.scorers.0"
    with raises_code("recipe_invalid", paths=[f"{place}.{path}"]) as caught:
        parse_recipe(json.dumps(recipe))
    assert repr(today) in str(caught.value)
    stored = Recipe.from_stored(recipe)
    assert parse_recipe(json.dumps(stored.resolved())) == stored
    config = stored.selections[0] if group == "selections" else stored.scores.scorers[0]
    now, first = config.model_dump(mode="json"), config.model_dump(mode="json")
    first = config.with_first_names(first)
    *above, key = path.split(".")
    for name in above:
        now, first = now[name], first[name]
    assert first.keys() - now.keys() >= {key}
    assert now[today] == first[key] not in (None, 1, 0.05)


SETTINGS = {
    "name": "a",
    "budget": "20%",
    "quality": None,
    "method": {"kind": "facility_location"},
}


def test_overrides_reach_the_selection_and_its_method():
    overrides = ["quality_weight=0.25", "quotas.kind=equal", "image_tokens=7"]
    config = parse_selection(SETTINGS, overrides)
    assert config.method.model_dump()["quality_weight"] == 0.25
    assert config.image_tokens == 7
    assert config.quotas is not None
    assert config.quotas.kind == "equal"


@pytest.mark.parametrize(
    ("override", "values"),
    [
        ("quality_weight", {"override": "quality_weight"}),
        ("quality_wait=1", {"paths": ["method.quality_wait"]}),
        ("name.first=1", {"key": "name"}),
        ("name=[", {"value": "["}),
    ],
)
def test_a_wrong_override_is_refused_in_one_line(override, values):
    with raises_code("selection_invalid", **values) as caught:
        parse_selection(SETTINGS, [override])
    assert "\n" not in str(caught.value)
