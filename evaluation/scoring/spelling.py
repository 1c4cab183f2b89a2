"""Spellings of one word: British and American, number words, Greek letters, signs after a name."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

_NUMBERS: Final = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
    *("eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen"),
    *("nineteen", "twenty"),
)
_ORDINALS: Final = (
    *("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth"),
    "tenth",
)
_SUFFIXES: Final = ("st", "nd", "rd", *(["th"] * 7))
_GREEK: Final = {
    **{"α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "epsilon", "κ": "kappa"},
    **{"λ": "lambda", "μ": "mu", "σ": "sigma", "τ": "tau", "ω": "omega", "ζ": "zeta"},
}
SAME: Final = (
    {word: str(number) for number, word in enumerate(_NUMBERS)}
    | {
        word: f"{number}{suffix}"
        for number, (word, suffix) in enumerate(zip(_ORDINALS, _SUFFIXES, strict=True), 1)
    }
    | _GREEK
    | {"grey": "gray", "coloured": "colored"}
)
# British letters for American ones, in words of four letters and more.
AMERICAN: Final = tuple(
    (re.compile(pattern), plain)
    for pattern, plain in (
        (r"haem", "hem"),
        (r"aem(?=i|ic)", "em"),
        (r"oedem", "edem"),
        (r"oesoph", "esoph"),
        (r"oestr", "estr"),
        (r"foet", "fet"),
        (r"caec", "cec"),
        (r"faec", "fec"),
        (r"paed", "ped"),
        (r"anaesth", "anesth"),
        (r"gynaec", "gynec"),
        (r"aetiol", "etiol"),
        (r"coeli", "celi"),
        (r"rrhoea", "rrhea"),
        (r"pnoea", "pnea"),
        (r"manoeuv", "maneuv"),
        (r"orthopaed", "orthoped"),
        (r"sulph", "sulf"),
        (r"leuco", "leuko"),
        (r"(tum|col|hum|vap|lab|fav)our", r"\1or"),
        (r"(cent|lit|met|fib|spect)re(?=s?$)", r"\1er"),
        (r"([a-z]{3})is(?=ed$|ation|ing$|e$)", r"\1iz"),
        (r"yse(?=d?$)", "yze"),
    )
)


@lru_cache(maxsize=65_536)
def respell(word: str) -> str:
    """Return the one spelling of a folded word that all its spellings share."""
    if word in SAME:
        return SAME[word]
    if len(word) < 4 or not word.isalpha() or not word.isascii():
        return word
    for pattern, plain in AMERICAN:
        word = pattern.sub(plain, word)
    return word
