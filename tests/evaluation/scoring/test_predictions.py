"""Tables of predictions: scored row by row whatever their order, and refused when unsound."""

from __future__ import annotations

import json
import re

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.records import ITEMS, PREDICTIONS, SCORES
from evaluation.scoring import PROTOCOLS, AnswerKey
from evaluation.scoring.predictions import score_predictions
from tests.expect import raises_code

OPTIONS = ["Pneumonia", "Pleural effusion", "Normal"]
REPLIES = ("Yes", "no nodule", "B", "Normal", "left lung", "", None, "<think>no", "是的", "a" * 300)


def row(place, **values):
    kind = ("closed", "open", "choice")[place % 3]
    known = {
        "evaluation_id": "e1",
        "benchmark": "vqa_rad",
        "item_id": f"i{place:04}",
        "variant": "original",
        "answer_type": kind,
        "gold": {"closed": "yes", "open": "left lung", "choice": "B"}[kind],
        "options": OPTIONS if kind == "choice" else None,
        "reply": REPLIES[place % len(REPLIES)],
    }
    return known | values


def table(rows):
    return pa.Table.from_pylist(list(rows), schema=PREDICTIONS)


def items_of(predictions):
    rows = [{**line, "question": "?"} for line in predictions.to_pylist()]
    return pa.Table.from_pylist(rows, schema=ITEMS)


def without_choice(rows):
    return [line for line in rows if line["answer_type"] != "choice"]


@pytest.mark.parametrize("protocol", list(PROTOCOLS))
def test_every_row_gets_its_own_verdict(protocol):
    rows = [row(place) for place in range(60)]
    rows = rows if "choice" in PROTOCOLS[protocol].answer_types else without_choice(rows)
    scored = score_predictions(table(rows), protocol)
    assert scored.schema == pa.schema([*PREDICTIONS, *SCORES])
    assert scored.select(PREDICTIONS.names) == table(rows)
    for line, given_row in zip(scored.to_pylist(), rows, strict=True):
        names = ("benchmark", "answer_type", "gold")
        item = AnswerKey(*(given_row[name] for name in names), tuple(given_row["options"] or ()))
        expected = PROTOCOLS[protocol].score(item, given_row["reply"] or "")
        assert line["protocol"] == protocol
        assert tuple(line[name] for name in SCORES.names[1:]) == expected


@settings(deadline=None, max_examples=25)
@given(st.permutations(range(30)), st.integers(1, 30))
def test_order_and_chunks_of_rows_do_not_matter(order, size):
    whole = table(row(place) for place in range(30))
    turned = whole.take(order)
    pieces = pa.concat_tables([turned.slice(at, size) for at in range(0, 30, size)])
    scored = score_predictions(pieces, "strict").sort_by("item_id")
    assert scored == score_predictions(whole, "strict")


def test_scoring_again_changes_nothing_and_another_protocol_replaces_it():
    once = score_predictions(table(row(place) for place in range(30)), "strict")
    assert score_predictions(once, "strict") == once
    other = score_predictions(once, "medevalkit")
    assert other.column_names == once.column_names
    assert score_predictions(other, "strict") == once


def test_options_set_items_apart_that_are_otherwise_alike():
    rows = [
        row(2, item_id="one", options=["cyst", "mass"], gold="mass", reply="B"),
        row(2, item_id="two", options=["mass", "cyst"], gold="mass", reply="B"),
        row(2, item_id="three", options=["mass"], gold="mass", reply="B"),
        row(2, item_id="four", options=["", "mass"], gold="mass", reply="B"),
    ]
    assert score_predictions(table(rows), "strict")["score"].to_pylist() == [1, 0, 0, 1]


def test_any_of_an_open_items_right_answers_is_right():
    listed = '{"alternatives": ["about 12", "a dozen"], "subfield": "x"}'
    rows = [
        row(1, item_id="one", gold="12", extra=listed, reply="A dozen."),
        row(1, item_id="two", gold="12", extra=listed, reply="12"),
        row(1, item_id="three", gold="12", extra=listed, reply="13"),
        row(1, item_id="four", gold="12", extra='{"alternatives": []}', reply="a dozen"),
        row(1, item_id="five", gold="12", extra=None, reply="a dozen"),
    ]
    assert score_predictions(table(rows), "strict")["score"].to_pylist() == [1, 1, 0, 0, 0]
    # A published protocol knows one right answer, as its script does.
    published = score_predictions(table(rows), "llava-med")["score"].to_pylist()
    assert published[1] == 1
    assert published[0] < 1
    without = table(rows).drop_columns(["extra"])
    assert score_predictions(without, "strict")["score"].to_pylist() == [0, 1, 0, 0, 0]


def test_extra_that_is_no_object_is_refused_with_its_item():
    with raises_code("benchmark_unreadable", column="extra", value='["alternatives"'):
        score_predictions(table([row(1, extra='["alternatives"')]), "strict")


def test_a_score_says_which_span_was_read_and_by_which_rule():
    rows = [row(2, reply="I think of A.\n\nAnswer: **B**, since it is fluid")]
    for protocol in ("strict", "medevalkit"):
        explanation = json.loads(score_predictions(table(rows), protocol)["explanation"][0].as_py())
        assert set(explanation) == {"rule", "where", "span"}
    explanation = json.loads(score_predictions(table(rows), "strict")["explanation"][0].as_py())
    assert explanation == {"rule": "claim", "where": "marker", "span": "b, since it is fluid"}


def test_an_explanation_stays_short_and_keeps_both_ends_of_a_long_span():
    scored = score_predictions(table([row(2, reply="first " + "x" * 5_000 + " last")]), "strict")
    explanation = json.loads(scored["explanation"][0].as_py())
    assert explanation["span"].startswith("first ")
    assert explanation["span"].endswith(" last")
    assert len(explanation["span"]) < 300


def test_an_empty_table_has_the_columns():
    assert score_predictions(PREDICTIONS.empty_table(), "strict").schema.names[-1] == "explanation"


def test_text_columns_of_any_arrow_kind_are_read():
    plain = table(row(place) for place in range(12))
    coded = plain
    for name in ("benchmark", "gold", "reply", "answer_type"):
        at = coded.column_names.index(name)
        kind = pa.large_string() if name == "reply" else None
        column = coded[name].cast(kind) if kind else coded[name].dictionary_encode()
        coded = coded.set_column(at, name, column)
    scores = SCORES.names
    assert score_predictions(coded, "strict").select(scores) == score_predictions(
        plain, "strict"
    ).select(scores)


def test_variants_and_evaluations_of_one_item_are_no_duplicates():
    rows = [row(0), row(0, variant="blank"), row(0, evaluation_id="e2")]
    assert score_predictions(table(rows), "strict").num_rows == 3


def scored(rows):
    schema = pa.schema([field.with_nullable(True) for field in PREDICTIONS])
    return score_predictions(pa.Table.from_pylist(rows, schema=schema), "strict")


@pytest.mark.parametrize(
    ("rows", "values"),
    [
        ([row(0), row(0)], {"twice": 1, "first": "e1 vqa_rad i0000 original"}),
        ([row(0), row(0, variant=None)], {"twice": 1}),
        ([row(0, answer_type="Closed")], {"column": "answer_type", "rows": 1}),
        ([row(5, answer_type=None)], {"column": "answer_type", "first": "vqa_rad i0005"}),
    ],
)
def test_predictions_that_cannot_be_told_apart_or_scored_are_refused(rows, values):
    with raises_code("predictions_incomplete", **values):
        scored(rows)


@pytest.mark.parametrize(
    "change",
    [
        {"gold": None},
        {"options": None},
        {"options": []},
        {"options": ["a", None]},
        {"options": ["a", "b\x1fc"]},
        {"options": [str(place) for place in range(27)]},
    ],
)
def test_an_item_that_nothing_can_be_scored_against_is_refused(change):
    [column] = change
    with raises_code("predictions_incomplete", column=column, rows=1, first="vqa_rad i0002"):
        scored([row(1), row(2, **change), row(3)])


def test_a_gold_answer_that_is_no_option_is_refused_with_its_item():
    with raises_code("benchmark_unreadable", gold="F", options=OPTIONS, item="vqa_rad i0002"):
        scored([row(1), row(2, gold="F")])


def test_a_protocol_without_rules_for_choices_says_so():
    with raises_code("predictions_incomplete", column="answer_type", rows=1):
        score_predictions(table([row(0), row(1), row(2)]), "llava-med")


def test_an_unknown_protocol_is_refused_with_the_known_ones():
    with raises_code("protocol_unknown", protocol="lenient", allowed=list(PROTOCOLS)):
        score_predictions(table([row(0)]), "lenient")


def test_a_table_without_the_needed_columns_is_refused():
    with raises_code("predictions_incomplete", missing=["options", "gold"]):
        score_predictions(table([row(0)]).drop_columns(["options", "gold"]), "strict")


def test_missing_and_unknown_items_are_refused_with_counts():
    full = table(row(place) for place in range(9))
    some = pa.concat_tables([full.slice(2), table([row(0, item_id="x"), row(0, item_id="w")])])
    values = {"unknown": 2, "first_unknown": "vqa_rad w", "missing": 2, "first": "vqa_rad i0000"}
    with raises_code("predictions_incomplete", evaluation="e1", **values):
        score_predictions(some, "strict", items_of(full))
    assert score_predictions(full, "strict", items_of(full)).num_rows == 9


def test_each_evaluation_must_cover_the_items_by_original_replies():
    full = table(row(place) for place in range(3))
    items = items_of(full)
    partly = table([*(row(place) for place in range(3)), row(0, evaluation_id="e2")])
    with raises_code("predictions_incomplete", missing=2, evaluation="e2", first="vqa_rad i0001"):
        score_predictions(partly, "strict", items)
    extra = table([*(row(place) for place in range(3)), row(0, variant="blank")])
    assert score_predictions(extra, "strict", items).num_rows == 4
    perturbed = table([row(0), row(1), row(2, variant="blank")])
    with raises_code("predictions_incomplete", missing=1, evaluation="e1", first="vqa_rad i0002"):
        score_predictions(perturbed, "strict", items)
    with raises_code("predictions_incomplete", missing=3):
        score_predictions(PREDICTIONS.empty_table(), "strict", items)


def test_items_that_occur_twice_are_refused():
    one = table([row(0)])
    with raises_code("predictions_incomplete", twice=1, first="vqa_rad i0000"):
        score_predictions(one, "strict", pa.concat_tables([items_of(one)] * 2))


def test_scoring_needs_neither_torch_nor_ray():
    import subprocess
    import sys

    code = "import sys, evaluation.scoring.predictions; print(sorted(sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert not {"'torch'", "'ray'", "'duckdb'"} & set(re.split(r"[\[\], ]+", loaded.stdout))
