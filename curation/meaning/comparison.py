"""Whether two meanings are the same, or contradict each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rapidfuzz.distance import Prefix

from curation.meaning.lists import word_lists
from curation.meaning.reading import Meaning

EXCLUSIVE: Final = frozenset({"side", "negation"})
"""Groups of which one more value is another statement: left is not left and right."""
PAIRED: Final = (("hyper", "hypo"), ("hiper", "hipo"), ("гипер", "гипо"))


def alike(one: Meaning, other: Meaning) -> bool:
    """Whether there is a positive reason to call two texts of one listed language the same.

    All their concepts are equal: what differs are function words, inflection, listed synonyms and
    spelling. The order may differ by one part that moved, unless the order carries meaning.
    """
    if one.language is None or one.language != other.language or not one.sequence:
        return False
    if one.sequence == other.sequence:
        return True
    if one.key != other.key or one.ordered or other.ordered:
        return False
    return one_part_moved(one.sequence, other.sequence)


def one_part_moved(one: Sequence[str], other: Sequence[str]) -> bool:
    """Whether one run of equals moved: "head CT" and "CT head", not "A than B" and "B than A"."""
    differ = [at for at, (a, b) in enumerate(zip(one, other, strict=True)) if a != b]
    if not differ:
        return True
    a, b = list(one[differ[0] : differ[-1] + 1]), list(other[differ[0] : differ[-1] + 1])
    return any(a[turn:] + a[:turn] == b for turn in range(1, len(a)))


def contrast(one: Meaning, other: Meaning) -> bool:
    """Whether two answers to one question cannot both be right, as far as lists go.

    They have values of one group (side, size with unit, grade, sign, …) of which neither list
    holds the other, one negates what the other says, or a word of one is the other's opposite by
    its prefix. More detail is no contrast: a mass, a mass on the left.
    """
    if one.language != other.language:
        return False
    return (
        any(_apart(group, one, other) for group in one.facts.keys() & other.facts.keys())
        or _negated(one, other)
        or _opposite(one, other)
    )


def _apart(group: str, one: Meaning, other: Meaning) -> bool:
    a, b = one.facts[group], other.facts[group]
    return a != b if group in EXCLUSIVE else not (a <= b or b <= a)


def _negated(one: Meaning, other: Meaning) -> bool:
    """Whether one alone negates, and the other says nothing else than what it negates, or more.

    A bare "no" contradicts a "yes" alone: "maybe" and a finding may answer another reading.
    """
    if ("negation" in one.facts) == ("negation" in other.facts):
        return False
    a, b = (_plain(meaning) for meaning in (one, other))
    if not a or not b:
        return "polarity:yes" in a | b
    return _within(a, b) or _within(b, a)


def _plain(meaning: Meaning) -> set[str]:
    return {concept for concept in meaning.sequence if not concept.startswith("negation:")}


def _within(part: set[str], whole: set[str]) -> bool:
    """Whether each word of a part is one of the whole, up to an ending: this drops no row."""
    return all(any(_same_word(word, other) for other in whole) for word in part)


def _same_word(one: str, other: str) -> bool:
    shared = Prefix.similarity(one, other)
    return one == other or shared >= max(4, len(one) - 2, len(other) - 2)


def _opposite(one: Meaning, other: Meaning) -> bool:
    if one.language is None:
        return False
    prefixes = word_lists(one.language).prefixes
    mine, theirs = set(one.sequence), set(other.sequence)
    return any(_are_opposite(a, b, prefixes) for a in mine - theirs for b in theirs - mine)


def _are_opposite(a: str, b: str, prefixes: Sequence[str]) -> bool:
    short, long = sorted((a, b), key=len)
    if len(short) > 3 and any(prefix + short == long for prefix in prefixes):
        return True
    return any(
        one.startswith(p) and other == q + one.removeprefix(p)
        for p, q in PAIRED
        for one, other in ((a, b), (b, a))
    )
