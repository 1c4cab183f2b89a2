"""A whole improvement of a run: its rounds in the manifest, and test data looked at once."""

from __future__ import annotations

import pytest

from curation.improve.improve import ImproveResult, choose_from, improve
from curation.improve.judging import judge_on_test
from curation.improve.learner import ProbeLearner
from curation.improve.parts import TEST, TRAIN, VALIDATION
from curation.improve.rounds import run_rounds
from curation.improve.run_quotas import run_quotas
from curation.run_dir import open_run
from curation.selection.budget import BudgetConfig
from medsift.execution import LocalExecutor
from medsift.manifest import query
from tests.expect import raises_code


@pytest.fixture(scope="module")
def result(make_config) -> ImproveResult:
    return improve(make_config())


def ask(result: ImproveResult, sql: str) -> list[dict]:
    rows: list[dict] = query(result.manifest, sql.format(id=f"'{result.improve_id}'")).to_pylist()
    return rows


def test_every_arm_has_the_budget_and_the_last_of_each_is_tested(result: ImproveResult) -> None:
    rows = ask(result, "FROM improve_rounds WHERE improve_id = {id} ORDER BY arm, round")
    assert [(row["arm"], row["round"]) for row in rows] == [
        ("loop", 1),
        ("loop", 2),
        ("one_shot", 0),
        ("proportional", 0),
        ("stratified", 0),
    ]
    assert len({row["samples"] for row in rows}) == 1
    tested = [row["arm"] for row in rows if row["test_accuracy"] is not None]
    assert tested == ["loop", "one_shot", "proportional", "stratified"]
    assert next(row["round"] for row in rows if row["test_accuracy"] is not None) == 2
    for row in rows:
        assert row["low"] <= row["accuracy"] <= row["high"]


def test_a_round_is_a_selection_with_a_parent(result: ImproveResult) -> None:
    rows = ask(
        result,
        "SELECT r.selection, r.parent, r.samples, s.selected, s.ordinal, t.selected AS of_parent "
        "FROM improve_rounds r JOIN selection_settings s USING (run_id, selection) "
        "LEFT JOIN selection_settings t ON t.run_id = r.run_id AND t.selection = r.parent "
        "WHERE r.improve_id = {id} AND r.arm = 'loop' ORDER BY r.round",
    )
    assert [row["parent"].rsplit(".", 1)[1] for row in rows] == ["proportional", "loop1"]
    for row in rows:
        assert row["samples"] == row["selected"] == row["of_parent"]
        # The newest selection of the run stays what `medsift train` takes.
        assert row["ordinal"] < 0


def test_sql_says_why_a_row_came_in(result: ImproveResult) -> None:
    rows = ask(
        result,
        "SELECT w.*, q.stratum, f.task_type AS of_target, f.split FROM improve_rows w "
        "JOIN selections q USING (run_id, selection, sample_id) "
        "LEFT JOIN samples f ON f.run_id = w.run_id AND f.sample_id = w.target "
        "WHERE w.improve_id = {id}",
    )
    chosen = ask(
        result,
        "SELECT sum(samples) AS n FROM improve_rounds WHERE improve_id = {id} AND arm = 'loop'",
    )
    assert len(rows) == chosen[0]["n"]
    reasons = {row["reason"] for row in rows}
    assert reasons == {"quota", "failure"}
    ids = {row["sample_id"] for row in rows}
    for row in rows:
        assert (row["target"] is None) == (row["reason"] == "quota")
        if row["target"] is not None:
            assert row["stratum"] == row["of_target"]
            assert row["target"] not in ids
            assert row["split"] != "test"


def test_cells_carry_errors_quotas_and_adjusted_p(result: ImproveResult) -> None:
    rows = ask(result, "FROM improve_cells WHERE improve_id = {id}")
    for row in rows:
        assert row["samples"] <= row["pool"]
        assert abs(row["excess"]) <= 1.5
        assert (row["error"] is None) == (row["asked"] == 0)
        assert (row["p"] is None) == (row["arm"] != "loop" or row["asked"] == 0)
        assert (row["change"] is None) == (row["arm"] == "proportional" or row["asked"] == 0)
        if row["p"] is not None:
            assert row["p"] <= row["p_holm"] <= 1.0
    smallest = min(row["p"] for row in rows if row["p"] is not None)
    tests = sum(row["p"] is not None for row in rows)
    lowest = min(row["p_holm"] for row in rows if row["p"] is not None)
    assert lowest == pytest.approx(min(1.0, smallest * tests))
    [facts] = ask(result, "FROM improvements WHERE improve_id = {id}")
    assert facts["verdict"] == result.verdict
    curves = ask(result, "FROM improve_curves WHERE improve_id = {id}")
    assert sum(row["advised"] for row in curves) == facts["budget"]
    assert sum(row["importance"] for row in curves) == pytest.approx(1.0)


def test_the_same_settings_replace_the_same_result(result: ImproveResult, make_config) -> None:
    again = improve(make_config())
    assert again == result
    [stored] = ask(result, "SELECT count(*) AS n FROM improvements")
    assert stored["n"] == 1


def test_test_data_are_not_in_the_rounds_and_asked_about_once(cut, run_dir, make_config) -> None:
    development = cut.material.take(TRAIN, VALIDATION)
    test_ids = set(cut.material.ids(TEST))
    assert not test_ids & set(development.pool.sample_ids)
    final = cut.material.take(TRAIN, TEST)

    looks: list[str] = []

    class Counting(ProbeLearner):
        def wrong(self, selection, rows, asked):
            looks.append(selection)
            return super().wrong(selection, rows, asked)

    config = make_config()
    chooser = choose_from(open_run(run_dir), development, config, LocalExecutor())
    probe = ProbeLearner(development, config.min_groups, 0)
    rounds = run_rounds(
        development, chooser, probe, probe, sorted(test_ids), "x", lambda chosen: None
    )
    judge_on_test(final, Counting(final, config.min_groups, 0), rounds)
    assert len(looks) == len(set(looks)) == 4
    # The gate: a development that has a test sample is refused before anything is trained.
    stolen = development.ids(VALIDATION)[:1]
    with raises_code("test_sample_used", purpose="validation"):
        run_rounds(development, chooser, probe, probe, stolen, "x", lambda chosen: None)
    taken = development.ids(TRAIN)
    with raises_code("test_sample_used", purpose="a selection"):
        run_rounds(development, chooser, probe, probe, taken, "x", lambda chosen: None)


def test_wrong_cells_and_budgets_are_refused(make_config) -> None:
    with raises_code("quota_stratum_unknown", nearest=["presence"]):
        improve(make_config(importance={"presense": 1.0}))
    with raises_code("budget_invalid"):
        improve(make_config(budget=1_000_000))
    with raises_code("probe_nothing_to_ask"):
        improve(make_config(min_groups=10_000))


def test_quotas_of_a_run_sum_to_the_budget(run_dir) -> None:
    made = run_quotas(run_dir, BudgetConfig(count=30), cells=["task_type"], min_groups=3)
    assert made.curves.advised.sum() == 30
    settings = made.quotas()
    assert settings["kind"] == ("weights" if made.curves.worthwhile else "proportional")
    assert made.verdict.endswith(".")
    with raises_code("budget_invalid"):
        run_quotas(run_dir, BudgetConfig(fraction=1.0))
