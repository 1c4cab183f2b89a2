"""Bring an answer into normal form: its words, numbers and signs, each in one spelling.

Duplicates, contradictions and scores compare answers in this one form. Letters, marks, digits and
everything that Unicode calls a symbol stay, and so does punctuation that acts as a sign: a minus,
the hyphen of a range, a decimal point, a slash between numbers, per cent. All other punctuation is
removed. Two texts have one normal form where they differ only in case, width, white space,
punctuation and the spellings listed here.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Final

MINUS: Final = "\u2212"
"""A minus or a negative sign; a hyphen inside a number is a range."""

_SUPERSCRIPT: Final = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻", "0123456789+\u2212")
_EXPONENT: Final = re.compile(r"(?<=\d)([⁺⁻]?[⁰¹²³⁴⁵⁶⁷⁸⁹]+)")
_FRACTION: Final = re.compile(r"(?<=\d)(?=[¼-¾⅐-⅞])")
_DEGREE: Final = re.compile("(?<=\\d)([^\\S\n]?)[\u00ba\u02da]")
_NOT_SHOWN: Final = re.compile(
    "[\u00ad\u0640\u200b\u2060\ufeff\u200e\u200f\u202a-\u202e\u2066-\u2069\ufe00-\ufe0f]"
)
# Signs that are written in more than one way, each with the one that represents all of them.
_SPELLED: Final = {
    **dict.fromkeys(("+/-", "+/\u2212", "+-", "±"), " ± "),
    **dict.fromkeys((">=", "≧", "⩾", "≥"), " ≥ "),
    **dict.fromkeys(("<=", "≦", "⩽", "≤"), " ≤ "),
    **dict.fromkeys(("-->", "->", "⟶", "➔", "➜", "➡", "⇒", "→"), " → "),
    **dict.fromkeys(("⬆", "⇧", "⇑", "🔼", "🠕", "↑"), " ↑ "),
    **dict.fromkeys(("⬇", "⇩", "⇓", "🔽", "🠗", "↓"), " ↓ "),
    **dict.fromkeys(("✔", "☑", "✅", "✓"), " ✓ "),
    **dict.fromkeys(("✘", "✖", "❌", "☒", "✗"), " ✗ "),
    **dict.fromkeys(("∼", "~"), " ~ "),
    **dict.fromkeys(("\u2044", "\u2215"), "/"),
    **dict.fromkeys(("\u2010", "\u2011", "\u2012", "\u2013", "\u2014", "\u2015"), "-"),
    **dict.fromkeys(("`", "´"), " "),
}
_SIGN: Final = re.compile("|".join(re.escape(s) for s in sorted(_SPELLED, key=len, reverse=True)))
_POINT: Final = r"(?:[-*•‣▪▫■□●○◦◆►▶·]|\#+)"
# At the beginning of a text, and of a line inside it.
_BULLETS: Final = (
    re.compile(rf"\A(?:\s*{_POINT}\s+)+(?=[^\W\d_])"),
    re.compile(rf"^[^\S\n]*(?:{_POINT}[^\S\n]+)+(?=[^\W\d_])", re.MULTILINE),
)
_TIMES: Final = re.compile(r"(?<=\d)(?:[x×*]|\s+[x×*]\s+)(?=\d)")
_THOUSANDS: Final = re.compile(r"(?<![\d.,])([1-9]\d{0,2})((?:,\d{3})+)(?![\d,])")
_RANGE: Final = re.compile(r"(?<=\d)(?:\s*-\s+|-)(?=\d)")
_INITIALS: Final = re.compile(r"(?<![\w.])(?:[a-z]\.){1,7}[a-z](?:\.|(?!\w))")
_XRAY: Final = re.compile(r"(?<![^\W_])x[\s-]{0,3}ray(?=s?(?![^\W_]))")
_APOSTROPHE: Final = re.compile(r"(?<=\w)['’ʼ](?=\w)")
_LEADING_POINT: Final = re.compile(r"(?<![\w.,])\.(?=\d)")
_NEXT: Final = re.compile(r"\s*(\w)")
_HYPHENS: Final = re.compile(r"-+")
# Punctuation that stays anywhere, and punctuation that stays between digits.
_SIGNS: Final = frozenset("%‰‱&@′″")
_BETWEEN: Final = re.compile("[.,/:-]")
# Vowel signs of Hebrew to Burmese and others are no word characters, yet are part of words.
_MARKS: Final = (
    "\u0300-\u036f\u0483-\u0489\u0590-\u109f\u135d-\u135f\u1712-\u1bff\u1cd0-\u1dff\u20d0-\u20ff"
    "\u2de0-\u2dff\u302a-\u302f\u3099\u309a\ua66f-\uabff\ufb1e\ufe20-\ufe2f"
)
_LETTER: Final = rf"(?:[^\W\d_]|[{_MARKS}])"
TOKEN: Final = re.compile(
    rf"{MINUS}?\d+(?:(?:[.,/:-]|\^[{MINUS}+]?)\d+)*(?:(?:st|nd|rd|th)(?!{_LETTER}))?"
    rf"|{_LETTER}(?:{_LETTER}|\d)*(?:(?<=\d)(?:[.,/:-]\d+)+)?"
    r"|\S"
)
_GREEK: Final = re.compile("(?<![\u0370-\u03ff])[α-ω](?![\u0370-\u03ff])")
_GREEK_WORDS: Final = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda nu xi omicron pi rho sigma"
    " tau upsilon phi chi psi omega"
)
_GREEK_NAMES: Final = dict(zip("αβγδεζηθικλνξοπρστυφχψω", _GREEK_WORDS.split(), strict=True))
NUMBER_WORDS: Final = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen"
    " sixteen seventeen eighteen nineteen twenty"
)
# "one" may be a pronoun; those from two on are numbers and nothing else.
_NUMBERS: Final = {word: str(at) for at, word in enumerate(NUMBER_WORDS.split()) if at > 1}


def answer_words(text: str) -> tuple[str, ...]:
    """Return the words, numbers and signs of an answer in order, each in its one spelling.

    A number includes its minus, decimals and range ("−2.5", "5-10", "1/2"); any other sign is a
    word of its own ("her2", "+"). Empty for a text of punctuation only.
    """
    folded = fold(text)
    if "-" in folded:
        folded = _RANGE.sub("-", folded)
        folded = _HYPHENS.sub(_read_hyphen, folded)
    # A minus that follows no word, and the tilde of a range, are joined to their number.
    joined: list[str] = []
    for token in TOKEN.findall(_without_punctuation(folded)):
        sign = joined[-1] if joined and token[0].isdigit() else ""
        before = joined[-2][-1] if len(joined) > 1 else ""
        if sign == MINUS and not before.isalnum():
            joined[-1] = MINUS + token
        elif sign == "~" and before.isdigit():
            joined[-2:] = [f"{joined[-2]}-{token}"]
        else:
            joined.append(token)
    return tuple(_NUMBERS.get(token, token) for token in joined)


def normal_form(text: str) -> str:
    """Return an answer's words joined by spaces; a text of punctuation only is just folded."""
    return " ".join(answer_words(text)) or " ".join(fold(text).split())


def fold(text: str) -> str:
    """Return text with case, width and composed characters folded, each sign in one spelling."""
    if not text.isascii():
        text = _FRACTION.sub(" ", _DEGREE.sub(r"\1°", _NOT_SHOWN.sub("", text)))
        text = _EXPONENT.sub(lambda match: "^" + match[1].translate(_SUPERSCRIPT), text)
        # Twice: folding case can leave characters that compose anew.
        for _ in range(2):
            text = unicodedata.normalize("NFKC", text).casefold()
        text = _GREEK.sub(_name_greek, "".join(map(_plain_digit, text)))
    text = _BULLETS[1].sub("", _BULLETS[0].sub("", text.lower()))
    text = _SIGN.sub(lambda match: _SPELLED[match[0]], text)
    text = _INITIALS.sub(lambda match: match[0].replace(".", ""), text)
    text = _XRAY.sub("xray", _APOSTROPHE.sub("", text))
    text = _THOUSANDS.sub(lambda match: match[0].replace(",", ""), text)
    return _TIMES.sub(" x ", _LEADING_POINT.sub("0.", text))


def _name_greek(match: re.Match[str]) -> str:
    """Return the name of a Greek letter; micro before a unit stays a letter."""
    if match[0] not in _GREEK_NAMES:
        return match[0]
    apart = " " if match.string[: match.start()][-1:].isalpha() else ""
    return apart + _GREEK_NAMES[match[0]]


@lru_cache(maxsize=4096)
def _plain_digit(char: str) -> str:
    return str(unicodedata.decimal(char)) if unicodedata.category(char) == "Nd" else char


def _read_hyphen(match: re.Match[str]) -> str:
    """Return what a run of hyphens means: a range, a minus, or nothing.

    A minus is before a number or behind a word ("-2", "ER-", "(-)"); a hyphen inside a word, a dash
    between words and a ruled line are punctuation.
    """
    text, start, stop = match.string, match.start(), match.end()
    before, after = text[start - 1 : start], text[stop : stop + 1]
    if stop - start > 2:
        return " "
    if before.isalnum() and after.isalnum():
        return "-" if before.isdigit() and after.isdigit() else " "
    if after.isdigit():
        return f" {MINUS}"
    behind = _NEXT.match(text, stop)
    dash = before != ")" and not before.isalnum()
    if dash and behind is not None and not behind[1].isdigit():
        return " "
    return f" {MINUS} " * (stop - start)


def _without_punctuation(text: str) -> str:
    """Return text with spaces for control characters and for punctuation that is no sign."""
    plain = text.translate(_SPACES)
    kept = [
        place
        for place in (match.start() for match in _BETWEEN.finditer(text))
        if text[place - 1 : place].isdigit() and text[place + 1 : place + 2].isdigit()
    ]
    if not kept:
        return plain
    chars = list(plain)
    for place in kept:
        chars[place] = text[place]
    return "".join(chars)


class _Spaces(dict[int, str]):
    """Maps each character to itself, or to a space where it says nothing."""

    def __missing__(self, code: int) -> str:
        char = chr(code)
        self[code] = char if _stays(char) else " "
        return self[code]


_SPACES: Final = _Spaces()


def _stays(char: str) -> bool:
    return char in _SIGNS or unicodedata.category(char)[0] in "LMNS"
