"""A judge is asked once about each distinct reply, and its verdict is read or it is none."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from evaluation.judge import PROMPT, JudgeConfig, judge, read_verdict
from evaluation.records import PREDICTIONS
from tests.expect import raises_code

SHORT = "{question}|{gold}|{reply}"


@pytest.fixture(autouse=True)
def _direct(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


@pytest.fixture
def config(served):
    def made(**settings):
        endpoint = {
            "url": served.url,
            "model": "wise",
            "timeout_s": 2.0,
            "backoff_s": 0.001,
            "retries": 1,
            **settings.pop("endpoint", {}),
        }
        return JudgeConfig(**{"endpoint": endpoint, "prompt": SHORT, **settings})

    return made


def predictions(*rows):
    known = {"evaluation_id": "e", "benchmark": "b", "answer_type": "open", "question": "Where?"}
    lines = [{**known, "item_id": str(at), "gold": "lung", **line} for at, line in enumerate(rows)]
    scores = pa.array([0.25] * len(rows))
    return pa.Table.from_pylist(lines, schema=PREDICTIONS).append_column("score", scores)


def test_each_distinct_reply_is_asked_once_and_never_again(served, config, tmp_path):
    served.scripts = {
        "Where?|lung|left lung": ["score: 1"],
        "Where?|lung|heart": ["score: 0"],
        "Who?|lung|heart": ["score: 0.5"],
    }
    rows = [
        {"reply": "left lung"},
        {"reply": "heart"},
        {"reply": "left lung", "variant": "typos"},
        {"reply": "heart", "question": "Who?"},
    ]
    table = predictions(*rows)
    found = judge(table, config(), tmp_path)
    assert found["judge"].to_pylist() == [1, 0, 1, 0.5]
    assert found["judge_reply"].to_pylist() == ["score: 1", "score: 0", "score: 1", "score: 0.5"]
    assert found.drop_columns(["judge", "judge_reply"]).equals(table)
    assert len(served.requests) == 3
    again = judge(found.take([3, 1, 0, 2]), config(), tmp_path)
    assert again.equals(found.take([3, 1, 0, 2]))
    assert len(served.requests) == 3
    judge(predictions(*rows, {"reply": "liver"}), config(), tmp_path)
    assert len(served.requests) == 4


def test_another_judge_is_asked_anew(served, config, tmp_path):
    table = predictions({"reply": "x"})
    for settings in ({}, {"endpoint": {"model": "wiser"}}, {"prompt": f"Judge {SHORT}"}):
        judge(table, config(**settings), tmp_path)
    assert len(served.requests) == 3
    judge(table, config(endpoint={"retries": 5, "parallel": 1}), tmp_path)
    assert len(served.requests) == 3


def test_no_reply_is_worth_nothing_unasked_and_other_types_are_left_alone(served, config, tmp_path):
    table = predictions(
        {"reply": None},
        {"reply": " \n"},
        {"reply": "x", "answer_type": "closed"},
        {"reply": None, "answer_type": "choice", "options": ["a", "b"]},
    )
    found = judge(table, config(), tmp_path)
    assert found["judge"].to_pylist() == [0, 0, None, None]
    assert found["judge_reply"].to_pylist() == [None] * 4
    assert served.requests == []


def test_a_verdict_that_cannot_be_read_is_null_and_kept(served, config, tmp_path, caplog):
    served.scripts["Where?|lung|x"] = ["I would say 1."]
    found = judge(predictions({"reply": "x"}, {"reply": "y"}), config(), tmp_path)
    assert found["judge"].to_pylist() == [None, None]
    assert found["judge_reply"].to_pylist() == ["I would say 1.", "Where?|lung|y"]
    assert "of 2 replies 2 have no verdict that can be read" in caplog.text


def test_a_judge_that_fails_is_asked_again_next_time(served, config, tmp_path):
    served.scripts["Where?|lung|x"] = [{"status": 500}, {"status": 500}, "score: 1"]
    table = predictions({"reply": "x"})
    first = judge(table, config(), tmp_path)
    assert (first["judge"].to_pylist(), first["judge_reply"].to_pylist()) == ([None], [None])
    assert judge(table, config(), tmp_path)["judge"].to_pylist() == [1]


def test_the_judge_sees_options_and_braces_as_they_are(served, config, tmp_path):
    line = {"answer_type": "choice", "options": ["liver", "{gold}"], "gold": "B", "reply": "{gold}"}
    judge(predictions(line), config(answer_types=("choice",)), tmp_path)
    assert served.asked("Where?\nA. liver\nB. {gold}|B|{gold}") == 1


@pytest.mark.parametrize(
    ("reply", "score"),
    [
        ("score: 1", 1),
        ("Score:0.5", 0.5),
        ("It names the other side.\nscore: 0\n", 0),
        ("score: 1\nscore: 1", 1),
        ('{"score": 0.5}', 0.5),
        (' {"why": "same", "score": 1}\n', 1),
        ("<think>score: 0</think>score: 1", 1),
        ("score: 1\nscore: 0", None),
        ("score: 2", None),
        ("score: 0.7", None),
        ("score: 1.", None),
        ("the score: 1", None),
        ("1", None),
        ("", None),
        ('{"score": 2}', None),
        ('{"score": -0.1}', None),
        ('{"score": true}', None),
        ('{"score": "1"}', None),
        ('{"score": NaN}', None),
        ('{"verdict": 1}', None),
        ('{"score": 1} indeed', None),
        ('{"score": 1', None),
        ('[{"score": 1}]', None),
        ("{" * 100_000, None),
    ],
)
def test_only_a_plain_verdict_is_read(reply, score):
    assert read_verdict(reply) == score


@given(st.text('score: 015.{}"\n'))
def test_whatever_a_judge_says_is_a_verdict_or_none(text):
    assert read_verdict(text) in (None, 0, 0.5, 1)


def test_our_own_prompt_gives_no_verdict_when_it_is_repeated():
    assert read_verdict(PROMPT) is None


@pytest.mark.parametrize("missing", ["question", "gold", "reply"])
def test_a_prompt_without_all_of_its_places_is_refused(config, missing):
    with pytest.raises(ValidationError) as caught:
        config(prompt=SHORT.replace(f"{{{missing}}}", ""))
    [fault] = caught.value.errors()
    assert fault["loc"] == ("prompt",)
    assert missing in fault["msg"]


def test_predictions_without_what_a_judge_needs_are_refused(config, tmp_path):
    table = predictions({"reply": "x"}).drop_columns(["question"])
    with raises_code("predictions_incomplete") as caught:
        judge(table, config(), tmp_path)
    assert "question" in str(caught.value)
