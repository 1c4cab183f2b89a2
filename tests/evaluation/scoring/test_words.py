"""Words of open answers and their shares, against brute force."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medsift.replies.text_overlap import best_overlap, bleu_1, overlap, words

SENTENCES = st.lists(st.sampled_from(["left", "lung", "mass", "of", "肺"]), max_size=7).map(tuple)


def shared_by_striking_out(reply, gold):
    left = list(gold)
    return sum(word in left and (left.remove(word) or True) for word in reply)


def longest_by_trying_all(reply, gold):
    tries = (
        combination
        for size in range(min(len(reply), len(gold)), 0, -1)
        for combination in itertools.combinations(gold, size)
    )
    for wanted in tries:
        rest = iter(reply)
        if all(word in rest for word in wanted):
            return len(wanted)
    return 0


@settings(deadline=None)
@given(SENTENCES, SENTENCES)
def test_shares_agree_with_brute_force(reply, gold):
    found = overlap(reply, gold)
    if not reply or not gold:
        assert set(found) == {0.0}
        return
    shared, longest = shared_by_striking_out(reply, gold), longest_by_trying_all(reply, gold)
    precision, recall = shared / len(reply), shared / len(gold)
    brevity = 1.0 if len(reply) >= len(gold) else math.exp(1 - len(gold) / len(reply))
    assert found.exact == float(reply == gold)
    assert (found.precision, found.recall) == pytest.approx((precision, recall))
    assert found.f1 == pytest.approx(2 * precision * recall / (precision + recall or 1))
    assert found.bleu_1 == pytest.approx(precision * brevity) == pytest.approx(bleu_1(reply, gold))
    long_precision, long_recall = longest / len(reply), longest / len(gold)
    assert found.rouge_l == pytest.approx(
        2 * long_precision * long_recall / (long_precision + long_recall or 1)
    )


@settings(deadline=None)
@given(SENTENCES, SENTENCES)
def test_shares_keep_their_order_and_their_symmetry(reply, gold):
    found, turned = overlap(reply, gold), overlap(gold, reply)
    assert 0 <= found.exact <= found.rouge_l <= found.f1 <= 1
    assert found.exact <= found.bleu_1 <= found.precision <= 1
    assert (found.precision, found.f1, found.rouge_l) == (turned.recall, turned.f1, turned.rouge_l)


@pytest.mark.parametrize(
    ("reply", "gold", "rouge_l", "bleu"),
    [
        # As rouge-score 0.1.2 (rougeL F) and sacrebleu 2.6.0 (order 1, no smoothing) say.
        ("left lung upper lobe", "left lung", 0.6666666666666666, 0.5),
        ("lung left", "left lung", 0.5, 1.0),
        ("lung", "left lung", 0.6666666666666666, 0.36787944117144233),
        ("mass of left left lung", "left mass of lung", 0.6666666666666666, 0.8),
        ("effusion", "left lung", 0.0, 0.0),
    ],
)
def test_shares_agree_with_reference_libraries(reply, gold, rouge_l, bleu):
    found = overlap(tuple(reply.split()), tuple(gold.split()))
    assert (found.rouge_l, found.bleu_1) == pytest.approx((rouge_l, bleu), abs=1e-12)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("The left lung.", "left lung"),
        ("X-ray", "x ray"),
        ("5.6cm", "5.6 cm"),
        ("1,000 ml", "1000 ml"),
        ("Crohn’s disease", "crohns disease"),
        ("an abscess", "abscess"),
        ("a mass", "mass"),
        ("左肺。", "左 肺"),
        ("ＣＴ", "ct"),
        ("café", "cafe\u0301"),
        ("three", "3"),
        ("xray", "X-ray"),
        ("5–10 mm", "5 - 10 mm"),
        ("β-lactam", "beta lactam"),
        ("C.T.", "CT"),
    ],
)
def test_spellings_of_one_answer_have_the_same_words(first, second):
    assert words(first) == words(second) != ()


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("5.1 cm", "51 cm"),
        ("-5", "5"),
        ("HER2+", "HER2-"),
        ("HER2+", "HER2"),
        ("<3 mm", ">3 mm"),
        ("5%", "5"),
        ("hepatitis A", "hepatitis"),
        ("vitamin A", "vitamin B"),
        ("T1", "T 2"),
        ("左肺", "右肺"),
        ("1,2", "12"),
        ("1,2,3", "1.2.3"),
        ("5-10", "5 10"),
        ("5-10", "510"),
        ("1/2", "1 2"),
        ("120/80", "120 80"),
        ("L4-5", "L45"),
        ("1.5", "15"),
        ("first", "1"),
        ("ER+", "ER-"),
        ("α", "β"),
    ],
)
def test_answers_of_other_meaning_have_other_words(first, second):
    assert words(first) != words(second)


SPELLED = [
    ("non-small cell", "nonsmall cell"),
    ("followup", "follow-up"),
    ("follow up", "follow-up"),
    ("1,5 cm", "1.5 cm"),
    ("HER2 positive", "HER2+"),
    ("PR-negative", "PR-"),
    ("haemorrhage", "hemorrhage"),
    ("oesophageal tumour", "esophageal tumor"),
    ("leukaemia", "leukemia"),
    ("catheterisation", "catheterization"),
]


@pytest.mark.parametrize(("reply", "gold"), SPELLED)
def test_an_open_answer_is_right_in_another_spelling(reply, gold):
    assert best_overlap(reply, [gold]).exact == best_overlap(gold, [reply]).exact == 1


@given(st.sampled_from(["5-10", "-5", "a-1", "HER2-"]), st.sampled_from(["510", "5", "a1", "her2"]))
def test_a_sign_next_to_a_number_or_a_code_is_no_hyphen_of_a_word(reply, gold):
    assert best_overlap(reply, [gold]).exact == 0


@settings(deadline=None)
@given(SENTENCES.map(" ".join), st.lists(SENTENCES.map(" ".join), min_size=1, max_size=4))
def test_the_nearest_of_several_golds_counts(reply, golds):
    each = [overlap(words(reply), words(gold)) for gold in golds]
    found = best_overlap(reply, golds)
    assert found.exact == max(one.exact for one in each)
    assert found in each
