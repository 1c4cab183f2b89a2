"""Spell an answer otherwise: British and American, hyphens, decimal commas, status in words.

The normal form that duplicates are compared in keeps these apart; an open reply is right in any.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from medsift.replies.spans import fold

# British letters for American ones, in words of four letters and more.
_PAIRS: Final = {
    **{"haem": "hem", "aem(?=i|ic)": "em", "oedem": "edem", "oesoph": "esoph", "oestr": "estr"},
    **{"foet": "fet", "caec": "cec", "faec": "fec", "paed": "ped", "anaesth": "anesth"},
    **{"gynaec": "gynec", "aetiol": "etiol", "coeli": "celi", "rrhoea": "rrhea", "pnoea": "pnea"},
    **{"manoeuv": "maneuv", "orthopaed": "orthoped", "sulph": "sulf", "leuco": "leuko"},
    **{"^grey": "gray", "(tum|col|hum|vap|lab|fav)our": r"\1or"},
    **{"(cent|lit|met|fib|spect)re(?=s?$)": r"\1er"},
    **{"([a-z]{3})is(?=ed$|ation|ing$|e$)": r"\1iz", "yse(?=d?$)": "yze"},
}
AMERICAN: Final = tuple((re.compile(british), american) for british, american in _PAIRS.items())
WORD: Final = re.compile(r"[a-z]{4,}")
# "1,5 cm" is 1.5 cm; "1,2,3" is a list.
DECIMAL_COMMA: Final = re.compile(r"(?<![\d.,])(\d+),(\d{1,2})(?![\d,.]?\d)")
# "HER2 positive" and "Rh negative" are HER2+ and Rh-: a short name or a code, then its status.
STATUS: Final = re.compile(
    r"(?<![\w-])([a-z]{2,4}|[a-z]{1,6}\d{1,3}[a-z]?)(?:\s|-)(positive|negative)(?!\w)"
)
SIGN_OF_STATUS: Final = {"positive": "+", "negative": "-"}
HYPHEN: Final = re.compile(r"(?<=[^\W\d_])[-\u2010\u2011](?=[^\W\d_])")


def spellings(text: str) -> tuple[str, str]:
    """Return an answer in American letters and signs, with its hyphens and without them."""
    folded = DECIMAL_COMMA.sub(r"\1.\2", fold(text))
    signed = STATUS.sub(lambda name: name[1] + SIGN_OF_STATUS[name[2]], folded)
    american = WORD.sub(lambda word: respell(word[0]), signed)
    return american, HYPHEN.sub("", american)


@lru_cache(maxsize=65_536)
def respell(word: str) -> str:
    """Return the American spelling of a folded word."""
    if len(word) < 4 or not word.isalpha() or not word.isascii():
        return word
    for pattern, plain in AMERICAN:
        word = pattern.sub(plain, word)
    return word
