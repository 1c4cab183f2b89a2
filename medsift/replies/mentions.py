"""Replace each mention of an option in a reply by one character, whatever its letter and wording.

Option number n becomes chr(0xE000 + n), so that the rules in `claims` need not know the options.
A letter with a list mark behind it ("b.", "(b)") is followed by ``LED``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Final, NamedTuple

from medsift.replies.spans import folded_plain
from medsift.replies.spelling import respell
from medsift.replies.text_overlap import ARTICLES

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
# "Masses", "metastases", "biopsies", "effusions".
PLURAL_ENDINGS: Final = (("sses", "ss"), ("stases", "stasis"), ("ies", "y"), ("s", ""))
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
# What shows that the letter before it names an option: "A is wrong" does, "a mass" does not.
BEHIND_LETTER: Final = re.compile(
    r"\s{0,3}(?:$|[.():;,、。!?/&|=>\]❌✅✗✘✔✓☑√×\u3400-\u9fff\n]|[-–—]|and(?![a-z])|or(?![a-z])|nor(?![a-z])"
    r"|(?:is|are|was|isn't|isnt|seems|looks|appears|fits|because|since|as|rather|instead|but|not|than"
    r"|[a-z](?![a-z0-9'-])|can|cannot|can't|could|would|should|may|might|has|does|doesn't|explains|matches|option"
    r"|over|for|here|remains|due|given|based|the|it(?=\sis)|too|also|by|if|when|which|who|among|above"
    r"|must|will|alone|please|gets|with(?=\s(?:high|low|good|moderate)))(?![a-z]))"
)
LIST_MARK: Final = re.compile(r"\s?[.:、。]|\s?\)|\s[-–—](?=\s)|\s?[–—]|\s?=>?|\s?->")
AT_START: Final = re.compile(r"(?:^|[\n.;,!?:|。、❌✅✗✘✔✓☑√☒×\ue000-\ue01f])\ufe0f?\s{0,9}$")
SENTENCE_END: Final = re.compile(r"[;!?\n。]|\.\s")
SIGNS: Final = frozenset("<>=±≤≥-+%/°")
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
# Characters between two words of a text that is still one: a line's end and its indent.
WIDEST_GAP: Final = 6

Words = tuple[str, ...]
"""The words of an option's text, as they are compared."""


class Token(NamedTuple):
    """A word of a reply, where it begins and ends, and the form in which it is compared."""

    start: int
    end: int
    word: str


def mark_mentions(text: str, options: tuple[str, ...]) -> str:
    """Replace every mention of an option in a folded text by the option's character."""
    text = CORRECT.sub("correct", PRIVATE.sub(" ", text)).replace(" vs. ", " vs ")
    # Texts before letters: a letter counts as such where its option's text follows it.
    marked = mark_letters(_mark_texts(text, options), len(options))
    # A letter and the option's own text next to it are one mention.
    joined = OWN_TEXT.sub(r"\1\2 ", CANDIDATES.sub("\n", marked))
    return HEAD.sub(rf"\1\2{LED} ", joined)


def mentioned_by_text(text: str, options: tuple[str, ...]) -> set[int]:
    """Return indices of the options that a folded text mentions by their wording."""
    marked = _mark_texts(PRIVATE.sub(" ", text), options)
    return {ord(mark) - FIRST_MARK for mark in re.findall(MARK, marked)}


def mark_letters(text: str, count: int) -> str:
    """Mark the letters that name one of `count` options."""
    out: list[str] = []
    done = 0
    for match in LETTER.finditer(text):
        option = ord(match["letter"]) - ord("a")
        opened, closed = match["open"], match["close"]
        # A bracket belongs to the letter where its partner does: "(see a)" names an option.
        start = match.start("letter") if opened and not closed else match.start()
        end = match.end("letter") if closed and not opened and closed != ")" else match.end()
        mark = chr(FIRST_MARK + option)
        # "b pleural effusion": the option's own text follows its letter.
        has_text = text[end : end + 10].lstrip().startswith(mark)
        if option >= count or start < done:
            continue
        # An article, a pronoun or a unit stands apart as a letter does, but none of these is true.
        named = match["named"] or (opened and closed) or closed == ")" or has_text
        if not (named or BEHIND_LETTER.match(text, end)):
            continue
        out += [text[done:start], mark]
        led = LIST_MARK.match(text, end)
        bracketed = (opened in ("(", "[") and closed in (")", "]")) or (
            closed == ")" and not opened
        )
        opens_entry = led or bracketed or (start == 0 and has_text)
        if opens_entry and AT_START.search(text[max(0, start - 12) : start]):
            out.append(LED)
            end = led.end() if led else end
        done = end
    return "".join((*out, text[done:]))


def _mark_texts(text: str, options: tuple[str, ...]) -> str:
    """Mark the options' texts, the longest first, word by word."""
    by_first_word, fold_number = _texts_of(options)
    if not by_first_word:
        return text
    tokens = [
        Token(token.start(), token.end(), _canonical(token[0], fold_number))
        for token in TOKEN.finditer(text)
        if token[0] not in ARTICLES
    ]
    out: list[str] = []
    done = at = 0
    while at < len(tokens):
        for sought, option in by_first_word.get(tokens[at].word, ()):
            matched = tokens[at : at + len(sought)]
            if tuple(token.word for token in matched) == sought and _is_mention(text, matched):
                out += [text[done : matched[0].start], chr(FIRST_MARK + option)]
                done = matched[-1].end
                at += len(sought)
                break
        else:
            at += 1
    return "".join((*out, text[done:]))


def _is_mention(text: str, tokens: Sequence[Token]) -> bool:
    """Return whether these words are one text: in one sentence, and no part of a number."""
    for before, after in pairwise(tokens):
        # A single letter's full stop ends no sentence: "e. coli".
        is_letter = before.end - before.start == 1
        ended = not is_letter and SENTENCE_END.search(text, before.end, after.start)
        if ended or after.start - before.end > WIDEST_GAP:
            return False
    start, end = tokens[0].start, tokens[-1].end
    before_it, behind = text[max(0, start - 2) : start].strip(), text[end : end + 2]
    # Signs make other words of these: "1-2" is not 1, "<5 cm" is not 5 cm.
    if tokens[0].word[0].isdigit() and before_it and before_it[-1] in SIGNS:
        return False
    sign = behind.strip()[:1]
    joins = sign and (sign in "%/°+" or (sign == "-" and behind[1:].isalnum()))
    return not (joins and (tokens[-1].word[0].isdigit() or sign == "+"))


@lru_cache(maxsize=65_536)
def _texts_of(options: tuple[str, ...]) -> tuple[dict[str, list[tuple[Words, int]]], bool]:
    """Return the options' texts by first word, the longest first, and whether plurals are folded.

    A text that two options share is left out.
    """
    folded, whole = (
        [
            tuple(
                _canonical(token, fold_number)
                for token in TOKEN.findall(folded_plain(option))
                if token not in ARTICLES
            )
            for option in options
        ]
        for fold_number in (True, False)
    )
    # Where options differ by a plural ending alone ("mass", "masses"), none is taken off.
    fold_number = len(set(folded)) == len(set(whole))
    owners: dict[Words, set[int]] = {}
    for option, text in enumerate(folded if fold_number else whole):
        # A text of one letter is left to `mark_letters`.
        if text and not (
            len(text) == 1 and len(text[0]) == 1 and text[0].isascii() and text[0].isalpha()
        ):
            owners.setdefault(text, set()).add(option)
            if len(text) > 1 and text[0] == "a":
                owners.setdefault(text[1:], set()).add(option)
    by_first_word: dict[str, list[tuple[Words, int]]] = {}
    for text in sorted(owners, key=len, reverse=True):
        if len(owners[text]) == 1:
            by_first_word.setdefault(text[0], []).append((text, min(owners[text])))
    return by_first_word, fold_number


def _canonical(token: str, fold_number: bool) -> str:
    """Return a word with its number as a digit, in American spelling, perhaps without plural."""
    word = NUMBERS.get(token) or respell(token)
    if not fold_number or len(word) < 4 or not word.isascii() or not PLURAL.search(word):
        return word
    for plural, singular in PLURAL_ENDINGS:
        if word.endswith(plural):
            return word[: -len(plural)] + singular
    return word
