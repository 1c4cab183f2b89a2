"""The rules for texts against the labels of a careful reader, in ten languages."""

from __future__ import annotations

from collections import Counter

import pytest

from benchmarks.sameness import KINDS, PAIRS, Verdict, judge, read_pairs, shares

DROPS = ("questions", "notes")


@pytest.fixture(scope="module")
def verdicts() -> list[Verdict]:
    return judge(read_pairs(PAIRS))


@pytest.fixture(scope="module")
def by_words_alone() -> list[Verdict]:
    """Verdicts where every cosine is 1 and decides nothing."""
    return judge(read_pairs(PAIRS), vectors="equal")


def of(kind: str, verdicts: list[Verdict]) -> list[Verdict]:
    return [verdict for verdict in verdicts if verdict.pair.kind == kind]


def test_the_pairs_are_many_in_ten_languages_with_both_labels_and_a_part_kept_back() -> None:
    pairs = read_pairs(PAIRS)
    assert len(pairs) >= 300
    counts = Counter((p.language, p.kind, p.positive, p.part) for p in pairs)
    languages = {p.language for p in pairs}
    assert len(languages) == 10
    assert len(counts) == len(languages) * len(KINDS) * 2 * 2
    assert all(
        len(p.one.split()) > 40 or p.language in ("zh", "ja") for p in pairs if p.kind == "notes"
    )


@pytest.mark.parametrize("kind", DROPS)
def test_what_is_dropped_is_the_same_to_a_reader(kind: str, verdicts: list[Verdict]) -> None:
    precision, _, dropped, _ = shares(of(kind, verdicts))
    assert precision >= 0.99
    assert dropped > 10


@pytest.mark.parametrize("kind", DROPS)
def test_no_cosine_is_needed_to_keep_different_texts_apart(
    kind: str, by_words_alone: list[Verdict]
) -> None:
    precision, recall, dropped, _ = shares(of(kind, by_words_alone))
    assert precision >= 0.99
    assert recall >= 0.7
    assert dropped > 30


def test_most_notes_that_say_the_same_are_dropped_as_near_texts(verdicts: list[Verdict]) -> None:
    notes = of("notes", verdicts)
    assert shares(notes)[1] >= 0.8
    assert {v.reason for v in notes if v.reason} <= {"near_text", "exact_copy"}


def test_most_english_questions_that_ask_the_same_are_dropped(verdicts: list[Verdict]) -> None:
    english = [v for v in of("questions", verdicts) if v.pair.language == "en"]
    assert shares(english)[1] >= 0.6


def test_an_encoder_that_cannot_read_a_language_drops_no_reworded_question_of_it(
    verdicts: list[Verdict],
) -> None:
    other = [v for v in of("questions", verdicts) if v.pair.language not in ("en",)]
    assert {v.reason for v in other if v.reason} <= {"same_sample"}


def test_contradictions_are_flagged_and_other_wordings_are_not(verdicts: list[Verdict]) -> None:
    precision, recall, _, _ = shares(of("answers", verdicts))
    assert precision >= 0.95
    assert recall >= 0.85
