"""Reasoning that leaks, repeats, is too short or long, or contradicts its row is refused."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.construct.gates import GatesConfig, find_faults, repeated_share

GOOD = (
    "The lungs are dark on the left side and no vessels can be followed to the chest wall. "
    "A thin pleural line runs along the upper zone. That is how free air looks."
)
QUESTION = "What is shown in this picture of the chest?"


def faults(reasoning, tokens=60, question=QUESTION, **tags):
    return find_faults(reasoning, tokens, tags, question, GatesConfig())


def test_good_reasoning_has_no_fault():
    assert faults(GOOD, modality="xray", language="en") == []


@pytest.mark.parametrize(
    "leak",
    [
        "As given in the answer, it is air.",
        "The correct answer is provided.",
        "This fits the reference answer.",
        "We are told that the answer is air.",
        "The answer key says so.",
        "This agrees with the ground truth.",
        "这与给定答案一致。",
    ],
)
def test_reasoning_that_was_shown_the_label_is_refused(leak):
    assert "label_leak" in faults(f"{GOOD} {leak}")


def test_an_answer_before_the_reasoning_is_refused():
    assert faults(f"The answer is pneumothorax. {GOOD}") == ["answer_first"]
    assert faults(f"{GOOD} So the answer is pneumothorax.") == []


@pytest.mark.parametrize(
    ("tokens", "found"),
    [(29, ["too_short"]), (30, []), (1500, []), (1501, ["too_long"])],
)
def test_the_bounds_of_length_are_allowed(tokens, found):
    assert faults(GOOD, tokens) == found


def test_empty_reasoning_is_its_own_fault():
    assert faults(" \n", 0) == ["no_reasoning"]


@pytest.mark.parametrize(
    ("tags", "words", "refused"),
    [
        ({"modality": "ct"}, "This MRI shows air.", True),
        ({"modality": "ct"}, "This CT, unlike an MRI, shows air.", False),
        ({"modality": "ct"}, "This picture shows air.", False),
        ({"modality": None}, "This MRI shows air.", False),
        ({"extra": json.dumps({"side": "right"})}, "It is on the left.", True),
        ({"extra": json.dumps({"side": "left"})}, "It is on the left.", False),
        ({"extra": None}, "It is on the left.", False),
        ({"extra": None, "laterality": "Right"}, "It is on the left.", True),
        ({"extra": None, "laterality": "both"}, "It is on the left.", False),
    ],
)
def test_a_text_that_names_another_modality_or_side_is_refused(tags, words, refused):
    assert ("tag_conflict" in faults(words, **tags)) == refused


def test_reasoning_in_another_language_is_refused():
    german = "Die Lunge ist auf der linken Seite dunkel und es ist keine Struktur zu sehen."
    assert faults(german) == ["other_language"]
    assert faults(german, question="Was ist auf dem Bild der Lunge zu sehen?") == []


WORDS = st.lists(st.sampled_from("abcdef"), max_size=40).map(lambda each: [f"w{c}" for c in each])


@settings(deadline=None)
@given(WORDS)
def test_the_repeated_share_is_that_of_a_count(said):
    runs = Counter(zip(said, said[1:], said[2:], said[3:], strict=False))
    repeats = sum(count - 1 for count in runs.values())
    wanted = repeats / sum(runs.values()) if runs else 0.0
    assert repeated_share(" ".join(said)) == pytest.approx(wanted)


def test_a_loop_is_refused_at_the_limit():
    assert "repetition" in faults("the lung is dark here " * 12)
