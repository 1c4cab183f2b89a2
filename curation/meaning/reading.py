"""Read a text as its concepts: words of one meaning fold into one, numbers take their unit."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from curation.meaning.lists import UNSPACED, WordLists, units, word_lists
from curation.meaning.places import PARTICLE, counted_marks, is_idle, mark_of
from curation.meaning.stems import stem
from medsift.normal_form import MINUS, answer_words

NUMBER: Final = re.compile(rf"{MINUS}?\d+(?:(?:[.,/:-]|\^[{MINUS}+]?)\d+)*")
CODE: Final = re.compile(r"([a-z]{1,4})(\d[\d./:-]*[a-z]?)")
ROMAN: Final = re.compile(r"(x{0,3}(?:ix|iv|v?i{0,3}))([a-d]?)")
ROMAN_PLACES: Final = {"i": 1, "v": 5, "x": 10}
SIGNS: Final = frozenset(f"+{MINUS}↑↓→↗↘<>≥≤=±≈~✓✗%‰°")
SENTENCE: Final = re.compile(r"[.!?;。！？；؛؟\n](?=\s*\S)(?!\d)")
ELISION: Final = re.compile(r"\b([ldnscjmt]|qu)['’]", re.IGNORECASE)
# What is between commas may also come before its noun: "a spot, dark, in the lobe".
COMMA: Final = ","
PAUSE: Final = re.compile(r",\s+")
MARKER: Final = re.compile(r"<image>", re.IGNORECASE)
# Runs of one kind in languages without spaces: a number, a Latin word, one other character.
RUN: Final = re.compile(rf"{NUMBER.pattern}|[a-z]+\d[a-z\d]*|[a-z]+|\S")


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a text says, as far as lists go.

    `sequence` are its concepts in order, `key` the same sorted. `ordered` says whether their order
    matters: several sentences, a negation, a relation, or two values of one group. `joints` are
    the places before which a part may have moved ("mass in the lung", "lung mass"), `marked` the
    concepts that something is done to or by, as their language marks them. `facts` are the values
    of each group that a contrast is looked for in.
    """

    language: str | None
    sequence: tuple[str, ...]
    key: tuple[str, ...]
    ordered: bool
    joints: frozenset[int]
    marked: tuple[tuple[int, str], ...]
    facts: Mapping[str, frozenset[str]]

    @property
    def protected(self) -> tuple[str, ...]:
        """Return the concepts of groups of contrasts, sorted, each as often as it is said."""
        return tuple(concept for concept in self.key if ":" in concept)


def read_meaning(text: str, language: str | None) -> Meaning:
    """Read a text in one of `LANGUAGES`; in another, numbers, units, codes and signs alone."""
    lists = None if language is None else word_lists(language)
    plain = MARKER.sub(" ", text)
    tokens = _tokens(plain, lists)
    sequence, joints, marked = _read_concepts(tokens, lists)
    facts: dict[str, set[str]] = {}
    for concept in sequence:
        group, mark, value = concept.partition(":")
        if mark:
            facts.setdefault(group, set()).add(value)
    several = any(len(values) > 1 for values in facts.values())
    related = lists is not None and any(token in lists.relations for token in tokens)
    return Meaning(
        language=language,
        sequence=sequence,
        key=tuple(sorted(sequence)),
        ordered=several
        or related
        or "negation" in facts
        or language in UNSPACED
        or SENTENCE.search(plain.strip()) is not None,
        joints=joints,
        marked=marked,
        facts={group: frozenset(values) for group, values in facts.items()},
    )


def _tokens(text: str, lists: WordLists | None) -> list[str]:
    if lists is None:
        return list(answer_words(text))
    if lists.elisions:
        text = ELISION.sub(r"\1 ", text)
    text = text.replace("ё", "е").replace("Ё", "Е")
    if lists.language in UNSPACED:
        return list(_longest_entries(" ".join(answer_words(text)), lists))
    tokens: list[str] = []
    for part in PAUSE.split(text):
        tokens += [COMMA, *answer_words(part)]
    return list(_rewrite(tokens[1:], lists.rewrite))


def _rewrite(
    tokens: Sequence[str], rewrite: Mapping[tuple[str, ...], tuple[str, ...]]
) -> Iterator[str]:
    """Yield tokens with the longest listed run at each place replaced."""
    longest = max(map(len, rewrite), default=0)
    place = 0
    while place < len(tokens):
        for size in range(min(longest, len(tokens) - place), 0, -1):
            run = tuple(tokens[place : place + size])
            if run in rewrite:
                yield from rewrite[run]
                place += size
                break
        else:
            yield tokens[place]
            place += 1


def _longest_entries(text: str, lists: WordLists) -> Iterator[str]:
    """Split a text without spaces into the longest listed words, numbers, and characters."""
    longest = max(map(len, lists.concept), default=1)
    place = 0
    while place < len(text):
        sizes = range(min(longest, len(text) - place), 0, -1)
        size = next((size for size in sizes if _is_entry(text, place, size, lists)), 0)
        word = text[place : place + size]
        if size:
            if word not in lists.after_word:
                yield word
            elif word in lists.objects_by:
                yield f"{PARTICLE}{word}"
        elif (run := RUN.match(text, place)) is not None:
            size = run.end() - place
            yield run[0]
        place += max(size, 1)


def _is_entry(text: str, place: int, size: int, lists: WordLists) -> bool:
    word = text[place : place + size]
    if word in lists.concept or word in lists.classes:
        return not (word.isascii() and text[place + size : place + size + 1].isalpha())
    if word in units() and not word.isascii():
        return text[:place].rstrip()[-1:].isdigit()
    # A particle follows a word in characters; inside kana it may be part of a word.
    before = text[place - 1 : place]
    after_word = bool(before) and not "\u3040" <= before <= "\u309f" and not before.isspace()
    return word in lists.after_word and after_word


def _read_concepts(
    tokens: Sequence[str], lists: WordLists | None
) -> tuple[tuple[str, ...], frozenset[int], tuple[tuple[int, str], ...]]:
    """Return the concepts of tokens in order, the places of joints, and the marked concepts."""
    if lists is None:
        return tuple(c for at in range(len(tokens)) for c in _concept(tokens, at)), frozenset(), ()
    asked = any(lists.concept.get(token) == "=what" for token in tokens)
    sequence: list[str] = []
    joints: set[int] = set()
    marks: list[tuple[int, str]] = []
    for place, token in enumerate(tokens):
        at = len(sequence)
        if token != COMMA and not is_idle(tokens, place, lists):
            sequence += _concept(tokens, place, lists, asked=asked)
        if (token in lists.joints or token == COMMA) and len(sequence) == at:
            joints.add(at)
        if mark := mark_of(token, lists):
            marks.append((at - 1 if token.startswith(PARTICLE) else at, mark))
    counted = counted_marks(marks, len(sequence), lists.language)
    return tuple(sequence), frozenset(joints), counted


def _concept(
    tokens: Sequence[str], place: int, lists: WordLists | None = None, *, asked: bool = False
) -> Iterator[str]:
    """Yield the concept of a token, with units, classes and signs joined to what they belong to."""
    token = tokens[place]
    before = tokens[place - 1] if place else ""
    after = tokens[place + 1] if place + 1 < len(tokens) else ""
    if (concept := _of_class(token, before, after, lists)) is not None:
        yield concept
    elif NUMBER.fullmatch(token):
        yield _quantity(token, after if after in units() else "", lists)
    elif token in units() and NUMBER.fullmatch(before):
        return  # The number before it has taken it.
    elif token in SIGNS:
        yield f"sign {before if before[-1:].isalnum() else ''}:{token}"
    elif (code := CODE.fullmatch(token)) is not None:
        yield f"code {code[1]}:{code[2]}"
    else:
        yield from _of_word(token, lists, asked=asked)


def _of_class(token: str, before: str, after: str, lists: WordLists | None) -> str | None:
    """Return the value that completes a class word: grade II, type b, stage IIIA, hepatitis C."""
    if lists is None:
        return None
    if len(token) == 1 and token.isascii() and token.isalpha() and before in lists.letters:
        return f"class {before}:{_arabic(token)}"
    owner = next((word for word in (before, after) if word in lists.classes), None)
    if owner is None or not (ROMAN.fullmatch(token) or NUMBER.fullmatch(token)):
        return None
    return f"class {owner}:{_arabic(token)}"


def _arabic(token: str) -> str:
    """Return a Roman numeral in digits, with its letter; any other token as it is."""
    roman = ROMAN.fullmatch(token)
    if roman is None or not roman[1]:
        return token
    values = [ROMAN_PLACES[char] for char in roman[1]]
    following = [*values[1:], 0]
    total = sum(-a if a < b else a for a, b in zip(values, following, strict=True))
    return f"{total}{roman[2]}"


def _quantity(token: str, unit: str, lists: WordLists | None) -> str:
    """Return a number with its unit, lengths, masses and volumes in one unit each."""
    text = token.replace(MINUS, "-")
    if lists is not None and lists.decimal_comma:
        text = text.replace(",", ".")
    try:
        number = float(text)
    except ValueError:
        return f"range {unit}:{text}" if unit else f"number:{text}"
    # A float has 15 exact digits: longer numbers, such as ids, stay text.
    if len(text) > 15:
        return f"number:{text}"
    if not unit:
        return f"number:{number:.12g}"
    dimension, factor = units()[unit]
    return f"{dimension}:{number * factor:.9g}"


def _of_word(token: str, lists: WordLists | None, *, asked: bool) -> Iterator[str]:
    if lists is None:
        yield token
        return
    if token in lists.states and not asked:
        yield lists.states[token]
        return
    forms = list(_forms(token, lists))
    listed = next((form for form in forms if form in lists.concept), None)
    if listed is None:
        yield stem(token) if lists.language == "en" else forms[-1]
    elif concept := lists.concept[listed]:
        yield concept


def _forms(token: str, lists: WordLists) -> Iterator[str]:
    """Yield the token, then without its article or its particles."""
    yield token
    if lists.article and token.startswith(lists.article) and len(token) > len(lists.article) + 1:
        yield token.removeprefix(lists.article)
    while tail := next((t for t in lists.tails if token.endswith(t) and token != t), ""):
        token = token.removesuffix(tail)
        yield token
