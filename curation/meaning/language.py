"""Recognise the language of a text by its script, function words and the row's tag."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping
from functools import lru_cache
from itertools import chain
from typing import Final

from curation.meaning.lists import LANGUAGES, other_markers, word_lists
from medsift.normal_form import answer_words

NAMES: Final = {
    **dict.fromkeys(("arabic", "ara", "العربية"), "ar"),
    **dict.fromkeys(("german", "deutsch", "deu", "ger"), "de"),
    **dict.fromkeys(("english", "eng"), "en"),
    **dict.fromkeys(("spanish", "español", "spa"), "es"),
    **dict.fromkeys(("french", "français", "fra", "fre"), "fr"),
    **dict.fromkeys(("japanese", "jpn", "日本語"), "ja"),
    **dict.fromkeys(("korean", "kor", "한국어"), "ko"),
    **dict.fromkeys(("portuguese", "português", "por"), "pt"),
    **dict.fromkeys(("russian", "rus", "русский"), "ru"),
    **dict.fromkeys(("chinese", "zho", "chi", "cmn", "中文", "汉语"), "zh"),
}
SCRIPTS: Final[Mapping[str, tuple[str, ...]]] = {
    "latin": ("de", "en", "es", "fr", "pt"),
    "cyrillic": ("ru",),
    "arabic": ("ar",),
    "han": ("zh", "ja"),
    "kana": ("ja",),
    "hangul": ("ko",),
}
OTHERS_OF: Final = {"cyrillic": ("uk", "bg")}
"""Languages without lists that share a script other than Latin with one that has them."""
# Letters of Persian and Urdu, and of Ukrainian, Serbian and others, that the listed ones lack.
FOREIGN: Final = {
    "arabic": re.compile("[پچژگکیٹڈڑںےہھ]"),
    "cyrillic": re.compile("[іїєґјљњћђџўқғңөұүһә]"),
}
APOSTROPHE: Final = re.compile(r"['’]")
_WORD_SHARE: Final = 0.2
"""Least share of function words by which a text without a tag shows its language."""
_OVERRULING: Final = 2
"""Least count of function words that overrule a tag: one short word belongs to many languages."""


def recognise(text: str, tag: str | None = None, context: str | None = None) -> str | None:
    """Return the listed language of a text, None where it is another one or cannot be known.

    The script decides where one listed language alone uses it. In Latin script function words
    decide, against those of languages without a list too; a `tag` or the language of the
    conversation (`context`) is taken where the words do not say otherwise. Nothing is English by
    default.
    """
    script = script_of(text)
    if script is None:
        return context
    expected = context
    if tag:
        # The listed language that a tag names ("en", "en-GB", "English"), if any.
        name = tag.strip().casefold()
        code = NAMES.get(name, re.split(r"[-_]", name)[0])
        expected = NAMES.get(code, code if code in LANGUAGES else None)
    if script in ("kana", "hangul"):
        return SCRIPTS[script][0]
    if script == "han":
        return "ja" if expected == "ja" else "zh"
    if script not in SCRIPTS or (tag and expected is None):
        return None
    if script in FOREIGN and FOREIGN[script].search(text.casefold()):
        return None
    return _by_words(text, script, expected)


def _by_words(text: str, script: str, expected: str | None) -> str | None:
    words = answer_words(APOSTROPHE.sub(" ", text))
    counts: dict[str, int] = {}
    for code in SCRIPTS[script]:
        markers, article = word_lists(code).markers, word_lists(code).article or "\0"
        counts[code] = sum(word in markers or word.startswith(article) for word in words)
    unlisted = OTHERS_OF.get(script) or other_markers().keys() - {*chain(*OTHERS_OF.values())}
    rival = max(sum(word in other_markers()[code] for word in words) for code in unlisted)
    best = max(counts.values())
    highest = max(best, rival)
    if expected in counts and (2 * counts[expected] >= highest or highest < _OVERRULING):
        return expected
    letters = sum(word[0].isalpha() for word in words)
    # A tie with a language without lists stays open: a wrong list would merge what differs.
    if best == 0 or best < _WORD_SHARE * letters or best <= rival:
        return None
    leading = [code for code, count in counts.items() if count == best]
    if len(leading) > 1:
        # Of languages with as many function words, the one whose lists know the most words.
        known = {code: sum(word in word_lists(code).concept for word in words) for code in leading}
        leading = [code for code, count in known.items() if count == max(known.values())]
    return leading[0] if len(leading) == 1 else None


def script_of(text: str) -> str | None:
    """Return the script of most letters of a text, None where it has no letter."""
    counts = Counter(name for char in text if (name := _script(char)) is not None)
    if not counts:
        return None
    east = counts["han"] + counts["kana"] + counts["hangul"]
    # Abbreviations in Latin letters are common in Asian texts, whose characters are few.
    if 3 * east >= counts.total() - east and east:
        return next(name for name in ("hangul", "kana", "han") if counts[name])
    return max(counts, key=lambda name: (counts[name], name))


@lru_cache(maxsize=8192)
def _script(char: str) -> str | None:
    if not char.isalpha():
        return None
    name = unicodedata.name(char, "").split(" ")[0].lower()
    kinds = {"cjk": "han", "hiragana": "kana", "katakana": "kana"}
    return kinds.get(name.split("-")[0], name)
