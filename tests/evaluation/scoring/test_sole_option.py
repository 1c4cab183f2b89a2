"""One option left over, conditions, ticks, doubts and answers that are taken back."""

from __future__ import annotations

import itertools

import pytest

from evaluation.scoring import PROTOCOLS, AnswerKey

CHEST = ("Pneumonia", "Pleural effusion", "Pneumothorax", "Normal")
TREND = ("↑", "↓", "→")


def choose(reply, options=CHEST):
    return PROTOCOLS["strict"].score(AnswerKey("b", "choice", "A", options), reply).parsed


def close(reply):
    return PROTOCOLS["strict"].score(AnswerKey("b", "closed", "yes"), reply).parsed


def open_(reply):
    return PROTOCOLS["strict"].score(AnswerKey("b", "open", "left lung"), reply).parsed


@pytest.mark.parametrize(("right", "wrong"), list(itertools.permutations("ABC", 2)))
def test_the_option_that_is_spoken_of_while_others_are_denied_is_the_answer(right, wrong):
    assert choose(f"{wrong} is wrong as nothing is opaque; {right} explains the sign.") == right
    assert choose(f"{wrong}... no, {right}.") == right
    assert choose(f"{wrong}? No. {right}? Yes.") == right
    assert choose(f"{right} > {wrong}") == right
    assert choose(f"{wrong} is less likely than {right}.") == right
    assert choose(f"Could be {wrong}, but I'll go with {right}.") == right


@pytest.mark.parametrize(
    "reply",
    [
        "Pneumonia is an infection of the lung.",
        "Consolidation is typical of pneumonia; I don't see that here.",
        "The patient has a history of pneumonia.",
        "The question asks about pneumonia.",
        "The heart size is normal.",
        "A pneumothorax would be visible as a line.",
        "The opacity lies beside the pneumothorax.",
    ],
)
def test_a_mention_that_is_no_finding_is_no_answer(reply):
    assert choose(reply) is None


@pytest.mark.parametrize("style", ["{0} {1}", "{1} {0}", "{1}) {0}"])
@pytest.mark.parametrize("right", range(4))
def test_the_ticked_option_is_the_answer_wherever_the_signs_stand(style, right):
    lines = [style.format("✅" if n == right else "❌", letter) for n, letter in enumerate("ABCD")]
    assert choose("\n".join(lines)) == "ABCD"[right]
    assert choose(" ".join(lines)) == "ABCD"[right]


def test_the_ticked_box_of_a_task_list_is_the_answer():
    assert choose("- [ ] A. Pneumonia\n- [x] B. Pleural effusion") == "B"
    assert choose("[ ] A [ ] B [ ] C [ ] D") is None


@pytest.mark.parametrize("mark", ["({0}) {1}", "{0}. {1}", "{0}: {1}", "{0}) {1}"])
@pytest.mark.parametrize("options", [TREND, ("+", "-", "±"), ("<", ">", "=")])
def test_an_echo_of_options_that_are_signs_is_no_answer(mark, options):
    entries = [mark.format(*entry) for entry in zip("ABC", options, strict=True)]
    for size in (2, 3):
        assert choose(" ".join(entries[:size]), options) is None
        assert choose(", ".join(entries[:size]), options) is None


def test_what_would_hold_under_a_condition_is_no_answer():
    assert choose("If there is fever, pneumonia; otherwise pleural effusion.") is None
    assert choose("If there were a meniscus, the answer would be B.") is None
    assert close("If there is pain, yes.") is None
    assert close("如果有疼痛，则是。") is None
    # The choosing itself, and a conclusion, are none.
    assert choose("If I had to choose, B.") == "B"
    assert choose("If it were A there would be an opacity, so B.") == "B"
    assert close("If I had to guess, yes.") == "yes"


def test_an_answer_that_is_taken_back_is_none():
    assert close("Yes. Sorry, I can't tell.") is None
    assert close("是。抱歉，我无法判断。") is None
    assert choose("B. Sorry, I can't tell.") is None
    assert close("Yes, but I can't tell what it is.") == "yes"


@pytest.mark.parametrize("verb", ["don't know", "aren't sure", "do not know"])
def test_not_to_know_is_not_no(verb):
    assert close(f"We {verb}.") is None
    assert close(f"I {verb} whether there is one.") is None


def test_a_bare_chinese_maybe_is_no_statement():
    assert close("可能有") is None
    assert close("也许有骨折") is None
    assert close("很可能有") == "yes"
    assert close("不太可能有") == "no"


def test_neither_denies_and_a_granted_point_affirms_nothing():
    assert close("Neither a fracture nor a dislocation is seen.") == "no"
    assert close("I see no fracture; yes, the film is dark, but the cortex is intact.") == "no"


def test_number_does_not_hide_an_option_unless_options_differ_by_it():
    assert choose("Pleural effusions are visible on both sides.") == "B"
    cysts = ("Cyst", "Cysts", "None")
    assert choose("Cysts", cysts) == "B"
    assert choose("Cyst", cysts) == "A"


@pytest.mark.parametrize("reply", ["unknown", "I'm not able to tell.", "我看不清", "不清楚"])
def test_open_replies_that_decline_in_other_words_are_unparsed(reply):
    assert open_(reply) is None
