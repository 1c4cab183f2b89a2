from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.ingest import IngestConfig, infer_answer_type, ingest
from curation.sources.reader import Unread
from curation.stages.ingest import check_columns_of_splits, check_splits
from medsift import records
from tests.expect import raises_code

CONFIG = IngestConfig()


def row(index=0, question="What?", answer="Yes", **fields):
    base = dict.fromkeys(records.ROWS.names)
    base |= {"row_id": f"s:f:{index}", "source": "s", "file": "f", "index": index, "notes": []}
    base["messages"] = [
        {"role": "user", "content": question},
        {"role": "assistant", "content": answer},
    ]
    return base | {"images": []} | fields


def turns(*pairs):
    return [{"role": role, "content": content} for role, content in pairs]


def table(*rows):
    return pa.Table.from_pylist(list(rows), schema=records.ROWS)


def fate(one):
    result = ingest(table(one), CONFIG)
    assert result.rows_in == result.samples.num_rows + result.decisions.num_rows == 1
    if result.decisions.num_rows:
        decision = result.decisions.to_pylist()[0]
        return decision["action"], decision["reason"]
    return "kept", result.samples.to_pylist()[0]


@pytest.mark.parametrize(
    ("one", "action", "reason"),
    [
        (row(error="malformed_json", detail="d", messages=None), "failed", "malformed_json"),
        (row(question=None), "failed", "missing_question"),
        (row(question=" \t"), "failed", "missing_question"),
        (row(question="<image>", images=["/a"]), "failed", "missing_question"),
        (row(messages=None), "failed", "missing_question"),
        (row(answer=None), "dropped", "empty_answer"),
        (row(answer=""), "dropped", "empty_answer"),
        (row(answer=" \n\x01"), "dropped", "blank_answer"),
        (row(answer="x" * 200_001), "dropped", "too_long"),
        (row(messages=turns(("user", "q"))), "failed", "bad_turns"),
        (row(messages=turns(("assistant", "q"), ("user", "a"))), "failed", "bad_turns"),
        (row(messages=turns(("user", "q"), ("tool", "a"))), "failed", "bad_turns"),
        (
            row(
                messages=turns(("user", "q"), ("assistant", ""), ("user", "q"), ("assistant", "a"))
            ),
            "failed",
            "bad_turns",
        ),
        (row(question="<image> what"), "failed", "image_markers"),
    ],
)
def test_a_row_that_is_no_sample_says_why(one, action, reason):
    assert fate(one) == (action, reason)


def test_a_good_row_becomes_a_sample():
    state, sample = fate(
        row(question=" Is it? ", images=["/a.png"], modality=" CT ", split="Train")
    )
    assert state == "kept"
    assert (sample["question"], sample["answer"]) == ("Is it?", "Yes")
    assert (sample["modality"], sample["split"], sample["answer_type"]) == ("ct", "train", "closed")
    assert sample["refs"] == ["/a.png"]
    assert sample["sample_id"] is None
    assert sample["images"] is None


def test_many_turns_keep_first_question_and_last_answer():
    chat = turns(
        ("system", "be short"),
        ("user", "<image>\none"),
        ("assistant", "a1"),
        ("user", "two"),
        ("assistant", "a2"),
    )
    _, sample = fate(row(messages=chat, images=["/a"]))
    assert (sample["question"], sample["answer"]) == ("one", "a2")
    assert [turn["content"] for turn in sample["messages"]] == [
        "be short",
        "one",
        "a1",
        "two",
        "a2",
    ]


def test_markers_that_place_pictures_stay_and_others_go():
    placed = "first <image> then <image>"
    _, sample = fate(row(question=placed, images=["/a", "/b"]))
    assert sample["messages"][0]["content"] == placed
    assert sample["question"] == "first   then"
    _, sample = fate(row(question="<image>\n<image>\nCompare", images=["/a", "/b"]))
    assert sample["messages"][0]["content"] == "Compare"
    _, sample = fate(row(question="<image> Compare", images=["/a", "/b"]))
    assert sample["messages"][0]["content"] == "Compare"
    assert any("markers" in note for note in sample["notes"])


def test_mended_text_is_noted():
    _, sample = fate(row(question="cut\tapart", answer="a\x02b"))
    assert sample["notes"] == ["question: tabs replaced", "answer: control characters removed"]


@pytest.mark.parametrize(
    ("given_type", "answer", "found", "noted"),
    [
        ("CLOSED ", "yes", "closed", True),
        ("OPEN", "yes", "open", False),
        ("closed", "left", "closed", True),
        ("yes/no", "yes", "closed", True),
        (None, "No.", "closed", False),
        (None, "无", "closed", False),
        (None, "the left lung", "open", False),
        ("", "x", "open", False),
    ],
)
def test_answer_types_are_canonical(given_type, answer, found, noted):
    _, sample = fate(row(answer=answer, answer_type=given_type))
    assert sample["answer_type"] == found
    assert bool(sample["notes"]) == noted


def test_options_make_a_choice():
    assert infer_answer_type("Which?\nA. CT\nB. MR", "A") == "choice"
    assert infer_answer_type("Which? (A) CT (B) MR", "A") == "choice"
    assert infer_answer_type("Vitamin A. deficiency?", "rickets") == "open"
    _, sample = fate(row(answer="CT", extra='{"options": ["CT", "MR"]}'))
    assert sample["answer_type"] == "choice"


@given(st.permutations(range(12)), st.integers(1, 12))
def test_batches_and_order_do_not_matter(order, size):
    answers = ["yes", "", None, " ", "tab\there", "x"]
    rows = [row(at, answer=answers[at % 6], modality="MR" if at % 2 else None) for at in range(12)]
    whole = ingest(table(*rows), CONFIG)
    shuffled = [rows[at] for at in order]
    parts = [ingest(table(*shuffled[start : start + size]), CONFIG) for start in range(0, 12, size)]
    for name in ("samples", "decisions"):
        joined = pa.concat_tables([getattr(part, name) for part in parts]).sort_by("row_id")
        assert joined.equals(getattr(whole, name).sort_by("row_id"))


def test_no_rows_give_no_samples():
    result = ingest(records.ROWS.empty_table(), CONFIG)
    assert (result.rows_in, result.samples.num_rows, result.decisions.num_rows) == (0, 0, 0)
    assert result.samples.schema.equals(records.SAMPLES)


@pytest.mark.parametrize(
    ("given_name", "split"),
    [
        ("Training", "train"),
        *((name, "validation") for name in ("dev", "val", "valid", "Validation", "validate")),
        ("TESTING", "test"),
        ("eval", "test"),
        ("测试集", "test"),
        ("train_sft", "train_sft"),
        ("", None),
    ],
)
def test_one_split_has_one_name(given_name, split):
    _, sample = fate(row(split=given_name))
    assert sample["split"] == split


def test_a_split_of_another_name_is_what_the_recipe_says_it_is():
    config = IngestConfig(splits={"train_sft": "train", "test_prefs": "test"})
    rows = [row(at, split=name) for at, name in enumerate(["Train_SFT", "test_prefs", "val"])]
    found = ingest(table(*rows), config).samples["split"].to_pylist()
    assert found == ["train", "test", "validation"]


def test_splits_of_unknown_names_end_the_run_before_any_work_with_their_counts():
    names = ["train", "validation", "test", None, "trn", "trn", "dev2"]
    samples = table(*[row(at, split=name) for at, name in enumerate(names)])
    with raises_code("split_unknown", splits={"s: dev2": 1, "s: trn": 2}):
        check_splits(samples)
    check_splits(samples.slice(0, 4))


@pytest.mark.parametrize(
    ("split", "words", "asked"),
    [
        (None, ("test", "train"), True),
        (None, ("train",), False),
        (None, (), False),
        ("train", ("test", "train"), False),
    ],
)
def test_a_column_of_splits_that_nothing_reads_is_asked_about(split, words, asked):
    samples = pa.table({"source": ["s"], "split": pa.array([split], pa.string())})
    unread = {"s": [Unread("age", False), Unread("phase", False, words)], "t": []}
    if not asked:
        check_columns_of_splits(samples, unread)
        return
    with raises_code("split_unknown", source="s", column="phase"):
        check_columns_of_splits(samples, unread)


@pytest.mark.parametrize(
    ("content", "answer", "kind"),
    [
        ("<think>\nDark on one side.\n</think>\n\nyes", "yes", "closed"),
        ("<think>Only thoughts", "<think>Only thoughts", "open"),
        ("The sign <think> is unknown", "The sign <think> is unknown", "open"),
    ],
)
def test_an_answer_is_what_follows_the_reasoning_it_begins_with(content, answer, kind):
    _, sample = fate(row(answer=content))
    assert (sample["answer"], sample["answer_type"]) == (answer, kind)
    assert sample["messages"][-1]["content"] == content
    assert sample["notes"] == []
