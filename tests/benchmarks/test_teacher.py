"""The loopback teacher of phantoms: right or wrong as asked, and blind without the picture."""

from __future__ import annotations

import json

import pytest

from benchmarks.teacher import PhantomTeacher
from curation.construct.reply_parts import split_reply
from curation.construct.verify import asked_question, verify
from curation.phantoms import make_phantoms
from medsift.endpoint.messages import to_messages
from medsift.endpoint.settings import EndpointConfig
from medsift.images import ImagesConfig, decode


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory):
    return make_phantoms(tmp_path_factory.mktemp("teacher") / "set", images=16, seed=5)


def open_questions(phantoms):
    rows = [json.loads(line) for line in phantoms.samples.read_text().splitlines()]
    known = ("modality", "organ", "plane")
    good = [row for row in rows if row["answer_type"] == "open" and row["task_type"] in known]
    return good[:12]


def ask(teacher, phantoms, row, seed, shown=True):
    config = EndpointConfig(url=teacher.url, model="phantom-teacher")
    data = (phantoms.images / row["image"]).read_bytes()
    picture = decode(data, row["image"], ImagesConfig()).image.convert("RGB")
    mark = "<image>" if shown else ""
    turns = [("user", f"{mark}{row['question']}\n\nReason step by step.")]
    messages = to_messages(turns, [picture] if shown else [], "png", None)
    answer = config.poster().post({"model": "x", "messages": messages, "seed": seed})
    parts = split_reply(answer["choices"][0]["message"]["content"])
    return parts, verify(parts.answer, asked_question(row["question"], row["answer"])).outcome


@pytest.mark.parametrize(("wrong", "expected"), [(0.0, "right"), (1.0, "wrong")])
def test_it_is_right_or_wrong_as_often_as_stated(phantoms, monkeypatch, wrong, expected):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with PhantomTeacher(phantoms.root, wrong) as teacher:
        found = [
            ask(teacher, phantoms, row, seed) for seed, row in enumerate(open_questions(phantoms))
        ]
    outcomes = [outcome for _, outcome in found]
    # A question with one known answer cannot be answered otherwise.
    assert outcomes.count("right") <= 0.3 * len(outcomes) or not wrong
    assert expected in outcomes
    assert wrong or set(outcomes) == {"right"}
    assert all(parts.reasoning for parts, _ in found)


def test_without_the_picture_it_guesses(phantoms, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    [row, *_] = open_questions(phantoms)
    with PhantomTeacher(phantoms.root, 0.0) as teacher:
        said = {ask(teacher, phantoms, row, seed, shown=False)[0].answer for seed in range(20)}
    assert len(said) > 1 or len(teacher.of_question[row["question"]]) == 1
