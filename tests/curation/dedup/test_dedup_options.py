"""Lettered options of a question, against the pattern that says what they are."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.matching.lettered_options import choices, stem
from medsift.normal_form import answer_words
from medsift.text import normalise_answer

CHOICE = "Which organ is shown? (A) liver (B) kidney"
# The definition; its time is quadratic in runs of white space and commas.
SLOW = re.compile(r"\(?\b([A-Ha-h])[).:]\s*(.+?)(?=[\s,;]*\(?\b[A-Ha-h][).:]\s|$)", re.DOTALL)


def test_choices_are_read_from_lettered_lists_only() -> None:
    assert choices(CHOICE) == (("a", "liver"), ("b", "kidney"))
    assert choices("Which?\nA. left lung\nB. right lung\nC: none") == (
        ("a", "left lung"),
        ("b", "right lung"),
        ("c", "none"),
    )
    assert choices("Is vitamin A. deficiency seen?") == ()


@settings(max_examples=500, deadline=None)
@given(st.text(alphabet="Ab(). ,;:x\n", max_size=24))
def test_options_are_those_that_the_pattern_finds(question: str) -> None:
    listed = [
        (letter.casefold(), normalise_answer(words)) for letter, words in SLOW.findall(question)
    ]
    wanted = tuple(listed) if len(listed) > 1 else ()
    assert choices(question) == wanted
    if wanted:
        assert answer_words(stem(question)) == answer_words(SLOW.sub(" ", question))


@pytest.mark.parametrize("filling", [" ", ", ", ";", " (", "A", "\n"])
def test_a_long_run_of_one_filling_is_read_once(filling: str) -> None:
    # 200,000 characters are what a row may have; quadratic time would take minutes.
    question = "A) yes" + filling * (200_000 // len(filling)) + "x"
    assert choices(question) == ()
    assert len(choices(question + " B) no")) == 2
