"""Decide whether two meanings are the same, or contradict each other."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
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


def alike(left: Meaning, right: Meaning) -> bool:
    """Return whether there is a positive reason to call two texts of one listed language the same.

    All their concepts are equal: what differs are function words, the plural, listed synonyms and
    spelling. The order may differ by one part that moved for a reason (`_one_part_moved`), unless
    the order carries meaning. Texts that say nothing but "what is it" are never alike.
    """
    if left.language is None or left.language != right.language or ASKED.issuperset(left.sequence):
        return False
    if left.sequence == right.sequence:
        return left.marked == right.marked
    if left.key != right.key or left.ordered or right.ordered:
        return False
    return _one_part_moved(left, right)


def _one_part_moved(left: Meaning, right: Meaning) -> bool:
    """Return whether one part is in another place for a reason that swaps no roles.

    Either a word such as "in" or "of" joins in one text what the other has without a joint ("a
    mass in the lung", "a lung mass"), or the part says something of the whole picture ("head CT")
    or asks where, or all of the rest is called normal ("normal lungs", "the lungs are normal").
    """
    pairs = zip(left.sequence, right.sequence, strict=True)
    differ = [at for at, (a, b) in enumerate(pairs) if a != b]
    first, end = differ[0], differ[-1] + 1
    a, b = left.sequence[first:end], right.sequence[first:end]
    free = word_lists(left.language or "").free
    whole = end - first == len(left.sequence)
    return any(
        a[turn:] + a[:turn] == b
        and (
            _has_joint(left, right, first, turn, end)
            or any(_moves_freely(part, free, whole) for part in (a[:turn], a[turn:]))
        )
        for turn in range(1, len(a))
    )


def _has_joint(left: Meaning, right: Meaning, first: int, turn: int, end: int) -> bool:
    """Return whether one text alone has a joint between the parts, right behind one word."""
    in_left, in_right = first + turn in left.joints, end - turn in right.joints
    # Behind more words it might join only the last: "tumor invading the nerve of the bone".
    return in_left != in_right and (turn if in_left else end - first - turn) == 1


def _moves_freely(part: Sequence[str], free: frozenset[str], whole: bool) -> bool:
    groups = {concept.partition(":")[0] for concept in part if concept not in free}
    # "normal" may move only around all of the rest, or another thing would be called normal.
    return groups <= PICTURE or (
        whole and all(concept.startswith("normality:") for concept in part)
    )


def contrast(left: Meaning, right: Meaning) -> bool:
    """Return whether two answers to one question cannot both be right, as far as lists go.

    They have values of one group (side, size with unit, grade, sign, …) of which neither list
    includes the other, one negates what the other says, or a word of one is the other's opposite by
    its prefix. More detail is no contrast: a mass, a mass on the left.
    """
    if left.language != right.language:
        return False
    for group in left.facts.keys() & right.facts.keys():
        a, b = left.facts[group], right.facts[group]
        if a != b and (group in EXCLUSIVE or not (a <= b or b <= a)):
            return True
    return _negated(left, right) or _opposite(left, right)


def _negated(left: Meaning, right: Meaning) -> bool:
    """Return whether one alone negates, and what it negates is all the other says, or less.

    A bare "no" contradicts a "yes" alone: "maybe" and a finding may answer another reading.
    """
    if ("negation" in left.facts) == ("negation" in right.facts):
        return False
    a, b = (
        {concept for concept in meaning.sequence if not concept.startswith("negation:")}
        for meaning in (left, right)
    )
    if not a or not b:
        return "polarity:yes" in a | b
    return _within(a, b) or _within(b, a)


def _within(part: set[str], whole: set[str]) -> bool:
    """Return whether each word of a part is one of the whole, up to an ending.

    Stems may be wrong here, as a contradiction is shown to a person and drops no row.
    """
    return all(
        any(
            word == other or Prefix.similarity(word, other) >= max(4, len(word) - 2, len(other) - 2)
            for other in whole
        )
        for word in part
    )


def _opposite(left: Meaning, right: Meaning) -> bool:
    """Return whether a word of one is the opposite of one of the other by its prefix."""
    if left.language is None:
        return False
    prefixes = word_lists(left.language).prefixes
    a, b = set(left.sequence), set(right.sequence)
    for pair in product(a - b, b - a):
        short, long = sorted(pair, key=len)
        # A shorter word may begin with the prefix's letters by chance.
        if len(short) > 3 and any(prefix + short == long for prefix in prefixes):
            return True
        if any(
            word.startswith(p) and other == q + word.removeprefix(p)
            for p, q in PAIRED
            for word, other in (pair, pair[::-1])
        ):
            return True
    return False
