"""Stored replies scored again give the same tables, without torch and without a model."""

from __future__ import annotations

import subprocess
import sys

import pyarrow.compute as pc

from evaluation.manifest_io import find_evaluation
from evaluation.rescore import rescore
from tests.expect import raises_code
from tests.training.conftest import asked, write_run


def test_scoring_again_gives_the_stored_tables(baselines):
    for one in baselines.models:
        [again] = rescore(baselines.manifest, one.evaluation_id)
        assert again.metrics.equals(one.metrics)
        assert again.reliability.equals(one.reliability)
        order = [(name, "ascending") for name in ("benchmark", "item_id", "variant")]
        names = ["item_id", "variant", "parsed", "score", "parse_status", "fault", "token_f1"]
        mine, theirs = (
            table.sort_by(order).select(names) for table in (again.predictions, one.predictions)
        )
        assert mine.to_pylist() == theirs.to_pylist()


def test_without_a_name_every_evaluation_is_scored_again(baselines):
    again = {one.evaluation_id: one.metrics for one in rescore(baselines.manifest)}
    assert again.keys() == {one.evaluation_id for one in baselines.models}
    assert all(again[one.evaluation_id].equals(one.metrics) for one in baselines.models)


def test_a_run_without_an_evaluation_is_one_line(tmp_path):
    run = write_run(tmp_path / "run", [asked("is it clear?", "yes")])
    with raises_code("evaluation_unknown", known=[]):
        rescore(run / "manifest.duckdb")


def test_another_protocol_is_named_in_every_table(baselines):
    [again] = rescore(baselines.manifest, "majority", "medevalkit")
    for table in (again.metrics, again.evaluations, again.predictions):
        assert pc.unique(table["protocol"]).to_pylist() == ["medevalkit"]


def test_a_protocol_without_rules_is_refused(baselines):
    with raises_code("predictions_incomplete"):
        rescore(baselines.manifest, "majority", "llava-med")


def test_a_name_may_be_a_model_or_the_beginning_of_an_id(baselines):
    wanted = baselines.models[1].evaluation_id
    assert find_evaluation(baselines.manifest, "prior")["evaluation_id"] == wanted
    assert find_evaluation(baselines.manifest, wanted[:-3])["evaluation_id"] == wanted


def test_a_name_that_means_nothing_or_too_much_is_refused(baselines):
    with raises_code("evaluation_unknown", evaluation="gpt"):
        rescore(baselines.manifest, "gpt")
    with raises_code("evaluation_unknown", evaluation=None) as caught:
        find_evaluation(baselines.manifest, None)
    assert len(caught.value.values["known"]) == len(baselines.models)


def test_no_torch_is_loaded(baselines):
    code = (
        "import sys; from pathlib import Path; from evaluation.rescore import rescore; "
        f"rescore(Path({str(baselines.manifest)!r}), 'majority'); "
        "sys.exit(any(name in sys.modules for name in ('torch', 'transformers', 'ray')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
