from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.phantoms.cases import Case, draw_case, mirrored
from curation.phantoms.questions import LETTERS, Question, ask

SWAP = {"left": "right", "right": "left", "both sides": "both sides"}
CASES = st.builds(draw_case, st.integers(0, 50), st.integers(0, 5000))


def _ask(case: Case) -> list[Question]:
    return ask(case, np.random.default_rng([1, case.index]))


def _said(question: Question) -> str:
    if question.answer_type != "choice":
        return question.answer
    return question.options[LETTERS.index(question.answer)]


@given(CASES)
@settings(max_examples=150, deadline=None)
def test_meanings_are_distinct_and_some_are_left_to_spare(case: Case) -> None:
    questions = _ask(case)
    meanings = Counter((q.task, q.answer_type == "closed") for q in questions)
    assert max(meanings.values()) == 1
    assert len(questions) >= 8
    assert questions[0].task == "presence"


@given(CASES)
@settings(max_examples=150, deadline=None)
def test_wordings_differ_in_words_only(case: Case) -> None:
    for question in _ask(case):
        other = question.rephrased()
        assert other.text != question.text
        assert (other.answer, other.options) == (question.answer, question.options)
        assert len(set(question.wordings)) == len(question.wordings) == 3


@given(CASES)
@settings(max_examples=150, deadline=None)
def test_answers_follow_the_facts(case: Case) -> None:
    for question in _ask(case):
        said = _said(question)
        if question.answer_type == "closed":
            assert said in ("yes", "no")
        elif question.task == "count":
            assert int(said) == len(case.lesions)
        elif question.task == "side":
            assert {said} == case.sides or (said == "both sides" and len(case.sides) == 2)
        elif question.task in ("plane", "organ"):
            assert said == getattr(case, question.task)


@given(CASES)
@settings(max_examples=150, deadline=None)
def test_a_mirror_asks_the_same_and_swaps_the_sides(case: Case) -> None:
    for question, other in zip(_ask(case), _ask(mirrored(case)), strict=True):
        assert question.text == other.text
        if question.task == "side" and question.answer_type != "closed":
            assert _said(other) == SWAP[_said(question)]
        elif question.task != "side":
            assert question.answer == other.answer


def test_yes_and_no_are_balanced_for_every_task() -> None:
    said: Counter[tuple[str, str]] = Counter()
    for index in range(800):
        said.update((q.task, q.answer) for q in _ask(draw_case(1, index)) if q.options == ())
    for task in ("modality", "plane", "organ", "presence", "side", "count"):
        yes, no = said[task, "yes"], said[task, "no"]
        assert 0.2 < yes / (yes + no) < 0.8
