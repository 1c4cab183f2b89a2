"""An evaluation from recipe to manifest: nothing lost, nothing asked twice, scored as stored."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from evaluation.perturb.apply import find_variants, vary
from medsift.manifest import read
from tests.expect import raises_code


def ask(result, sql: str) -> list[dict[str, object]]:
    return read(result.manifest, sql).to_pylist()


def test_every_item_and_variant_has_a_prediction_or_a_reason(baselines):
    for line in ask(baselines, "FROM evaluations"):
        left_out = sum(
            count for reasons in json.loads(line["left_out"]).values() for count in reasons.values()
        )
        [held] = ask(
            baselines,
            "SELECT count(*) AS n, count(DISTINCT item_id) AS items FROM predictions "
            f"WHERE evaluation_id = '{line['evaluation_id']}'",
        )
        asked = len(line["variants"]) * line["items"]
        assert held["n"] == line["asked"] == asked - left_out
        assert held["items"] == line["items"] > 100
        assert line["unanswered"] == 0


def test_predictions_hold_the_items_as_the_variants_made_them(baselines, phantom_set, tmp_path):
    from evaluation.benchmarks.phantoms import Phantoms

    items = Phantoms(path=str(phantom_set.root), split="train").load(tmp_path).items
    wanted = vary(items, find_variants(["original", "rotation", "typos"], items), 0).items
    stored = read(
        baselines.manifest,
        "SELECT item_id, variant, question, options, gold FROM predictions WHERE model_hash = "
        "(SELECT any_value(model_hash) FROM evaluations WHERE model = 'majority') AND "
        "(variant IN ('original', 'typos') OR variant LIKE 'rotation%')",
    )
    order = [("item_id", "ascending"), ("variant", "ascending")]
    columns = ["item_id", "variant", "question", "options", "gold"]
    assert stored.sort_by(order).to_pylist() == wanted.select(columns).sort_by(order).to_pylist()


def test_metrics_are_the_means_of_the_scores(baselines):
    [line] = ask(
        baselines,
        """
        WITH means AS (
            SELECT evaluation_id, variant, modality || ' / ' || task_type AS facet_value,
                   count(*) AS n, avg(score) AS value FROM predictions GROUP BY ALL
        )
        SELECT count(*) AS lines, count(means.n) AS found,
               max(abs(means.value - metrics.value)) AS error, bool_and(means.n = metrics.n) AS same
        FROM metrics LEFT JOIN means USING (evaluation_id, variant, facet_value)
        WHERE metric = 'accuracy' AND facet = 'modality / task_type' AND metrics.n > 0
        """,
    )
    assert line["found"] == line["lines"] > 100
    assert line["same"]
    assert line["error"] < 1e-9


def test_who_never_looks_loses_nothing_without_the_picture(baselines):
    lines = ask(
        baselines,
        "SELECT m.value FROM metrics m JOIN evaluations e USING (run_id, evaluation_id) "
        "WHERE e.model = 'majority' AND m.metric IN ('drop', 'flip_rate') "
        "AND m.variant IN ('no_image', 'swapped_image')",
    )
    assert len(lines) == 4
    assert {line["value"] for line in lines} == {0.0}


def test_calibration_is_reported_where_there_are_probabilities(baselines, run_recipe, tmp_path):
    from tests.tiny_models import causal, saved_causal

    model = saved_causal(causal(), tmp_path / "model").model_dump()
    generation = {"max_new_tokens": 2}
    result = run_recipe(
        models=[{"kind": "causal", "model": model, "generation": generation}], items=40
    )
    [line] = ask(
        result,
        "SELECT m.value, m.n, sum(r.n) AS held FROM metrics m JOIN reliability r "
        "USING (run_id, evaluation_id) WHERE m.metric = 'ece' GROUP BY ALL",
    )
    closed = "answer_type <> 'open' AND (len(options) > 0 OR lower(gold) IN ('yes', 'no'))"
    [asked] = ask(result, f"SELECT count(*) AS n FROM predictions WHERE {closed}")
    assert line["n"] == line["held"] == asked["n"] > 10
    assert 0 <= line["value"] <= 1
    assert ask(baselines, "FROM reliability") == []


def test_the_same_again_replaces_itself(run_recipe):
    first, second = run_recipe(), run_recipe()
    assert [one.evaluation_id for one in first.models] == [
        one.evaluation_id for one in second.models
    ]
    assert first.metrics.equals(second.metrics)
    assert len(ask(second, "FROM evaluations")) == 1


def test_another_model_stands_beside_the_first(run_recipe):
    run_recipe()
    result = run_recipe(models=[{"kind": "prior"}])
    assert {line["model"] for line in ask(result, "FROM evaluations")} == {"majority", "prior"}


def test_fewer_items_are_the_same_whatever_the_order_and_another_evaluation(run_recipe):
    whole, part = run_recipe(), run_recipe(items=20)
    again = run_recipe(items=20)
    assert part.models[0].predictions.num_rows == 20
    assert part.models[0].predictions.equals(again.models[0].predictions)
    assert part.models[0].evaluation_id != whole.models[0].evaluation_id


def test_facets_may_be_any_key_of_extra(run_recipe, make_recipe, tmp_path, phantom_set):
    truth = run_recipe(facets=["modality"])
    assert set(truth.metrics["facet"].to_pylist()) == {"all", "modality"}
    with raises_code("facet_unknown", facet="hospital"):
        run_recipe(facets=["hospital"])


def test_a_protocol_without_rules_for_choices_is_refused_before_anything_is_asked(run_recipe):
    with raises_code("protocol_unfit", protocol="llava-med", answer_types=["choice"]):
        run_recipe(protocol="llava-med")


def test_models_of_one_name_are_refused(make_recipe):
    with raises_code("recipe_invalid", paths=["models"]):
        make_recipe(models=[{"kind": "majority"}, {"kind": "majority"}])


@pytest.mark.parametrize(
    ("settings", "paths"),
    [
        ({"variants": ["sepia"]}, ["variants"]),
        ({"protocol": "lenient"}, ["protocol"]),
        ({"models": [{"kind": "oracle"}]}, ["models.0", "models"]),
        ({"models": []}, ["models"]),
        ({"benchmark": []}, ["benchmark"]),
    ],
)
def test_an_impossible_recipe_names_the_keys(make_recipe, settings, paths):
    with raises_code("recipe_invalid", paths=paths):
        make_recipe(**settings)


def recorded(result, path, change) -> dict[str, object]:
    """Settings of a model that says what another said, changed."""
    lines = ask(result, "SELECT benchmark, item_id, reply FROM predictions ORDER BY item_id")
    path.write_text("".join(json.dumps(line) + "\n" for line in change(lines)), encoding="utf-8")
    return {"kind": "recorded", "path": str(path), "label": "told"}


def test_recorded_replies_score_as_the_model_that_gave_them(run_recipe, tmp_path):
    given = run_recipe()
    told = recorded(given, tmp_path / "told.jsonl", lambda lines: lines)
    again = run_recipe(models=[told])
    scores = [pc.sum(one.models[0].predictions["score"]).as_py() for one in (given, again)]
    assert scores[0] == scores[1]


def test_requests_without_a_reply_count_as_wrong_are_stored_and_end_in_an_error(
    run_recipe, make_recipe, tmp_path
):
    given = run_recipe()
    told = recorded(given, tmp_path / "told.jsonl", lambda lines: lines)
    with raises_code("replies_missing", model="told") as caught:
        run_recipe(models=[told], variants=["typos"])
    [line] = ask(given, "SELECT asked, items, unanswered FROM evaluations WHERE model = 'told'")
    assert line["unanswered"] == line["asked"] - line["items"] > 0
    counts = {"missing": line["unanswered"], "asked": line["asked"]}
    assert counts.items() <= caught.value.values.items()
    [held] = ask(
        given,
        "SELECT count(*) AS n, sum(score) AS score, min(parse_status) AS status FROM predictions "
        "WHERE reply IS NULL",
    )
    assert held == {"n": line["unanswered"], "score": 0.0, "status": "unparsed"}


def test_tolerated_silence_passes(run_recipe, tmp_path):
    told = recorded(run_recipe(), tmp_path / "told.jsonl", lambda lines: lines)
    result = run_recipe(models=[told], variants=["typos"], failures={"tolerance": 1.0})
    accuracy = result.metrics.filter(
        pc.and_(
            pc.equal(result.metrics["facet"], "all"), pc.equal(result.metrics["variant"], "typos")
        )
    )
    rates = accuracy.filter(pc.equal(accuracy["metric"], "accuracy"))["unparsed_rate"]
    assert rates.to_pylist() == [1.0]


def test_results_go_into_the_run_that_is_named(run_recipe, tmp_path):
    from datetime import UTC, datetime

    from medsift.manifest import RunRecord, write_manifest

    folder = tmp_path / "curated"
    write_manifest(folder / "manifest.duckdb", {}, RunRecord("run7", "curated", datetime.now(UTC)))
    result = run_recipe(run=str(folder))
    assert result.run_id == "run7"
    assert ask(result, "SELECT DISTINCT run_id FROM predictions") == [{"run_id": "run7"}]


def test_tables_have_the_manifests_columns(baselines):
    from medsift.manifest.schema import BY_NAME

    for name, table in baselines.models[0].tables.items():
        assert set(table.column_names) <= set(BY_NAME[name].names), name
        lacking = set(BY_NAME[name].names) - set(table.column_names) - {"run_id"}
        assert lacking <= {"judge", "judge_reply"}, name
        assert isinstance(table, pa.Table)
