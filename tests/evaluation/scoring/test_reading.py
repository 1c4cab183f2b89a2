"""Yes or no, and which option: what is read, and what is left unread."""

from __future__ import annotations

import itertools

import pytest

from evaluation.scoring import AnswerKey, strict
from medsift.replies.choice import LETTERS, right_options
from medsift.replies.closed import polarity
from tests.expect import raises_code

OPTIONS = ("Pneumonia", "Pleural effusion", "A large mass", "Normal")


def yes_no(reply):
    parsed = strict.score(AnswerKey("vqa_rad", "closed", "yes"), reply).parsed
    return None if parsed is None else parsed == "yes"


def choice(reply, options=OPTIONS):
    return strict.score(AnswerKey("pmc_vqa", "choice", "A", options), reply).parsed


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        ("Yes", True),
        ("no", False),
        ("Yes, there is no fracture.", True),
        ("No; yes would be wrong", False),
        ("I think yes", True),
        ("There is no fracture", False),
        ("I see no fracture, so yes", True),
        ("normal abnormal nodule know not none cannot eyes yesterday", None),
        ("no-contrast and non-contrast", None),
        ("yes/no", None),
        ("yes or no: no", False),
        ("no, or yes", None),
        ("是", True),
        ("是的，有结节", True),
        ("不是", False),
        ("不是的，没有", False),
        ("否", False),
        ("有", True),
        ("没有", False),
        ("无", False),
        ("无明显异常", False),
        ("不正常", False),
        ("未见异常", False),
        ("对", True),
        ("不对", False),
        ("对比度很高", None),
        ("图中可见结节", True),
        ("图中不存在结节", False),
        ("这是CT", None),
        ("左侧有，右侧没有", None),
        ("所有器官", None),
        ("是否有结节？没有", False),
        ("有没有结节？有", True),
        ("是否有结节", None),
        ("无法确定是否有结节", None),
        ("没有足够的信息来判断", None),
        ("不确定", None),
        ("不清楚有没有", None),
        ("未知", None),
        ("yes，是的", True),
        ("答案是不是", False),
        ("", None),
    ],
)
def test_yes_and_no_are_read_as_words(reply, said):
    assert yes_no(reply) is said


@pytest.mark.parametrize(
    ("words", "pole"),
    [
        *((word, True) for word in ("Yes", " yes. ", "是", "有", "存在", "包含", "对的", "正确。")),
        *(
            (word, False)
            for word in ("No", "否", "不是", "没有", "不包含", "不存在", "无", "不正确")
        ),
        *((word, None) for word in ("left", "yes and no", "maybe", "健康", "不健康", "")),
    ],
)
def test_a_gold_answer_is_yes_no_or_something_else(words, pole):
    assert polarity(words) is pole


@pytest.mark.parametrize(
    ("reply", "letter"),
    [
        *((reply, "B") for reply in ("B", "b", "(B)", "[b].", "B)", '"B"', "**B**", "Option B")),
        *((reply, "B") for reply in ("选B", "选项B", "B、胸腔积液", "答案：B", "\\boxed{(B)}")),
        *((reply, "B") for reply in ("B. Pleural effusion", "(B) pleural effusion", "B: fluid")),
        *((reply, "B") for reply in ("pleural effusion", "Pleural effusion.", "PLEURAL-EFFUSION")),
        *((reply, "B") for reply in ("B\n\nA is wrong", "Think of A and B.\n\nB", "B. A big one")),
        ("It is pleural effusion", "B"),
        ("A large mass", "C"),
        ("C. A large mass", "C"),
        ("A. A large mass", None),
        ("B. Normal", None),
        ("A. Normal", None),
        ("B. A", None),
        *((reply, None) for reply in ("A and B", "A or B", "A, B", "A/B", "(A) or (B)", "A. B.")),
        *((reply, None) for reply in ("A\nB", "E", "E. Something", "")),
        *((reply, None) for reply in ("A mass", "pleural", "pneumonia or pleural effusion", "42")),
        *((reply, None) for reply in ("cannot determine", "none of the above", "Benign")),
    ],
)
def test_an_option_is_named_by_letter_or_exact_text(reply, letter):
    assert choice(reply) == letter


def test_every_letter_and_every_text_names_its_own_option():
    for size in range(1, len(LETTERS) + 1):
        options = tuple(f"finding number {place}" for place in range(size))
        for place, option in enumerate(options):
            for reply in (
                LETTERS[place],
                f"({LETTERS[place]})",
                f"{LETTERS[place]}. {option}",
                option,
            ):
                assert choice(reply, options) == LETTERS[place]
        assert all(choice(letter, options) is None for letter in LETTERS[size:])


def test_a_text_that_stands_twice_names_no_option_but_a_letter_does():
    options = ("cyst", "Cyst.", "mass")
    assert choice("cyst", options) is None
    assert choice("B. cyst", options) == "B"
    assert right_options("CYST", options) == {0, 1}


def test_a_text_that_starts_like_a_letter_is_that_text():
    options = ("B. subtilis", "A. fumigatus", "Candida")
    assert choice("A. fumigatus", options) == "B"
    assert choice("A. something else", options) == "A"


def test_options_that_are_yes_and_no_are_read_as_such():
    for options in itertools.permutations(("Yes", "No")):
        assert choice("Yes, there is no doubt", options) == LETTERS[options.index("Yes")]
        assert choice("yes and no", options) is None
        assert choice("A. " + options[1], options) is None
    assert choice("Yes, there is no doubt", ("Yes", "No", "Maybe")) == "A"


@pytest.mark.parametrize(
    ("gold", "places"),
    [("B", {1}), (" b ", {1}), ("Normal", {3}), ("normal.", {3}), ("A large mass", {2})],
)
def test_a_gold_answer_is_a_letter_or_the_text_of_an_option(gold, places):
    assert right_options(gold, OPTIONS) == places


@pytest.mark.parametrize("gold", ["E", "fracture", "", "AB"])
def test_a_gold_answer_outside_the_options_is_refused(gold):
    with raises_code("benchmark_unreadable", gold=gold, options=list(OPTIONS)):
        right_options(gold, OPTIONS)
