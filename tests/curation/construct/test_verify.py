"""The first rung that decides a reply decides it; the rest is undecided."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.construct.verify import asked_question, verify
from curation.meaning.lists import units

OPEN = "What is shown?"
SIDES = "Which side is it on?\nA. left\nB. right\nC. both"


@pytest.mark.parametrize(
    ("question", "gold", "reply", "verdict"),
    [
        (SIDES, "A", "It is on the left, so B is wrong. The answer is A.", ("right", "choice")),
        (SIDES, "left", "B", ("wrong", "choice")),
        (SIDES, "A. left", "left", ("right", "choice")),
        (SIDES, "A", "A or B", ("undecided", "none")),
        (OPEN, "yes", "No, there is none.", ("wrong", "yes_no")),
        (OPEN, "No", "no", ("right", "yes_no")),
        (OPEN, "no", "I cannot tell from this picture.", ("undecided", "none")),
        (OPEN, "pneumothorax", "A Pneumothorax.", ("right", "exact")),
        (OPEN, "left lung", "left lungs", ("right", "exact")),
        (OPEN, "2 cm", "20 mm", ("right", "quantity")),
        (OPEN, "2 cm", "about 2 kg", ("undecided", "none")),
        (OPEN, "2 cm", "2 cm or 3 cm", ("undecided", "none")),
        (OPEN, "< 2 cm", "2 cm", ("wrong", "quantity")),
        (OPEN, "3", "There are 4 lesions", ("wrong", "quantity")),
        (OPEN, "left lung", "the right lung", ("wrong", "words")),
        (OPEN, "no pneumothorax", "pneumothorax", ("wrong", "words")),
        (OPEN, "mass in the left upper lobe", "left upper lobe mass", ("right", "exact")),
        (
            OPEN,
            "small round mass of the left upper lobe",
            "round mass of the left upper lobe",
            ("right", "words"),
        ),
        (OPEN, "mass of the left upper lobe", "mass of the upper lobe", ("undecided", "none")),
        (OPEN, "axial", "It is unknown", ("undecided", "none")),
        (OPEN, "axial", "", ("undecided", "none")),
    ],
)
def test_the_rung_that_decides(question, gold, reply, verdict):
    assert verify(reply, asked_question(question, gold)) == verdict


LENGTHS = sorted(unit for unit, (kind, _) in units().items() if kind == "length" and unit.isascii())


@settings(deadline=None)
@given(
    st.integers(1, 400),
    st.sampled_from(LENGTHS),
    st.integers(1, 400),
    st.sampled_from(LENGTHS),
)
def test_a_length_is_right_exactly_where_it_is_as_long(number, unit, other, other_unit):
    gold, reply = f"{number} {unit}", f"It is {other} {other_unit} long"
    factor = {name: units()[name][1] for name in (unit, other_unit)}
    same = abs(number * factor[unit] - other * factor[other_unit]) < 1e-12
    asked = asked_question("How long is it?", gold, "en")
    assert verify(reply, asked) == ("right" if same else "wrong", "quantity")


FINDINGS = st.sampled_from(
    ["left lung", "right lung", "no mass", "mass", "2 cm", "3 nodules", "axial"]
)


@settings(deadline=None)
@given(FINDINGS, FINDINGS)
def test_answers_that_differ_in_side_negation_or_number_are_never_right(gold, reply):
    outcome, _ = verify(reply, asked_question(OPEN, gold, "en"))
    assert (outcome == "right") == (gold == reply)


@settings(deadline=None)
@given(st.text(max_size=60), st.text(max_size=60))
def test_no_reply_and_no_gold_answer_raises(gold, reply):
    outcome, rung = verify(reply, asked_question(OPEN, gold))
    assert (outcome == "undecided") == (rung == "none")


def test_options_without_the_right_answer_offer_no_choice():
    assert asked_question(SIDES, "behind").options == ()
