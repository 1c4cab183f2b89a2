"""Whatever is asked for, a teacher that fails costs one fate a sample, and no retry storm."""

from __future__ import annotations

import json

import pytest

from curation.construct.construct import construct
from curation.construct.grades import ANCHORS
from medsift.manifest import read
from tests.curation.construct.conftest import recipe_for, write_run
from tests.curation.construct.teacher_server import completion, pictures_in
from tests.expect import raises_code

KINDS = ("plain", "rewrite", "caption_to_qa", "quality")
EVERY = pytest.mark.parametrize("kind", KINDS)
TOO_LONG = {"error": {"message": "maximum context length is 4096 tokens"}}
FAILURES = {
    "malformed JSON": (lambda body: b'{"choices": [{"mess', ("failed", "no_reply"), 3),
    "half a body": (
        lambda body: (200, {"Content-Length": "500"}, b'{"choices"'),
        ("failed", "no_reply"),
        3,
    ),
    "too long": (lambda body: (400, {}, TOO_LONG), ("failed", "refused"), 1),
    "cut": (lambda body: completion("Yes, it", None, "length"), ("dropped", "truncated"), 1),
}


def lines(count, pictures=1):
    turns = [("user", "What is seen?"), ("assistant", "effusion")]
    line = {"turns": turns, "pictures": pictures, "task_type": "caption"}
    asked = [("user", f"What is seen in {n}?") for n in range(count)]
    return [line | {"turns": [question, turns[1]]} for question in asked]


def fates(run, kind):
    if kind == "quality":
        sql = "SELECT reason, judged IS NULL AS missing FROM judgements"
    else:
        sql = "SELECT reason, action FROM traces"
    return [tuple(line.values()) for line in read(run / "manifest.duckdb", sql).to_pylist()]


@EVERY
@pytest.mark.parametrize("failure", FAILURES)
def test_a_failure_is_one_fate_and_few_requests(tmp_path, serve, kind, failure):
    rule, (action, reason), asked = FAILURES[failure]
    run = write_run(tmp_path / "run", lines(2))
    server = serve(rule)
    teacher = {"timeout_s": 1.0}
    result = construct(
        recipe_for(run, server, kinds=(kind,), attempts=1, teacher=teacher, blind={"attempts": 0})
    )
    assert {one[0] for one in fates(run, kind)} == {reason}
    assert result.facts[action] == 2
    assert len(server.requests) == 2 * asked


@EVERY
def test_a_limit_of_pictures_is_learned_from_a_small_pair(tmp_path, serve, kind):
    run = write_run(tmp_path / "run", lines(3, pictures=2))

    def rule(body):
        limit = "At most 1 image(s) may be provided in one prompt."
        many = pictures_in(body) > 1
        return (400, {}, {"error": {"message": limit}}) if many else completion("Effusion.")

    server = serve(rule)
    result = construct(recipe_for(run, server, kinds=(kind,), attempts=1, blind={"attempts": 0}))
    many = [body for body in server.requests if pictures_in(body) > 1]
    # A rewrite shows no picture, so no limit can stop it.
    assert len(many) == (0 if kind == "rewrite" else 1)
    assert result.facts["failed"] == (0 if kind == "rewrite" else 3)
    assert all(len(json.dumps(body)) < 6_000 for body in many)


@EVERY
def test_an_endpoint_that_stops_ends_the_run_in_one_line(tmp_path, serve, kind):
    run = write_run(tmp_path / "run", lines(2))
    recipe = recipe_for(run, serve(), kinds=(kind,), attempts=1)
    gone = recipe.model_copy(
        update={"teacher": recipe.teacher.model_copy(update={"url": "http://127.0.0.1:9/v1"})}
    )
    with raises_code("endpoint_failed", reached=False):
        construct(gone)


@pytest.mark.parametrize("kind", ["rewrite", "caption_to_qa"])
def test_a_teacher_that_always_says_the_same_is_noticed(tmp_path, serve, kind):
    run = write_run(tmp_path / "run", lines(40))
    server = serve(lambda body: completion("I cannot help with that."), seconds=0.01)
    with raises_code("teacher_constant", samples=20):
        construct(recipe_for(run, server, kinds=(kind,), attempts=1, teacher={"parallel": 1}))
    assert len(server.requests) < 40


def test_a_judge_may_give_the_same_grades_to_all(tmp_path, serve):
    run = write_run(tmp_path / "run", lines(30))
    same = json.dumps(dict.fromkeys(ANCHORS, 5) | {"safe": True})
    server = serve(lambda body: completion(same))
    result = construct(recipe_for(run, server, kinds=("quality",), accepted=1))
    assert result.facts["kept"] == 30


def test_another_language_and_a_system_turn_are_met_by_a_rewrite(tmp_path, serve):
    turns = [("system", "You read X-rays."), ("user", "What is seen?"), ("assistant", "effusion")]
    line = {"turns": turns, "pictures": 1}
    run = write_run(tmp_path / "run", [line])
    words = "Auf dem Bild ist in der Lunge und an der Seite ein Erguss zu sehen."
    server = serve(lambda body: completion(words))
    judge = {"url": serve(lambda body: completion("yes")).url, "model": "judge-7b"}
    construct(recipe_for(run, server, kinds=("rewrite",), attempts=1, judge=judge))
    assert fates(run, "rewrite") == [("other_language", "dropped")]
    assert {message["role"] for message in server.requests[0]["messages"]} == {"user"}
