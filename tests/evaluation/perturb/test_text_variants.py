from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.perturb.apply import find_variant
from evaluation.perturb.image_swaps import Donors
from evaluation.perturb.perturbation import Skip
from medsift.text import PROTECTED, protected_tokens

NOBODY = Donors({})


def change(item, variant, seed=0):
    return find_variant(variant).change(item, seed, NOBODY)


def made(items, variant, seed=0):
    """(item, changed item) of those that the variant can be made of."""
    pairs = ((item, change(item, variant, seed)) for item in items.to_pylist())
    return [(item, changed) for item, changed in pairs if not isinstance(changed, Skip)]


def same_but(item, changed, *columns):
    return {key: value for key, value in item.items() if key not in columns} == {
        key: value for key, value in changed.items() if key not in columns
    }


@pytest.mark.parametrize("level", [1, 2, 3])
def test_a_frame_keeps_every_word_of_a_real_question(real_items, level):
    pairs = made(real_items, f"paraphrase@{level}")
    assert len(pairs) == real_items.num_rows
    for item, changed in pairs:
        assert item["question"] in changed["question"]
        assert protected_tokens(item["question"]) == protected_tokens(changed["question"])
        assert same_but(item, changed, "question")


def test_rewording_changes_how_a_real_question_opens_and_nothing_after(real_items):
    pairs = made(real_items, "paraphrase@4")
    assert len(pairs) > 100
    for item, changed in pairs:
        before, after = (one["question"].split() for one in (item, changed))
        assert before != after
        assert before[4:] == after[-len(before[4:]) :] or len(before) <= 4
        assert protected_tokens(item["question"]) == protected_tokens(changed["question"])


def test_paraphrases_of_one_question_differ(make_item):
    item = make_item(question="Is there a pleural effusion?")
    texts = {change(item, f"paraphrase@{level}")["question"] for level in (1, 2, 3, 4)}
    assert len(texts | {item["question"]}) == 5
    assert "Do you see a pleural effusion?" in texts


def test_chinese_is_paraphrased_in_chinese_whether_or_not_it_says_so(make_item):
    for language in ("zh", None):
        item = make_item(question="图中是否存在肺炎?", gold="是", language=language)
        texts = [change(item, f"paraphrase@{level}")["question"] for level in (1, 2, 3, 4)]
        assert all("肺炎" in text and not re.search("[a-z]", text) for text in texts)
        assert texts[3] == "图中是否有肺炎?"


def test_a_language_without_templates_is_left_out(make_item):
    skipped = change(make_item(language="de"), "paraphrase@1")
    assert isinstance(skipped, Skip)
    assert "'de'" in skipped.reason


def test_typos_touch_no_protected_word_and_never_the_answer(real_items):
    pairs = made(real_items, "typos")
    assert len(pairs) > 350
    for item, changed in pairs:
        assert item["question"] != changed["question"]
        assert protected_tokens(item["question"]) == protected_tokens(changed["question"])
        assert same_but(item, changed, "question")


def test_a_slip_changes_few_words_by_one_letter_inside_them(real_items):
    for item, changed in made(real_items, "typos"):
        before, after = item["question"].split(" "), changed["question"].split(" ")
        slips = [(a, b) for a, b in zip(before, after, strict=True) if a != b]
        assert 1 <= len(slips) <= -(-len(before) // 4)
        for word, slipped in slips:
            assert abs(len(word) - len(slipped)) <= 1
            assert word[:2] == slipped[:2]
            assert sorted(set(slipped)) == sorted(set(word) & set(slipped))


SHORT = st.sampled_from(["no", "left", "right", "5.3", "T2", "L4", "MRI", "not", "without", "(A)"])
PLAIN = st.sampled_from(["shown", "picture", "opacity", "visible", "lesion", "there", "where"])


@given(st.lists(SHORT | PLAIN, min_size=1, max_size=12), st.integers(0, 50))
def test_numbers_sides_negation_codes_and_letters_are_never_misspelt(make_item, words, seed):
    item = make_item(question=" ".join(words))
    changed = change(item, "typos", seed)
    if isinstance(changed, Skip):
        return
    for word, slipped in zip(words, changed["question"].split(" "), strict=True):
        kept = len(word) < 5 or word in PROTECTED
        assert not kept or word == slipped


def test_typos_differ_between_seeds_and_items(make_item):
    question = "Describe the appearance of every structure visible underneath this dressing"
    texts = {
        change(make_item(question=question, item_id=str(at)), "typos", seed)["question"]
        for at in range(5)
        for seed in range(5)
    }
    assert len(texts) > 20


def test_chinese_is_not_misspelt(make_item):
    assert isinstance(change(make_item(question="图中有肝脏吗?", language="zh"), "typos"), Skip)


@pytest.mark.parametrize(
    ("question", "gold", "turned", "other"),
    [
        ("Is there a mass?", "Yes", "Is it true that there is no mass?", "No"),
        ("are there any nodules", "no", "Is it true that there are no nodules?", "yes"),
        ("Is this an MRI?", "no", "Is it true that this is not an MRI?", "yes"),
        (
            "Does this image show a fracture?",
            "YES",
            "Is it true that this image does not show a fracture?",
            "No",
        ),
    ],
)
def test_a_plain_question_is_negated_and_its_gold_flipped(make_item, question, gold, turned, other):
    changed = change(make_item(question=question, gold=gold), "negated_premise")
    assert (changed["question"], changed["gold"]) == (turned, other)


@pytest.mark.parametrize(
    ("question", "gold", "turned", "other"),
    [
        ("图中是否存在肺炎？", "是", "“图中不存在肺炎”，这种说法是否正确？", "否"),
        ("图中是否有肿块?", "没有", "“图中没有肿块”，这种说法是否正确？", "是"),
        ("图中包含肝脏吗？", "包含", "“图中不包含肝脏”，这种说法是否正确？", "否"),
        ("图像里有心脏吗？", "有", "“图像里没有心脏”，这种说法是否正确？", "否"),
    ],
)
def test_a_plain_chinese_question_is_negated(make_item, question, gold, turned, other):
    changed = change(make_item(question=question, gold=gold, language="zh"), "negated_premise")
    assert (changed["question"], changed["gold"]) == (turned, other)


@pytest.mark.parametrize(
    "values",
    [
        {"question": "Is there no mass?"},
        {"question": "Is there a mass without calcification?"},
        {"question": "Is there a mass or an abscess?"},
        {"question": "Is there more than one lesion?"},
        {"question": "Are there only 2 kidneys?"},
        {"question": "Is the heart enlarged?"},
        {"gold": "abnormal"},
        {"answer_type": "open"},
        {"options": ["yes", "no"]},
        {"language": "de"},
        {"question": "图中没有肿块吗？", "gold": "是", "language": "zh"},
    ],
)
def test_what_cannot_be_negated_without_a_doubt_is_left_out(make_item, values):
    assert isinstance(change(make_item(**values), "negated_premise"), Skip)


def test_every_real_question_that_is_negated_loses_no_finding(real_items):
    pairs = made(real_items, "negated_premise")
    assert len(pairs) > 90
    for item, changed in pairs:
        assert {item["gold"].lower(), changed["gold"].lower()} == {"yes", "no"}
        before, after = (protected_tokens(one["question"]) for one in (item, changed))
        assert after - before == {"not": 1}
        assert not before - after


OPTIONS = ["liver", "spleen", "kidney", "heart", "lung"]


@given(st.integers(2, 5), st.integers(0, 4), st.integers(1, 4))
def test_a_rotation_keeps_the_right_option_and_the_cyclic_order(make_item, size, place, step):
    options = OPTIONS[:size]
    item = make_item(options=options, gold="ABCDE"[place % size], answer_type="choice")
    changed = change(item, f"rotation@{step}")
    if step >= size:
        assert isinstance(changed, Skip)
        return
    assert changed["options"]["ABCDE".index(changed["gold"])] == options[place % size]
    assert changed["options"] != options
    assert changed["options"] == options[step:] + options[:step]


def test_the_rotations_bring_every_option_to_every_letter_once(make_item):
    item = make_item(options=OPTIONS, gold="C", answer_type="choice")
    orders = [OPTIONS, *(change(item, f"rotation@{step}")["options"] for step in range(1, 5))]
    for letter in zip(*orders, strict=True):
        assert sorted(letter) == sorted(OPTIONS)


@pytest.mark.parametrize(
    "option",
    ["None of the above", "Both A and B", "A and C", "A或B", "以上都不是", "all of the above"],
)
def test_options_that_speak_of_others_by_place_are_not_rotated(make_item, option):
    item = make_item(options=["CT", "MRI", option], gold="A", answer_type="choice")
    assert isinstance(change(item, "rotation@1"), Skip)


@pytest.mark.parametrize("option", ["Vitamin A", "hepatitis B", "both kidneys", "A band", "T1"])
def test_options_that_only_hold_a_letter_are_rotated(make_item, option):
    item = make_item(options=["CT", "MRI", option], gold="A", answer_type="choice")
    assert change(item, "rotation@1")["gold"] == "C"


def test_a_gold_in_words_cannot_be_rotated(make_item):
    item = make_item(options=["CT", "MRI"], gold="CT", answer_type="choice")
    assert isinstance(change(item, "rotation@1"), Skip)
