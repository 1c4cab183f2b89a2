"""Verify that a rewritten answer keeps the fact of the old one, and adds none of its own.

Both are read as concepts, as duplicates are: units converted, listed synonyms folded. Every concept
of the old answer must be in the new one. A side, number, negation, unit or other value of a listed
group that neither the old answer nor the question has is a conflict. Any other new concept leaves
it undecided.
"""

from __future__ import annotations

import re
from typing import Final

from curation.construct.verify import (
    UNDECIDED,
    AskedQuestion,
    Verdict,
    decisive_words,
    same_quantity,
)
from curation.meaning import Meaning, contrast, read_meaning, recognise
from medsift.options import folded, letter_of, split_options, without_letter
from medsift.replies.answers import read_closed, read_option
from medsift.replies.closed import polarity
from medsift.replies.unstated import declines

RUNG: Final = "kept"
KEPT: Final = Verdict("right", RUNG)
LOST: Final = Verdict("wrong", RUNG)
_NEUTRAL: Final = (
    "image picture scan view study radiograph photograph figure patient patients case reveal "
    "reveals revealed indicate indicates indicated suggest suggests consistent identified identify "
    "obtained taken acquired performed made using used depicting showing structure region area "
    "side finding findings answer option correct most likely which what who where with by as and "
    "that has have had contains contain containing measure measures measured approximately "
    # The same in Chinese, by character.
    "图 像 片 示 显 可 见 该 此 为 在 的 于 位 患 者 有 中 是 到 出 现 所 这 张 了"
)
NEUTRAL: Final = frozenset(_NEUTRAL.split())
"""Words with which a sentence says that something is seen, and where it is asked about."""
LEADING: Final = re.compile(
    r"^\s*(?:yes|no|yeah|nope|是的?|不是|没有|否|有的?)\s*[,.;:!，。；：！]\s*", re.IGNORECASE
)
NEGATION: Final = "not"


def keeps_fact(text: str, asked: AskedQuestion) -> Verdict:
    """Return right where a text says what the right answer says, wrong where it says otherwise.

    Undecided where it says more, or where words that no list has leave it open.
    """
    if not text.strip() or declines(text):
        return UNDECIDED
    stem, _ = split_options(asked.question)
    gold = asked.gold
    if asked.options:
        read = read_option(text, gold, asked.options)
        if read.reading.answer is not None and not read.right:
            return LOST
        letter = letter_of(gold)
        gold = without_letter(gold, letter) if letter else gold
        # The right option may be given by its letter alone: the sentence must have its words.
        gold = _option_text(gold, asked.options)
    pole = polarity(gold)
    if pole is not None:
        return _keeps_pole(text, pole, stem)
    return _same_concepts(text, gold, stem, asked.language)


def contains(whole: str, part: str, language: str | None) -> bool:
    """Return whether a text has every concept of a part, units converted, and none is lost."""
    said, wanted = (set(read_meaning(one, language).key) for one in (whole, part))
    return bool(wanted) and wanted <= said


def conflicts(text: str, *sources: str) -> bool:
    """Return whether a text has a side, number, negation or code that none of its sources has."""
    known = {word for source in sources for word in decisive_words(source)}
    return bool(decisive_words(text).keys() - known)


def _keeps_pole(text: str, pole: bool, question: str) -> Verdict:
    """Decide a yes or no that became a sentence: what follows must say the same.

    A question that negates leaves open what "no" says, and so decides nothing.
    """
    read = read_closed(text, pole)
    if read.reading.answer is None or NEGATION in decisive_words(question):
        return UNDECIDED
    if not read.right:
        return LOST
    rest = LEADING.sub("", text)
    words = decisive_words(rest)
    other = words.keys() - decisive_words(question).keys() - {NEGATION}
    if other or (NEGATION in words) == pole:
        return LOST
    language = recognise(question)
    said, asked = (read_meaning(one, language) for one in (rest, question))
    if not rest.strip() or _added(said, set(asked.key)):
        return UNDECIDED
    return KEPT


def _same_concepts(text: str, gold: str, question: str, language: str | None) -> Verdict:
    said, meant, asked = (read_meaning(one, language) for one in (text, gold, question))
    # 30 mm is 3 cm, although the number is another one.
    other = same_quantity(said, meant) is not True and conflicts(text, gold, question)
    if other or contrast(said, meant) or _other_values(said, meant, asked):
        return LOST
    if not _in_order(meant, said) or _added(said, {*meant.key, *asked.key}):
        return UNDECIDED
    return KEPT


def _added(said: Meaning, known: set[str]) -> set[str]:
    """Return what a text says besides what is known, and besides words that say nothing new."""
    return {
        one
        for one in said.key
        if one not in known
        and one.removeprefix("=") not in NEUTRAL
        and not one.startswith(("polarity:", "negation:"))
    }


def _in_order(meant: Meaning, said: Meaning) -> bool:
    """Return whether a text has all concepts of another, in its order where that matters."""
    if not meant.ordered:
        return not set(meant.key) - set(said.key)
    rest = iter(said.sequence)
    return all(concept in rest for concept in meant.sequence)


def _other_values(said: Meaning, meant: Meaning, asked: Meaning) -> bool:
    """Return whether a text has a value of a group of which the answer has another one."""
    return any(
        values - meant.facts[group] - asked.facts.get(group, frozenset())
        for group, values in said.facts.items()
        if group in meant.facts
    )


def _option_text(gold: str, options: tuple[str, ...]) -> str:
    same = (one for one in options if folded(one) == folded(gold))
    if (found := next(same, None)) is not None:
        return found
    if len(gold.strip()) == 1 and gold.strip().upper().isalpha():
        place = ord(gold.strip().upper()) - ord("A")
        if place < len(options):
            return options[place]
    return gold
