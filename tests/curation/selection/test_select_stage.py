"""Selections of a whole run: next to `kept` in the manifest, whatever the order of rows."""

from __future__ import annotations

import json
import random

import pytest

from curation.pipeline import curate
from medsift.execution import LocalExecutor
from medsift.manifest import read, selected
from tests.expect import raises_code

KINDS = (
    "facility_location",
    "k_center",
    "deita",
    "cluster_temperature",
    "prototype_pruning",
    "top_score",
    "random",
    "stratified_random",
    "longest",
)
SELECTIONS = [{"name": kind, "method": {"kind": kind}, "budget": "20%"} for kind in KINDS]
SELECTIONS += [
    {"name": "rare", "method": {"kind": "top_score"}, "budget": 12, "quality": "rarity"},
    {"name": "enough", "budget": "coverage:0.8"},
    {"name": "few_tokens", "budget": "300tokens", "quotas": "equal"},
]
# A fifth of this small set is fewer samples than the usual three tags make strata.
OVERRIDES = (
    "strata=[modality, answer_type]",
    "scores.scorers=[{kind: rarity}]",
    f"selections={json.dumps(SELECTIONS)}",
)


@pytest.fixture(scope="module")
def run(phantom_recipe, phantom_run, tmp_path_factory):
    """The phantoms with selections by every method."""
    return curate(phantom_recipe(*OVERRIDES), tmp_path_factory.mktemp("select"), LocalExecutor())


def ask(run, sql):
    return read(run.manifest, sql).to_pylist()


def test_every_selection_of_the_recipe_is_there_with_its_settings_and_curve(run):
    names = ["kept", *(selection["name"] for selection in SELECTIONS)]
    settings = ask(run, "SELECT * FROM selection_settings ORDER BY ordinal")
    assert [line["selection"] for line in settings] == names
    moments = [line["created_at"] for line in settings]
    assert moments == sorted(set(moments))
    for line in settings[1:]:
        where = f"WHERE selection = '{line['selection']}'"
        [counted] = ask(run, f"SELECT count(*) AS n, max(rank) AS last FROM selections {where}")
        assert (counted["n"], counted["last"] + 1) == (line["selected"],) * 2
        curve = ask(run, f"SELECT * FROM curves {where} ORDER BY size")
        assert curve[-1]["coverage"] == line["coverage"]
        assert curve[-1]["size"] == line["selected"]


def test_the_newest_selection_is_the_last_of_the_recipe(run):
    assert set(selected(run.manifest)["selection"].to_pylist()) == {"few_tokens"}


def test_kept_is_what_a_run_without_selections_keeps(run, phantom_run):
    columns = "rank, sample_id, row_id, weight, gain"
    sql = f"SELECT {columns} FROM selections WHERE selection = 'kept' ORDER BY rank"
    assert ask(run, sql) == ask(phantom_run, sql)


def test_a_fifth_of_the_phantoms_covers_every_stratum(run):
    sql = "SELECT selection, count(DISTINCT stratum) AS strata FROM selections GROUP BY 1"
    strata = {line["selection"]: line["strata"] for line in ask(run, sql)}
    assert strata["kept"] > 5
    stratified = (*KINDS[:5], "stratified_random")
    assert {strata[kind] for kind in stratified} == {strata["kept"]}


def test_weights_of_every_selection_sum_to_the_rows_that_kept_represents(run):
    sums = ask(run, "SELECT selection, sum(weight) AS weight FROM selections GROUP BY 1")
    expected = next(line["weight"] for line in sums if line["selection"] == "kept")
    assert all(line["weight"] == pytest.approx(expected) for line in sums)


def test_budgets_are_met(run):
    line = {line["selection"]: line for line in ask(run, "SELECT * FROM selection_settings")}
    pool = line["kept"]["selected"]
    assert all(line[kind]["selected"] == int(0.2 * pool + 0.5) for kind in KINDS)
    assert all(line[kind]["pool"] == pool for kind in line)
    assert line["enough"]["coverage"] >= 0.8
    assert line["few_tokens"]["tokens"] <= 300


def test_facility_location_covers_more_than_the_baselines(run):
    found = ask(run, "SELECT selection, coverage FROM selection_settings")
    coverage = {line["selection"]: line["coverage"] for line in found}
    others = [coverage[kind] for kind in KINDS if kind != "facility_location"]
    assert coverage["facility_location"] > max(others)
    assert coverage["facility_location"] > coverage["stratified_random"] + 0.02


def test_quality_is_the_named_scorer_of_the_run(run):
    sql = (
        "SELECT sample_id FROM scores WHERE scorer = 'rarity' "
        "ORDER BY percentile DESC, sample_id LIMIT 12"
    )
    rare = "SELECT sample_id FROM selections WHERE selection = 'rare' ORDER BY rank"
    assert ask(run, rare) == ask(run, sql)


def test_held_out_rows_are_in_no_selection(run):
    sql = "SELECT DISTINCT split FROM selections JOIN samples USING (run_id, row_id)"
    assert ask(run, sql) == [{"split": "train"}]


def test_the_order_of_input_rows_changes_no_selection(run, phantoms, phantom_recipe, tmp_path):
    lines = (phantoms.root / "samples.jsonl").read_text(encoding="utf-8").splitlines()
    random.Random(1).shuffle(lines)
    table = phantoms.root / "shuffled_for_selection.jsonl"
    table.write_text("\n".join(lines) + "\n", encoding="utf-8")
    recipe = phantom_recipe(*OVERRIDES, table=table.name)
    other = curate(recipe, tmp_path, LocalExecutor())
    sql = "SELECT selection, rank, sample_id, weight, gain FROM selections ORDER BY 1, 2"
    assert ask(other, sql) == ask(run, sql)


def test_a_second_run_reuses_the_selections(run, phantom_recipe):
    again = curate(phantom_recipe(*OVERRIDES), run.run_dir, LocalExecutor())
    assert all(stage.reused for stage in again.stages)


def test_a_run_whose_selection_cannot_be_made_writes_no_manifest(phantom_recipe, tmp_path):
    recipe = phantom_recipe('selections=[{"name": "much", "budget": 100000}]')
    with raises_code("budget_invalid"):
        curate(recipe, tmp_path, LocalExecutor())
    assert not (tmp_path / "manifest.duckdb").exists()


def test_a_stratum_tag_that_is_null_everywhere_is_refused(phantom_recipe, tmp_path):
    recipe = phantom_recipe('selections=[{"name": "a", "budget": 5}]', "strata=[study_id]")
    with raises_code("stratum_tag_empty", tag="study_id"):
        curate(recipe, tmp_path, LocalExecutor())
