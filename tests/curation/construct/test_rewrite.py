"""Terse answers become sentences that keep the fact; all other rewrites are refused."""

from __future__ import annotations

import json

import pytest

from curation.construct.construct import construct
from medsift.manifest import read
from tests.curation.construct.conftest import case, recipe_for, write_run
from tests.curation.construct.teacher_server import NUMBER, completion, pictures_in, text_of
from tests.expect import raises_code

SENTENCES = {
    0: ("Yes, case 0 is abnormal.", ("kept", None)),
    1: ("<think>Easy.</think>Yes, case 1 is abnormal.", ("kept", None)),
    2: ("No, case 2 is not abnormal.", ("dropped", "wrong")),
    3: ("Yes, case 4 is abnormal.", ("dropped", "wrong")),
    4: ("Yes, case 4 is abnormal and shows a tumour.", ("dropped", "undecided")),
    5: ("Yes", ("dropped", "no_sentence")),
    6: ("Yes, as the given answer says, case 6 is abnormal.", ("dropped", "undecided")),
    7: ("", ("dropped", "undecided")),
}


@pytest.fixture
def run(tmp_path):
    return write_run(tmp_path / "run", [case(number) for number in SENTENCES])


def rewriting(body):
    return completion(SENTENCES[int(NUMBER.search(text_of(body))[1])][0])


def traces_of(run):
    lines = read(run / "manifest.duckdb", "SELECT * FROM traces").to_pylist()
    return {int(one["row_id"].rpartition(":")[2]): one for one in lines}


def test_only_sentences_that_keep_the_fact_are_kept(run, serve):
    server = serve(rewriting)
    result = construct(recipe_for(run, server, kinds=("rewrite",), attempts=1))
    fates = {number: (one["action"], one["reason"]) for number, one in traces_of(run).items()}
    assert fates == {number: fate for number, (_, fate) in SENTENCES.items()}
    assert not any(pictures_in(body) for body in server.requests)
    lines = [json.loads(line) for line in result.samples.read_text().splitlines()]
    assert [line["messages"][-1]["content"] for line in lines] == [
        "Yes, case 0 is abnormal.",
        "Yes, case 1 is abnormal.",
    ]
    assert {line["trace_kind"] for line in lines} == {"rewrite"}
    assert all(line["reasoning"] is None and line["derived_from"] for line in lines)
    before = result.samples.with_name("answers.jsonl").read_text().splitlines()
    assert {json.loads(line)["messages"][-1]["content"] for line in before} == {"yes"}
    assert not result.samples.with_name("shuffled.jsonl").exists()


def test_a_judge_decides_where_lists_do_not(run, serve):
    judge = {"url": serve(lambda body: completion("yes")).url, "model": "judge-7b"}
    construct(recipe_for(run, serve(rewriting), kinds=("rewrite",), attempts=1, judge=judge))
    assert traces_of(run)[4]["verdict_by"] == "judge"
    assert (traces_of(run)[2]["action"], traces_of(run)[7]["action"]) == ("dropped", "dropped")


def test_long_answers_are_not_rewritten(tmp_path, serve):
    run = write_run(tmp_path / "run", [case(0), case(1, "a long answer of many words")])
    server = serve(rewriting)
    construct(recipe_for(run, server, kinds=("rewrite",), attempts=1))
    assert len(server.requests) == 1
    assert (traces_of(run)[1]["action"], traces_of(run)[1]["reason"]) == ("dropped", "not_terse")
    with raises_code("construct_nothing_to_ask", reasons=["not_terse"]):
        construct(recipe_for(run, server, kinds=("rewrite",), sparse_words=0))


def test_a_kind_of_its_own_is_asked_alone(run, serve):
    with pytest.raises(ValueError, match="alone"):
        recipe_for(run, serve(), kinds=("plain", "rewrite"))
