"""Find calendar dates and ages over 89 in text, in several orders, scripts and languages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

MONTHS: Final = (
    "jan(?:uary|uar|vier|eiro)?|feb(?:ruary|ruar|braio)?|fév(?:rier)?|febrero|fevereiro|"
    "gennaio|enero|m(?:ar(?:ch|s|zo|ço)?|ärz|aart)|apr(?:il|ile)?|avr(?:il)?|abr(?:il)?|"
    "ma[yijo]|mayo|maio|maggio|mei|june?|juni|juin|junio|junho|giugno|july?|juli|juillet|"
    "julio|julho|luglio|aug(?:ust|ustus)?|août|agosto|sept?(?:ember|embre|iembre)?|setembro|"
    "settembre|o[ck]t(?:ober|obre|ubre)?|outubro|ottobre|nov(?:ember|embre|iembre|embro)?|"
    "de[cz](?:ember|embre|iembre|embro)?|déc(?:embre)?|dic(?:embre|iembre)?|"
    "stycznia|lutego|marca|kwietnia|maja|czerwca|lipca|sierpnia|września|października|"
    "listopada|grudnia|ocak|şubat|mart|nisan|mayıs|haziran|temmuz|ağustos|eylül|ekim|kasım|"
    "aralık|янв(?:аря|арь)?|фев(?:раля|раль)?|марта?|апр(?:еля|ель)?|ма[йя]|июн[ья]|июл[ья]|"
    "авг(?:уста|уст)?|сен(?:тября|тябрь)?|окт(?:ября|ябрь)?|ноя(?:бря|брь)?|дек(?:абря|абрь)?|"
    "يناير|فبراير|مارس|أبريل|ابريل|مايو|يونيو|يوليو|أغسطس|اغسطس|سبتمبر|أكتوبر|اكتوبر|نوفمبر|"
    "ديسمبر|जनवरी|फरवरी|मार्च|अप्रैल|मई|जून|जुलाई|अगस्त|सितंबर|अक्टूबर|नवंबर|दिसंबर"
)
_YEAR: Final = r"(?:1[89]|20)\d\d"
_EDGE: Final = r"(?<![\w./-])(?<!\d,)"
_END: Final = r"(?![\w/]|[.,-]\d)"
_TIME: Final = r"(?:[T ,]+\d{1,2}:\d\d(?::\d\d)?)?"
_NUMERIC: Final = re.compile(
    rf"{_EDGE}(?P<a>\d{{1,4}})(?P<sep>\s?[/.-]\s?)(?P<b>\d{{1,2}})(?P=sep)(?P<c>\d{{1,4}}){_TIME}{_END}"
)
_COMPACT: Final = re.compile(rf"{_EDGE}(?P<a>{_YEAR})(?P<b>[01]\d)(?P<c>[0-3]\d){_END}")
_MONTH_YEAR: Final = re.compile(rf"{_EDGE}(?P<b>0?[1-9]|1[0-2])/(?P<c>{_YEAR}){_END}")
_WORDED: Final = re.compile(
    # 3 March 1971, 3. März 1971, 3rd of March, 1971; 12-JAN-65; March 3, 1971; March 1971; 1971Mar3
    rf"\b\d{{1,2}}(?:st|nd|rd|th|er|º|ª|\.)?[\s-]*(?:of\s+|de\s+)?(?:{MONTHS})\b\.?"
    rf"(?:[\s,-]*(?:de[l]?\s+)?(?:{_YEAR}|\d\d)\b)?"
    rf"|\b(?:{MONTHS})\b\.?\s+\d{{1,2}}(?:st|nd|rd|th)?\b(?!\s*%|[./]\d)(?:\s*,?\s*{_YEAR}\b)?"
    rf"|\b(?:{MONTHS})\b\.?[\s,]*(?:of\s+|de[l]?\s+)?{_YEAR}\b"
    rf"|\b{_YEAR}[\s.-]*(?:{MONTHS})\b[\s.-]*\d{{1,2}}\b",
    re.IGNORECASE,
)
_NUMERAL: Final = r"[\d〇零一二三四五六七八九十元]"
_EAST_ASIAN: Final = re.compile(
    rf"(?:(?:令和|平成|昭和|大正|明治|民國|民国)\s*{_NUMERAL}{{1,3}}|{_NUMERAL}{{2,4}})\s*[年년]\s*{_NUMERAL}{{1,3}}\s*[月월]"
    rf"(?:\s*{_NUMERAL}{{1,3}}\s*[日号號일])?|{_NUMERAL}{{1,3}}\s*[月월]\s*{_NUMERAL}{{1,3}}\s*[日号號일]"
)
_OVER_89: Final = r"(?P<age>9\d|1[0-2]\d)"
_AGES: Final = (
    re.compile(
        rf"\b{_OVER_89}[\s-]*(?:years?|yrs?\.?|y\.?)[\s-]*(?:old|o\b|/o\b|of\s+age)"
        rf"|\b{_OVER_89.replace('age', 'age2')}[\s-]*(?:y/?o|yo[mf]?)\b",
        re.IGNORECASE,
    ),
    re.compile(
        r"(?:\b(?:aged?|alter|edad|âge|età|idade|leeftijd|возраст|wiek)\b|年龄|年齡|年齢|나이|العمر|आयु)"
        rf"\s*(?:of|at|von|de|di|is|was)?\s*[:：=]?\s*{_OVER_89}(?!\d|\s*(?:%|mg|ml|mm|cm|days?|weeks?|months?))",
        re.IGNORECASE,
    ),
    re.compile(
        rf"(?<!\d){_OVER_89}[\s-]*(?:岁|歲|歳|才|세|살|jährig|jahre\s+alt|años\b(?!\s+de\s+ex)|ans\b"
        r"|anni\b|anos\b|jaar\s+oud|лет\b|года?\b|lat\b|yaşında|عام[اً]|سنة|वर्ष)",
        re.IGNORECASE,
    ),
    re.compile(rf"\b{_OVER_89}\s?(?:[MF]|yo|y\.o\.)(?=\s+(?:with|presents?|c/o|s/p|admitted)\b)"),
)
_WRITTEN_AGE: Final = re.compile(
    r"\b(?P<age>ninety(?:[\s-](?:one|two|three|four|five|six|seven|eight|nine))?"
    r"|(?:one|a)\s+hundred(?:\s+and\s+\w+)?)[\s-]+years?[\s-]+old\b",
    re.IGNORECASE,
)
_A_VERB: Final = re.compile(r"\d{0,2}\W*\b(?:may|mar|mart|mai|mei|dec|sept?|set|ago)\b\W*\d{0,2}")
"""Month names that are other words where they are written small and without a year."""


def find_dates(text: str) -> Iterator[tuple[int, int]]:
    """Yield start and end of each date that names at least a month; a year alone is none."""
    for pattern in (_NUMERIC, _COMPACT):
        for match in pattern.finditer(text):
            if _is_date(*(match[part] for part in "abc")):
                yield match.span()
    for match in _MONTH_YEAR.finditer(text):
        yield match.span()
    for match in _WORDED.finditer(text):
        if not _A_VERB.fullmatch(match.group()):
            yield match.span()
    if not text.isascii():
        for match in _EAST_ASIAN.finditer(text):
            yield match.span()


def find_ages(text: str) -> Iterator[tuple[int, int]]:
    """Yield start and end of the number in each statement of an age over 89."""
    for pattern in (*_AGES, _WRITTEN_AGE):
        for match in pattern.finditer(text):
            name = next(name for name, value in match.groupdict().items() if value)
            yield match.span(name)


def _is_date(first: str, second: str, third: str) -> bool:
    """Return whether three numbers are a date in one of the orders that people write."""
    a, b, c = int(first), int(second), int(third)
    if len(first) == 4:
        return 1800 <= a < 2700 and _day_and_month(b, c)
    if len(first) == 3 or len(third) in (1, 3):
        return False
    if len(third) == 4:
        return 1800 <= c < 2700 and _day_and_month(a, b)
    return _day_and_month(a, b) or (len(first) == 2 and _day_and_month(b, c))


def _day_and_month(one: int, other: int) -> bool:
    return min(one, other) >= 1 and min(one, other) <= 12 and max(one, other) <= 31
