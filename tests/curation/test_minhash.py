"""Near-duplicate texts against the Jaccard similarity of all pairs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.neighbors import greedy_survivors, near_texts
from curation.neighbors.shingles import canonical, jaccard, shingles_of
from tests.expect import raises_code

WORDS = [f"{a}{b}" for a in "bcdfghklmnprstv" for b in ("ao", "el", "im", "os", "ur", "yn")]


def texts_of(seed: int, count: int) -> list[str]:
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, rng.integers(20, 41))) for _ in range(count)]


def changed(text: str, seed: int) -> str:
    rng = np.random.default_rng(seed)
    words = text.split()
    words[rng.integers(len(words))] = "changed"
    return " ".join(words)


def keys(texts: list[str], **settings: object) -> set[frozenset[str]]:
    found = near_texts(texts, **settings)
    return {frozenset((texts[a], texts[b])) for a, b in zip(found.left, found.right, strict=True)}


def test_one_changed_word_is_found_and_nothing_else():
    texts = texts_of(0, 300)
    texts += [changed(text, number) for number, text in enumerate(texts[:100])]
    found = near_texts(texts, threshold=0.7)
    pairs = set(zip(found.left.tolist(), found.right.tolist(), strict=True))
    assert pairs == {(number, 300 + number) for number in range(100)}


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_pairs_are_those_of_brute_force(seed):
    texts = texts_of(seed, 12)
    texts += [changed(texts[i % 12], seed + i) for i in range(20)]
    sets = [shingles_of(canonical(text), 3) for text in texts]
    truth = {
        (a, b): jaccard(sets[a], sets[b])
        for a in range(len(texts))
        for b in range(a + 1, len(texts))
        if jaccard(sets[a], sets[b]) >= 0.6
    }
    found = near_texts(texts, threshold=0.6, copies="all", permutations=512)
    pairs = zip(found.left.tolist(), found.right.tolist(), strict=True)
    assert dict(zip(pairs, found.similarity.tolist(), strict=True)) == truth


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_order_of_texts_changes_no_pair(seed):
    texts = texts_of(seed, 30)
    texts += [changed(text, 5) for text in texts] + texts[:4]
    shuffled = [texts[i] for i in np.random.default_rng(seed).permutation(len(texts))]
    assert keys(texts) == keys(shuffled)


def test_copies_form_a_star_or_every_pair():
    texts = ["One two three, four five six seven."] * 3 + ["other words here and more of them now"]
    star = near_texts(texts)
    assert list(zip(star.left, star.right, strict=True)) == [(0, 1), (0, 2)]
    assert (star.similarity == 1.0).all()
    every = near_texts(texts, copies="all")
    assert list(zip(every.left, every.right, strict=True)) == [(0, 1), (0, 2), (1, 2)]


def test_all_pairs_reach_every_copy_of_a_near_text():
    (text,) = texts_of(3, 1)
    texts = [text, changed(text, 1), text, "", changed(text, 1)]
    found = near_texts(texts, copies="all")
    assert list(zip(found.left, found.right, strict=True)) == [
        (0, 1), (0, 2), (0, 4), (1, 2), (1, 4), (2, 4),
    ]  # fmt: skip
    assert (greedy_survivors(5, found, np.array([4, 3, 2, 1, 0])) == [4, 4, 4, -1, -1]).all()


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Is there a fracture?", "is there  a FRACTURE", True),
        ("a dose of 1.5 mg", "a dose of 15 mg", False),
        ("size < 5 mm", "size > 5 mm", False),
        ("shift of -3 mm", "shift of 3 mm", False),
        ("T1-weighted image", "T1 weighted image", True),
    ],
)
def test_what_counts_as_the_same_text(one, other, same):
    assert (canonical(one) == canonical(other)) is same


def test_short_and_unspaced_texts_are_compared_by_characters():
    assert len(near_texts(["cardiomegaly", "cardiomegally"], threshold=0.6)) == 1
    assert len(near_texts(["left lung", "right lung"], threshold=0.6)) == 0
    one, other = "胸部のX線写真に異常はありません", "胸部のX線写真に異常はありません。"
    assert len(near_texts([one, "腹部CTで肝臓に腫瘤を認める", other])) == 1


def test_texts_without_characters_match_nothing():
    assert len(near_texts(["", "  ", "\n", ""], copies="all")) == 0
    assert len(near_texts([])) == 0
    assert len(near_texts(["!?", "!?"])) == 1


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_texts_of_different_parts_are_never_paired_and_all_others_are(seed):
    texts = texts_of(seed, 8)
    texts += [changed(text, 5) for text in texts] + texts
    part = np.random.default_rng(seed).integers(0, 2, len(texts))
    whole = near_texts(texts, copies="all")
    found = near_texts(texts, copies="all", within=lambda places: part[places])
    wanted = whole.where(part[whole.left] == part[whole.right])
    assert set(zip(found.left, found.right, strict=True)) == set(
        zip(wanted.left, wanted.right, strict=True)
    )


def test_bad_settings_and_too_many_candidates_are_refused():
    for settings_ in ({"threshold": 0.0}, {"shingle": 0}, {"permutations": 4}):
        with raises_code("search_setting_invalid"):
            near_texts(["a"], **settings_)
    with raises_code("search_setting_invalid", permutations=128):
        near_texts(["a"], threshold=0.001)
    many = [f"{text} {number}" for number, text in enumerate([texts_of(1, 1)[0]] * 50)]
    with raises_code("too_many_pairs", limit=100):
        near_texts(many, limit=100)
