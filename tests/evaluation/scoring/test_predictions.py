"""Tables of predictions: scored row by row whatever their order, and refused when unsound."""

from __future__ import annotations

import json
import re

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.records import ITEMS, PREDICTIONS, SCORES
from evaluation.scoring import PROTOCOLS, Item
from evaluation.scoring.predictions import score_predictions
from medsift.errors import InputError, UsageError

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
        item = Item(*(given_row[name] for name in names), tuple(given_row["options"] or ()))
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
    with pytest.raises(InputError, match="alternatives"):
        score_predictions(table([row(1, extra='["alternatives"')]), "strict")


def test_a_score_says_which_span_was_read_and_by_which_rule():
    rows = [row(2, reply="I think of A.\n\nAnswer: **B**, since it is fluid")]
    for protocol in ("strict", "medevalkit"):
        told = json.loads(score_predictions(table(rows), protocol)["explanation"][0].as_py())
        assert set(told) == {"rule", "where", "span"}
    told = json.loads(score_predictions(table(rows), "strict")["explanation"][0].as_py())
    assert told == {"rule": "claim", "where": "marker", "span": "b, since it is fluid"}


def test_an_explanation_stays_short_and_keeps_both_ends_of_a_long_span():
    scored = score_predictions(table([row(2, reply="first " + "x" * 5_000 + " last")]), "strict")
    told = json.loads(scored["explanation"][0].as_py())
    assert told["span"].startswith("first ")
    assert told["span"].endswith(" last")
    assert len(told["span"]) < 300


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


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            [row(0), row(0)],
            r"1 predictions stand there more than once, first e1 vqa_rad i0000 orig",
        ),
        ([row(0), row(0, variant=None)], r"1 predictions stand there more than once"),
        (
            [row(0, answer_type="Closed")],
            r"1 predictions have an answer_type other than closed, op",
        ),
        ([row(5, answer_type=None)], r"other than closed, open, choice.*first vqa_rad i0005"),
    ],
)
def test_predictions_that_cannot_be_told_apart_or_scored_are_refused(rows, message):
    schema = pa.schema([field.with_nullable(True) for field in PREDICTIONS])
    with pytest.raises(UsageError, match=message):
        score_predictions(pa.Table.from_pylist(rows, schema=schema), "strict")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gold": None}, "1 predictions have no gold answer"),
        ({"options": None}, "1 predictions are choices without options"),
        ({"options": []}, "1 predictions are choices without options"),
        ({"options": ["a", None]}, "1 predictions have an option that is null"),
        ({"options": ["a", "b\x1fc"]}, "1 predictions have an option that is null or holds"),
        ({"options": [str(place) for place in range(27)]}, "have more than 26 options"),
        ({"gold": "F"}, "vqa_rad i0002: gold answer 'F' is neither a letter of the 3 options"),
    ],
)
def test_an_item_that_nothing_can_be_scored_against_is_refused(change, message):
    schema = pa.schema([field.with_nullable(True) for field in PREDICTIONS])
    rows = [row(1), row(2, **change), row(3)]
    with pytest.raises(InputError, match=re.escape(message)):
        score_predictions(pa.Table.from_pylist(rows, schema=schema), "strict")


def test_a_protocol_without_rules_for_choices_says_so():
    with pytest.raises(UsageError, match="1 predictions have an answer_type other than closed, op"):
        score_predictions(table([row(0), row(1), row(2)]), "llava-med")


def test_an_unknown_protocol_is_refused_with_the_known_ones():
    with pytest.raises(UsageError, match="'lenient' is unknown; choose one of medevalkit, llava-m"):
        score_predictions(table([row(0)]), "lenient")


def test_a_table_without_the_needed_columns_is_refused_with_those_it_has():
    with pytest.raises(
        UsageError, match="lack options, gold; they have evaluation_id, training_id"
    ):
        score_predictions(table([row(0)]).drop_columns(["options", "gold"]), "strict")


def test_missing_and_unknown_items_are_refused_with_counts():
    whole = table(row(place) for place in range(9))
    some = pa.concat_tables([whole.slice(2), table([row(0, item_id="x"), row(0, item_id="w")])])
    message = (
        "2 predictions are about unknown items, first vqa_rad w; "
        "2 of 9 items have no reply in evaluation e1, first vqa_rad i0000"
    )
    with pytest.raises(UsageError, match=re.escape(message)):
        score_predictions(some, "strict", items_of(whole))
    assert score_predictions(whole, "strict", items_of(whole)).num_rows == 9


def test_each_evaluation_must_cover_the_items_by_original_replies():
    whole = table(row(place) for place in range(3))
    items = items_of(whole)
    partly = table([*(row(place) for place in range(3)), row(0, evaluation_id="e2")])
    with pytest.raises(UsageError, match="2 of 3 items have no reply in evaluation e2, first vqa"):
        score_predictions(partly, "strict", items)
    extra = table([*(row(place) for place in range(3)), row(0, variant="blank")])
    assert score_predictions(extra, "strict", items).num_rows == 4
    perturbed = table([row(0), row(1), row(2, variant="blank")])
    with pytest.raises(UsageError, match="1 of 3 items have no reply in evaluation e1, first vqa"):
        score_predictions(perturbed, "strict", items)
    with pytest.raises(UsageError, match="3 of 3 items have no reply"):
        score_predictions(PREDICTIONS.empty_table(), "strict", items)


def test_items_that_stand_twice_are_refused():
    whole = table([row(0)])
    twice = pa.concat_tables([items_of(whole)] * 2)
    with pytest.raises(UsageError, match="1 items stand there more than once, first vqa_rad i0000"):
        score_predictions(whole, "strict", twice)


def test_scoring_needs_neither_torch_nor_ray():
    import subprocess
    import sys

    code = "import sys, evaluation.scoring.predictions; print(sorted(sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert not {"'torch'", "'ray'", "'duckdb'"} & set(re.split(r"[\[\], ]+", loaded.stdout))
