from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medsift.text import clean, contrast, is_cjk, normalise_answer, normalise_question


def test_clean_removes_control_characters_and_says_so():
    assert clean(" a\x00b\x07 ") == ("ab", ["control characters removed"])
    assert clean("cut\tapart") == ("cut apart", ["tabs replaced"])
    assert clean("a\r\nb\rc") == ("a\nb\nc", [])
    assert clean("e\u0301") == ("é", ["Unicode composed"])
    assert clean("\u202eabc\ufeff") == ("abc", ["invisible characters removed"])


@given(st.text())
def test_clean_is_idempotent_and_leaves_only_printable_lines(text):
    once, _ = clean(text)
    again, notes = clean(once)
    assert again == once
    assert notes == []
    assert not any(unicodedata.category(c) == "Cc" and c != "\n" for c in once)


@given(st.text())
def test_clean_survives_lone_surrogates_and_encodes(text):
    clean("\ud800" + text)[0].encode("utf-8")


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_categories=["Cs"])))
def test_normalisation_is_idempotent(text):
    once = normalise_answer(text)
    assert normalise_answer(once) == once


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("Yes.", " yes"),
        ("T1-weighted MRI", "t1 weighted mri"),
        ("The   lung", "the lung!"),
        ("ＣＴ", "ct"),
    ],
)
def test_answers_of_one_meaning_have_one_form(a, b):
    assert normalise_answer(a) == normalise_answer(b)


@pytest.mark.parametrize(("a", "b"), [("5.1 cm", "51 cm"), ("<5", ">5"), ("-2", "2"), ("5%", "5")])
def test_numbers_keep_their_meaning(a, b):
    assert normalise_answer(a) != normalise_answer(b)


def test_questions_lose_image_markers():
    assert normalise_question("<image>\nWhat is it?") == normalise_question("What is it")


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("left lung", "right lung"),
        ("Left", "L and R"),
        ("a fracture", "no fracture"),
        ("effusion is present", "effusion is absent"),
        ("it is", "it isn't"),
        ("2 nodules", "three nodules"),
        ("5.1 cm", "5.2 cm"),
        ("upper lobe", "lower lobe"),
        ("increased", "decreased"),
        ("normal heart", "abnormal heart"),
        ("CT of the head", "MRI of the head"),
        ("T1", "T2"),
        ("axial", "coronal"),
        ("is the liver enlarged", "is the spleen enlarged"),
        ("before surgery", "after surgery"),
        ("first image", "last image"),
        ("左肺", "右肺"),
        ("有结节", "无结节"),
        ("L4 fracture", "L5 fracture"),
        ("not without pain", "without pain"),
    ],
)
def test_contrast_sees_words_that_change_the_meaning(a, b):
    assert contrast(a, b)
    assert contrast(b, a)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("Are the lungs clear?", "Is the lung clear?"),
        ("two nodules", "2 nodules"),
        ("an X-ray", "a radiograph"),
        ("MRI brain", "MR of the brain"),
        ("the left side", "side: LEFT"),
        ("2.0 cm", "2 cm"),
        ("Is there a mass?", "Can a mass be seen?"),
        ("it is not", "it isn't"),
    ],
)
def test_contrast_ignores_wording(a, b):
    assert not contrast(a, b)


@given(st.lists(st.sampled_from(["left", "right", "no", "two", "lung", "3", "T2"])), st.randoms())
def test_contrast_ignores_word_order(words, random):
    shuffled = list(words)
    random.shuffle(shuffled)
    assert not contrast(" ".join(words), " ".join(shuffled))


def test_cjk_is_recognised():
    assert is_cjk("CT 扫描")
    assert not is_cjk("Müller")
