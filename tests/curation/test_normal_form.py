"""The normal form keeps whatever carries meaning and drops what does not."""

from __future__ import annotations

import sys
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medsift.normal_form import normal_form
from medsift.replies.text_overlap import MARKUP, words

SYMBOLS = [
    char
    for char in map(chr, range(sys.maxunicode + 1))
    if unicodedata.category(char) in ("Sm", "So")
]
SLASHES = "\u2044\u2215"  # spellings of a slash, which is a sign between numbers alone
# Compatibility forms that are letters after folding: ℃, ™, ㎏, ㊀ and their like.
KEPT = [
    char
    for char in SYMBOLS
    if char not in SLASHES
    and unicodedata.category(unicodedata.normalize("NFKC", char)[0])[0] == "S"
]


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("HER2+", "HER2-"),
        ("HER2+", "HER2"),
        ("HER2-", "HER2"),
        ("ER -, PR +", "ER +, PR -"),
        ("Murphy (+)", "Murphy (-)"),
        ("Rh(D)+", "Rh(D)-"),
        ("++", "+"),
        ("+", "-"),
        ("-", "?"),
        ("?", "!"),
        ("WBC ↑", "WBC ↓"),
        ("WBC ↑", "WBC ↑↑"),
        ("WBC →", "WBC"),
        ("≥ 5 cm", "≤ 5 cm"),
        ("> 5 cm", "≥ 5 cm"),
        ("≈ 5", "= 5"),
        ("± 5", "+ 5"),
        ("♂", "♀"),
        ("♂", "✗"),
        ("✓", "✗"),
        ("☐", "☑"),
        ("5-10", "5 10"),
        ("5-6", "56"),
        ("-2.5", "2.5"),
        ("− 2.5", "2.5"),
        ("+5", "-5"),
        ("10⁵", "105"),
        ("10⁻³", "10³"),
        ("1½", "11/2"),
        ("1/2", "1 2"),
        ("1:2", "1 2"),
        ("5%", "5‰"),
        ("5°", "5"),
        ("5 mm", "5 cm"),
        ("5 mg", "5 μg"),
        ("1.5", "1,5"),
        ("α", "β"),
        ("A & B", "A B"),
        ("5′", "5″"),
        ("肝", "肾"),
        ("كلية", "كبد"),
        ("मस्तिष्क", "मस्तक"),
    ],
)
def test_texts_that_differ_in_a_sign_or_number_are_different(a: str, b: str) -> None:
    assert normal_form(a) != normal_form(b)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("HER2 +", "her2+"),
        ("HER2−", "HER2 -"),
        ("(−2.5)", "-2.5"),
        ("WBC⬆️", "wbc ↑"),
        (">= 5cm", "≥ 5 cm"),
        ("+/- 3", "± 3"),
        ("a -> b", "a → b"),
        ("5 – 10 mm", "5-10mm"),
        ("5～10", "5-10"),
        ("3 × 4 cm", "3x4cm"),
        ("½", "1/2"),
        ("٣ mm", "3 mm"),
        ("ＨＥＲ２＋", "HER2+"),
        ("37 ºC", "37 ℃"),
        ("TNF-α", "TNF alpha"),
        ("β-blocker", "beta-blocker"),
        ("5 µg", "5 μg"),
        ("three", "3"),
        ("x-ray", "Xray"),
        ("C.T.", "CT"),
        ("1,000 ml", "1000 mL"),
        (".5 mg", "0.5 mg"),
        ("T1-weighted", "t1 weighted"),
        ("lung – right", "lung, right"),
        ("• Left lung", "left lung"),
        ("Crohn’s", "crohn's"),
        ("¿Hay lesión?", "hay lesión"),
        ("soft\u00adware", "software"),
    ],
)
def test_spellings_of_one_answer_have_one_form(a: str, b: str) -> None:
    assert normal_form(a) == normal_form(b)


@settings(max_examples=300)
@given(st.sampled_from(KEPT), st.sampled_from(["", "WBC", "5", "肺"]))
def test_no_symbol_is_dropped(symbol: str, before: str) -> None:
    assert normal_form(before + symbol) != normal_form(before) != normal_form(symbol)


TANGLED = st.one_of(st.text(alphabet="aAx r1.,-−+/:~<>=°()#*\nµαβ½²'ͅß", max_size=12), st.text())


@settings(max_examples=300)
@given(TANGLED)
def test_the_normal_form_of_a_normal_form_is_itself(text: str) -> None:
    once = normal_form(text)
    assert normal_form(once) == once


@settings(max_examples=300)
@given(TANGLED, TANGLED)
def test_what_scores_tell_apart_has_two_normal_forms(a: str, b: str) -> None:
    if words(a) != words(b):
        assert normal_form(a) != normal_form(b)
    if normal_form(a) == normal_form(b):
        assert words(a) == words(b)


@pytest.mark.parametrize("symbol", ["↑", "♂", "✓", "≥", "±", "%", "°", "+", "-", "→", "🙂"])
def test_scores_keep_the_signs_of_an_answer(symbol: str) -> None:
    assert words(f"WBC {symbol}") != words("WBC") != words(symbol) != ()
    assert symbol not in MARKUP
