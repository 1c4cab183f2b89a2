"""A reply in which each mention of an option is one character, whatever its letter and wording.

Option number n becomes chr(0xE000 + n), so that the rules in `claims` need not know the options.
A letter behind which a list mark stands ("b.", "(b)") is followed by ``LED``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Final

from evaluation.scoring.spans import plain
from evaluation.scoring.spelling import respell
from evaluation.scoring.text_overlap import ARTICLES

LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
FIRST_MARK: Final = 0xE000
LED: Final = "\ue07f"
MARK: Final = "[\ue000-\ue01f]"
_HAN: Final = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_MARKS: Final = "[\u0300-\u036f\u0590-\u109f]"
# Words with their places in the text: Chinese by character, numbers with their decimals, signs.
TOKEN: Final = re.compile(
    rf"[{_HAN}]|(?<!\w)-(?=\d)|(?<=\d)[-/\u2044](?=\d)|\d+(?:\.\d+)*(?:(?:st|nd|rd|th)(?!\w))?"
    rf"|(?:[^\W\d_{_HAN}]|{_MARKS})(?:[^\W_{_HAN}]|{_MARKS})*"
    r"|[+%<>=±≤≥°↑↓→←↔⇑⇓▲▼√Ø]|(?<=\w)-(?!\w)"
)
NUMBERS: Final = {
    word: str(number)
    for number, word in enumerate(
        ["two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"], start=2
    )
}
# "The right answer" and "you are right" name no side.
CORRECT: Final = re.compile(
    r"(?<![a-z])right(?=\s(?:answer|option|choice|diagnosis|one|response|to\s))|(?<=you\sare\s)right"
)
PLURAL: Final = re.compile(r"[^siu]s$|sses$|ies$")
Known = dict[str, list[tuple[tuple[str, ...], int]]]
PRIVATE: Final = re.compile("[\ue000-\uf8ff]")
_NAMED: Final = r"(?:(?:option|choice|answer|letter|选项|选择)\s?:?\s?)?"
# A letter of a name is no option: "vitamin c", "type a", "grade b".
_NAME: Final = "".join(
    rf"(?<!{name}\s)"
    for name in (
        *("vitamin", "hepatitis", "influenza", "type", "group", "class", "grade", "stage"),
        *("factor", "figure", "panel", "segment", "level", "zone", "point", "image", "arrow"),
        *("protein", "region", "structure", "label", "part", "series", "child-pugh", "bordetella"),
    )
)
LETTER: Final = re.compile(
    rf"(?<![a-z0-9'\-]){_NAME}(?P<named>{_NAMED})(?:(?P<open>[(\[<\"'“])[ ]?)?(?P<letter>[a-z])"
    r"(?:[ ]?(?P<close>[)\]>\"'”]))?(?![a-z0-9'])(?!-[a-z0-9])"
)
# "A mass" is no mention of option A, "A is wrong" is one; "I" is a letter only where it stands so.
TELLS: Final = re.compile(
    r"\s{0,3}(?:$|[.():;,、。!?/&|=>\]❌✅✗✘✔✓☑√×\u3400-\u9fff\n]|[-–—]|and(?![a-z])|or(?![a-z])|nor(?![a-z])"
    r"|(?:is|are|was|isn't|isnt|seems|looks|appears|fits|because|since|as|rather|instead|but|not|than"
    r"|[a-z](?![a-z0-9'-])|can|cannot|can't|could|would|should|may|might|has|does|doesn't|explains|matches|option"
    r"|over|for|here|remains|due|given|based|the|it(?=\sis)|too|also|by|if|when|which|who|among|above"
    r"|must|will|alone|please|gets|with(?=\s(?:high|low|good|moderate)))(?![a-z]))"
)
LIST_MARK: Final = re.compile(r"\s?[.:、。]|\s?\)|\s[-–—](?=\s)|\s?[–—]|\s?=>?|\s?->")
SPACE: Final = re.compile(r"\s{0,9}")
AT_START: Final = re.compile(r"(?:^|[\n.;,!?:|。、❌✅✗✘✔✓☑√☒×\ue000-\ue01f])\ufe0f?\s{0,9}$")
SENTENCE_END: Final = re.compile(r"[;!?\n。]|\.\s")
SIGNED: Final = frozenset("<>=±≤≥-+%/°")


def mark_mentions(text: str, options: tuple[str, ...]) -> str:
    """Replace every mention of an option in a folded text by the option's character."""
    text = CORRECT.sub("correct", PRIVATE.sub(" ", text)).replace(" vs. ", " vs ")
    marked = mark_letters(_mark_texts(text, options), len(options))
    return _join(CANDIDATES.sub("\n", marked))


def text_places(text: str, options: tuple[str, ...]) -> set[int]:
    """Places of the options that a folded text mentions by their wording."""
    marked = _mark_texts(PRIVATE.sub(" ", text), options)
    return {ord(mark) - FIRST_MARK for mark in re.findall(MARK, marked)}


def _mark_texts(text: str, options: tuple[str, ...]) -> str:
    """Mark the options' texts, the longest first, word by word."""
    known, fold_number = _known(options)
    if not known:
        return text
    tokens = [
        (token.start(), token.end(), _canonical(token[0], fold_number))
        for token in TOKEN.finditer(text)
        if token[0] not in ARTICLES
    ]
    out: list[str] = []
    done = at = 0
    while at < len(tokens):
        found = next(_matches(text, tokens, at, known.get(tokens[at][2], ())), None)
        if found is None:
            at += 1
            continue
        size, place = found
        out += [text[done : tokens[at][0]], chr(FIRST_MARK + place)]
        done = tokens[at + size - 1][1]
        at += size
    return "".join((*out, text[done:]))


def _canonical(token: str, fold_number: bool) -> str:
    word = NUMBERS.get(token) or respell(token)
    return _singular(word) if fold_number else word


def _singular(word: str) -> str:
    """An English word without its plural ending: "effusions", "masses", "metastases"."""
    if len(word) < 4 or not word.isascii() or PLURAL.search(word) is None:
        return word
    for plural, singular in (("sses", "ss"), ("stases", "stasis"), ("ies", "y"), ("s", "")):
        if word.endswith(plural):
            return word[: -len(plural)] + singular
    return word


def _matches(
    text: str,
    tokens: Sequence[tuple[int, int, str]],
    at: int,
    candidates: Sequence[tuple[tuple[str, ...], int]],
) -> Iterator[tuple[int, int]]:
    """Number of words and place of each option that stands at a token, the longest first."""
    for sought, place in candidates:
        size = len(sought)
        found = tokens[at : at + size]
        if tuple(token[2] for token in found) != sought or _cut(text, found):
            continue
        if not _part_of_number(text, found[0][0], found[-1][1], sought):
            yield size, place


def _cut(text: str, found: Sequence[tuple[int, int, str]]) -> bool:
    """Whether a sentence ends between the words; a single letter's full stop ends none."""
    return any(
        after[0] - before[1] > 6
        or (before[1] - before[0] > 1 and SENTENCE_END.search(text, before[1], after[0]))
        for before, after in pairwise(found)
    )


def _part_of_number(text: str, start: int, end: int, sought: tuple[str, ...]) -> bool:
    """Whether signs make other words of these: "1-2" is not 1, "<5 cm" is not 5 cm."""
    before, behind = text[max(0, start - 2) : start].strip(), text[end : end + 2].strip()
    if sought[0][0].isdigit() and before[-1:] in SIGNED and before:
        return True
    joins = behind[:1] in "%/°+" or (behind[:1] == "-" and text[end : end + 2][1:].isalnum())
    return bool(behind) and joins and (sought[-1][0].isdigit() or behind[0] == "+")


@lru_cache(maxsize=65_536)
def _known(options: tuple[str, ...]) -> tuple[Known, bool]:
    """Word sequences of the options by first word, the longest first; without those of two.

    Also whether plural endings were taken off: never where options differ by one alone.
    """
    folded, whole = _sequences(options, True), _sequences(options, False)
    fold_number = len(set(folded)) == len(set(whole))
    return _by_first_word(folded if fold_number else whole), fold_number


def _sequences(options: tuple[str, ...], fold_number: bool) -> list[tuple[str, ...]]:
    return [
        tuple(
            _canonical(token, fold_number)
            for token in TOKEN.findall(plain(option))
            if token not in ARTICLES
        )
        for option in options
    ]


def _by_first_word(sequences: list[tuple[str, ...]]) -> Known:
    places: dict[tuple[str, ...], set[int]] = {}
    for place, whole in enumerate(sequences):
        # A text of one letter is the letter's business.
        if whole and not (
            len(whole) == 1 and len(whole[0]) == 1 and whole[0].isascii() and whole[0].isalpha()
        ):
            places.setdefault(whole, set()).add(place)
            if len(whole) > 1 and whole[0] == "a":
                places.setdefault(whole[1:], set()).add(place)
    known: Known = {}
    for sought, owners in sorted(places.items(), key=lambda one: -len(one[0])):
        if len(owners) == 1:
            known.setdefault(sought[0], []).append((sought, next(iter(owners))))
    return known


def mark_letters(text: str, count: int) -> str:
    """Mark the letters that name options and stand apart as such."""
    out: list[str] = []
    done = 0
    for found in LETTER.finditer(text):
        place = ord(found["letter"]) - ord("a")
        start, end = _reach(found)
        if place >= count or start < done or not _names(text, found):
            continue
        led = LIST_MARK.match(text, end)
        closed = found["open"] in ("(", "[") and found["close"] in (")", "]")
        starts = AT_START.search(text[max(0, start - 12) : start])
        bare_close = found["close"] == ")" and not found["open"]
        if starts and (led or closed or bare_close or (not start and _own(text, end, place))):
            out += [text[done:start], chr(FIRST_MARK + place), LED]
            end = led.end() if led else end
        else:
            out += [text[done:start], chr(FIRST_MARK + place)]
        done = end
    return "".join((*out, text[done:]))


def _reach(found: re.Match[str]) -> tuple[int, int]:
    """Where a letter's mention begins and ends: with its brackets where both stand there."""
    opened, closed = found["open"], found["close"]
    start = found.start("letter") if opened and not closed else found.start()
    end = found.end("letter") if closed and not opened and closed != ")" else found.end()
    return start, end


def _own(text: str, end: int, place: int) -> bool:
    """Whether the option's own text follows its letter: "b pleural effusion"."""
    behind = SPACE.match(text, end)
    at = behind.end() if behind else end
    return text[at : at + 1] == chr(FIRST_MARK + place)


def _names(text: str, found: re.Match[str]) -> bool:
    """Whether a letter standing apart names an option, and is no article, pronoun or unit."""
    place = ord(found["letter"]) - ord("a")
    quoted = found["close"] and found["open"]
    if found["named"] or quoted or found["close"] == ")":
        return True
    end = _reach(found)[1]
    return TELLS.match(text, end) is not None or _own(text, end, place)


_SEPARATOR: Final = r"[ \t.:,、。()\[\]\"'“”\-–—=>|]{0,5}"
# Behind a sentence's end the letter says it once more: "The heart is normal. D".
OWN_TEXT: Final = re.compile(
    rf"({MARK})({LED}?)(?:(?!(?<=[a-z]\s{MARK})\.\s){_SEPARATOR}\1(?!{LED})[)\]\"'”]?)+"
)
# "Between B and C, C is likelier": the candidates, of which one is named anew behind the comma.
_ONE: Final = rf"{MARK}[\s(){LED}]*+"
CANDIDATES: Final = re.compile(
    r"(?<![a-z])(?:between|among(?:st)?|of|from|comparing|considering)\s{1,3}"
    rf"(?:(?:the|both|all|options?|choices?)\s)*+(?:{_ONE}[,/]?\s?)+(?:(?:and|or|vs)\s)(?:{_ONE})+,"
)
# "Pneumonia (A): unlikely" opens an entry of a list as "A. unlikely" does.
HEAD: Final = re.compile(rf"(\A|(?<=[\n.;!?。]))(\s*{MARK})\s?:(?=\s?\w)")


def _join(text: str) -> str:
    """A letter and the option's own text next to it are one mention."""
    return HEAD.sub(rf"\1\2{LED} ", OWN_TEXT.sub(r"\1\2 ", text))
