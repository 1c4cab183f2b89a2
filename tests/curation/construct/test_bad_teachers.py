"""A teacher that fails costs one line or one fate, never the replies of other samples."""

from __future__ import annotations

import json
import time

import pytest

from curation.construct.construct import construct
from medsift.manifest import read
from tests.curation.construct.conftest import case, recipe_for, write_run
from tests.curation.construct.teacher_server import (
    NUMBER,
    THOUGHTS,
    by_chance,
    completion,
    pictures_in,
    text_of,
)
from tests.expect import raises_code


def fates(run):
    sql = "SELECT row_id, action, reason FROM traces"
    lines = read(run / "manifest.duckdb", sql).to_pylist()
    return {int(one["row_id"].rpartition(":")[2]): (one["action"], one["reason"]) for one in lines}


def number_of(body):
    return int(NUMBER.search(text_of(body))[1])


def right(body):
    return completion("Yes", f"{THOUGHTS} {body['seed']}")


def german(body):
    words = "Die Lunge ist auf der linken Seite dunkel und es ist keine Struktur mehr zu sehen."
    return completion("Yes", f"{words} Das spricht in Bild {body['seed']} und auch hier für Luft.")


BAD = {
    0: (lambda body: b'{"choices": [{"mess', ("failed", "no_reply")),
    1: (lambda body: (200, {"Content-Length": "500"}, b'{"choices"'), ("failed", "no_reply")),
    2: (lambda body: (500, {}, {"error": "out of memory"}), ("failed", "no_reply")),
    3: (lambda body: completion("Yes", ""), ("dropped", "no_reasoning")),
    4: (lambda body: completion("Yes", THOUGHTS, "length"), ("dropped", "truncated")),
    5: (lambda body: completion(None, THOUGHTS, "length"), ("dropped", "truncated")),
    6: (lambda body: completion("", THOUGHTS), ("dropped", "undecided")),
    7: (german, ("dropped", "other_language")),
    8: (
        lambda body: (400, {}, {"error": {"message": "maximum context length is 4096 tokens"}}),
        ("failed", "refused"),
    ),
    9: (lambda body: completion("No", f"{THOUGHTS} {body['seed']}"), ("dropped", "wrong")),
    10: (right, ("kept", None)),
}


def test_each_kind_of_bad_reply_is_one_fate(tmp_path, serve):
    run = write_run(tmp_path / "run", [case(number) for number in BAD])
    server = serve(lambda body: BAD[number_of(body)][0](body))
    settings = {"blind": {"attempts": 0}, "attempts": 2, "teacher": {"timeout_s": 1.0}}
    result = construct(recipe_for(run, server, **settings))
    assert fates(run) == {number: fate for number, (_, fate) in BAD.items()}
    assert sum(result.facts[name] for name in ("kept", "dropped", "failed")) == len(BAD)
    errors = "SELECT error FROM attempts WHERE kind <> 'blind' AND text IS NULL"
    said = read(run / "manifest.duckdb", errors)["error"].to_pylist()
    assert all(words and "\n" not in words for words in said)
    assert any("context length" in words for words in said)


def test_a_request_that_is_refused_is_asked_once_and_not_again(tmp_path, serve):
    run = write_run(tmp_path / "run", [case(8), case(10)])
    server = serve(lambda body: BAD[number_of(body)][0](body))
    recipe = recipe_for(run, server, blind={"attempts": 0})
    for _ in range(2):
        construct(recipe)
        assert [number_of(body) for body in server.requests].count(8) == 1


def test_what_failed_and_may_pass_is_asked_again_by_the_next_start(tmp_path, serve):
    run = write_run(tmp_path / "run", [case(0), case(1)])
    ill = {0}

    def rule(body):
        return (503, {}, {"error": "loading"}) if number_of(body) in ill else right(body)

    recipe = recipe_for(run, serve(rule), blind={"attempts": 0}, attempts=1)
    construct(recipe)
    assert fates(run) == {0: ("failed", "no_reply"), 1: ("kept", None)}
    ill.clear()
    construct(recipe)
    assert fates(run) == {0: ("kept", None), 1: ("kept", None)}


def test_a_teacher_that_always_says_the_same_is_noticed_early(tmp_path, serve):
    run = write_run(tmp_path / "run", [case(number) for number in range(60)])
    server = serve(lambda body: completion("I cannot help with that.", THOUGHTS), seconds=0.01)
    with raises_code("teacher_constant", samples=20):
        construct(recipe_for(run, server, teacher={"parallel": 1}))
    assert 40 <= len(server.requests) < 120


def test_a_sample_with_one_reply_again_and_again_is_asked_no_more(tmp_path, serve):
    run = write_run(tmp_path / "run", [case(0), case(1)])
    server = serve(lambda body: completion("Perhaps", f"{THOUGHTS} {number_of(body)}"))
    construct(recipe_for(run, server, attempts=8))
    assert len(server.requests) == 4
    assert set(fates(run).values()) == {("dropped", "undecided")}


def test_an_endpoint_that_stops_ends_the_run_and_keeps_the_replies(tmp_path, serve):
    run = write_run(tmp_path / "run", [case(number) for number in range(8)])
    first = serve(right)
    recipe = recipe_for(run, first, blind={"attempts": 0}, accepted=1)
    construct(recipe.model_copy(update={"attempts": 1}))
    stored = len((run / "replies" / "replies.jsonl").read_text().splitlines())
    assert stored == 8
    gone = recipe.model_copy(
        update={"teacher": recipe.teacher.model_copy(update={"url": "http://127.0.0.1:9/v1"})}
    )
    # Replies do not depend on the address: what is stored is not asked for.
    construct(gone)
    more = gone.model_copy(update={"accepted": 2})
    with raises_code("endpoint_failed", reached=False):
        construct(more)
    assert len((run / "replies" / "replies.jsonl").read_text().splitlines()) == stored


def test_a_busy_endpoint_is_asked_less_at_once_and_loses_nothing(tmp_path, serve):
    run = write_run(tmp_path / "run", [case(number) for number in range(24)])
    server = serve(seconds=0.01)

    def rule(body):
        busy = server.under_way > 2
        return (429, {"Retry-After": "0"}, {}) if busy else by_chance(body)

    server.rule = rule
    recipe = recipe_for(run, server, teacher={"parallel": 16, "retries": 60, "backoff_s": 0.02})
    construct(recipe)
    assert all(action != "failed" for action, _ in fates(run).values())
    calm = write_run(tmp_path / "calm", [case(number) for number in range(24)])
    construct(recipe_for(calm, serve()))
    assert fates(calm) == fates(run)


def test_a_limit_of_pictures_is_one_fate_for_each_sample_over_it(tmp_path, serve):
    run = write_run(tmp_path / "run", [case(0), case(1, pictures=2), case(2, pictures=2)])

    def rule(body):
        limit = "At most 1 image(s) may be provided in one prompt."
        return (400, {}, {"error": {"message": limit}}) if pictures_in(body) > 1 else right(body)

    server = serve(rule)
    construct(recipe_for(run, server, blind={"attempts": 0}))
    assert fates(run) == {0: ("kept", None), 1: ("failed", "refused"), 2: ("failed", "refused")}
    many = [body for body in server.requests if pictures_in(body) > 1]
    assert len(many) == 1
    assert len(json.dumps(many[0])) < 4_000


def test_words_of_a_system_turn_lead_the_question(tmp_path, serve):
    turns = [("system", "You read CT scans."), *case(0)["turns"]]
    run = write_run(tmp_path / "run", [case(0, turns=turns)])

    def no_system(body):
        roles = {message["role"] for message in body["messages"]}
        refusal = (400, {}, {"error": "System role not supported"})
        return refusal if "system" in roles else right(body)

    server = serve(no_system)
    construct(recipe_for(run, server, blind={"attempts": 0}))
    assert fates(run) == {0: ("kept", None)}
    assert "You read CT scans." in text_of(server.requests[0])


def test_two_processes_never_use_one_folder_of_replies(tmp_path, serve):
    from curation.construct.reply_log import ReplyLog

    run = write_run(tmp_path / "run", [case(0)])
    with ReplyLog(run / "replies"), raises_code("replies_busy"):
        construct(recipe_for(run, serve()))


@pytest.mark.parametrize("cut", [1, 40, 400])
def test_half_a_line_at_the_end_of_the_replies_is_cut_off(tmp_path, serve, cut):
    run = write_run(tmp_path / "run", [case(number) for number in range(6)])
    server = serve()
    recipe = recipe_for(run, server)
    construct(recipe)
    asked, before = len(server.requests), fates(run)
    log = run / "replies" / "replies.jsonl"
    log.write_bytes(log.read_bytes()[:-cut])
    lost = asked - log.read_bytes().count(b"\n")
    construct(recipe)
    assert len(server.requests) == asked + lost
    assert fates(run) == before


def test_a_slow_teacher_is_given_up_after_its_time(tmp_path, serve):
    run = write_run(tmp_path / "run", [case(0)])
    server = serve(seconds=2.0)
    started = time.perf_counter()
    construct(recipe_for(run, server, attempts=1, teacher={"timeout_s": 0.2, "retries": 1}))
    assert fates(run) == {0: ("failed", "no_reply")}
    assert len(server.requests) == 2
    assert time.perf_counter() - started < 60
