"""Whether two meanings are the same, or contradict each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rapidfuzz.distance import Prefix

from curation.meaning.lists import word_lists
from curation.meaning.places import PICTURE
from curation.meaning.reading import Meaning

EXCLUSIVE: Final = frozenset({"side", "negation"})
"""Groups of which one more value is another statement: left is not left and right."""
ASKED: Final = frozenset({"=what", "=was", "=quel", "=qué", "=qual", "=什么", "=哪", "=何"})
"""Concepts of words that ask for a thing."""
PAIRED: Final = (("hyper", "hypo"), ("hiper", "hipo"), ("гипер", "гипо"))


def alike(one: Meaning, other: Meaning) -> bool:
    """Whether there is a positive reason to call two texts of one listed language the same.

    All their concepts are equal: what differs are function words, the plural, listed synonyms and
    spelling. The order may differ by one part that moved for a reason (`one_part_moved`), unless
    the order carries meaning. Texts that say nothing but "what is it" are never alike.
    """
    if one.language is None or one.language != other.language or _says_nothing(one):
        return False
    if one.sequence == other.sequence:
        return one.marked == other.marked
    if one.key != other.key or one.ordered or other.ordered:
        return False
    return one_part_moved(one, other)


def _says_nothing(meaning: Meaning) -> bool:
    return all(concept in ASKED for concept in meaning.sequence)


def one_part_moved(one: Meaning, other: Meaning) -> bool:
    """Whether one part stands elsewhere for a reason that turns no roles.

    Either a word such as "in" or "of" joins in one text what the other puts side by side ("a mass
    in the lung", "a lung mass"), or the part says something of the whole picture ("head CT") or
    asks where, or all of the rest is called normal ("normal lungs", "the lungs are normal").
    """
    pairs = zip(one.sequence, other.sequence, strict=True)
    differ = [at for at, (a, b) in enumerate(pairs) if a != b]
    first, end = differ[0], differ[-1] + 1
    a, b = one.sequence[first:end], other.sequence[first:end]
    free = word_lists(one.language or "").free
    whole = end - first == len(one.sequence)
    return any(
        a[turn:] + a[:turn] == b
        and (
            _joined(one, other, first, turn, end)
            or _moves_freely(a[:turn], free)
            or _moves_freely(a[turn:], free)
            or (whole and (_is_normality(a[:turn]) or _is_normality(a[turn:])))
        )
        for turn in range(1, len(a))
    )


def _joined(one: Meaning, other: Meaning, first: int, turn: int, end: int) -> bool:
    """Whether a joint stands behind one word in one text, and the other has none at that place.

    Behind more words it might join only the last: "tumor invading the nerve of the bone".
    """
    mine, theirs = first + turn in one.joints, end - turn in other.joints
    return mine != theirs and (turn if mine else end - first - turn) == 1


def _moves_freely(part: Sequence[str], free: frozenset[str]) -> bool:
    return all(concept in free or concept.partition(":")[0] in PICTURE for concept in part)


def _is_normality(part: Sequence[str]) -> bool:
    return all(concept.startswith("normality:") for concept in part)


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
