"""Patterns of words by which a text gives itself away, in English and Chinese."""

from __future__ import annotations

import re
from itertools import islice
from typing import Final

from medsift.text import CJK, is_cjk

WORDS: Final = re.compile(r"\d+(?:[.,]\d+)*|[^\W\d_]+(?:['’]\w+)?")
LATIN_WORD: Final = re.compile(r"[A-Za-z]{2,}")
LATIN_PROSE: Final = 3

LONG_RUN: Final = re.compile(r"([^\W_])\1{9,}")
LETTER: Final = re.compile(r"\(?[A-Za-z][).]?")
CLOSED_QUESTION: Final = re.compile(
    r"^\W*(?:is|are|was|were|do|does|did|has|have|had|can|could|will|would|should)\b"
    r"|吗[??]?\s*$|是否|有没有|是不是",
    re.IGNORECASE,
)
ALTERNATIVE: Final = re.compile(r"\bor\b|\bversus\b|\bvs\b|还是|或", re.IGNORECASE)
TELL_ME: Final = re.compile(
    r"^\W*(?:(?:please|(?:can|could|would) you) )*"
    r"(?:describe|explain|elaborate|discuss|summari[sz]e|write an?)\b"
    r"|\bin detail\b|描述|解释|说明|详细|总结",
    re.IGNORECASE,
)
ASSISTANT: Final = re.compile(
    r"\b(?:as|i am|i['’]m) an? (?:(?:ai|artificial intelligence)\b|(?:large )?language model)"
    r"|作为(?:一个|一名)?(?:AI|人工智能|大?语言模型)|我是(?:一个|一名)?(?:AI|人工智能)",
    re.IGNORECASE,
)
REFUSAL: Final = re.compile(
    r"\bi(?:['’]m| am) (?:sorry|unable|not able)\b|\bi (?:apologi[sz]e|must decline)\b"
    r"|\bi (?:can ?not|can['’]t|could not|couldn['’]t|won['’]t) "
    r"(?:help|assist|provide|answer|give|offer|comply|see|view|access|analy[sz]e|interpret"
    r"|diagnose|determine|identify|process)\b"
    r"|抱歉|对不起|很遗憾|我(?:无法|不能|没有办法|没办法)(?:回答|提供|帮助|查看|看到|分析|判断|诊断|处理|识别)",
    re.IGNORECASE,
)
# In the normal form of `medsift.text.normalise_answer`.
NON_ANSWERS: Final = frozenset(
    (
        *("n a", "na", "nan", "null", "nil", "none", "unknown", "unsure", "uncertain", "tbd"),
        *("not sure", "not known", "not available", "not applicable", "not specified"),
        *("no answer", "no idea", "i do not know", "i dont know", "im not sure", "dont know"),
        *("cannot say", "cant say", "idk", "unanswerable"),
        *("无", "没有", "未知", "不知道", "不清楚", "不确定", "不详", "无法确定", "无法判断"),
        *("我不知道", "我不确定", "不适用", "无答案"),
    )
)
# "None" is an answer where a question asks what may be absent, and a missing value elsewhere.
ABSENCE: Final = frozenset({"none", "nil", "无", "没有"})
MAY_BE_ABSENT: Final = re.compile(
    r"\b(?:any|how many|abnormal\w*|lesions?|findings?|diseases?|patholog\w+|fractures?|injur\w+"
    r"|complications?|anomal\w+|mass(?:es)?|tumou?rs?|nodules?|devices?|tubes?|implants?|defects?"
    r"|treatments?|medications?|contraindications?|allerg\w+|signs?|evidence|wrong|changes?"
    r"|metasta\w+|symptoms?|art[ei]facts?|foreign|surger\w+|malformations?|ha?emorrhages?"
    r"|effusions?|deformit\w+|enhancement|calcifications?)\b"
    r"|异常|病变|病灶|疾病|骨折|几个|多少|哪些|有什么|有何|并发症|肿|结节|积液|改变|症状|征象|伪影|损伤|出血",
    re.IGNORECASE,
)
_LATIN_TAG: Final = re.compile(r"en\b|english", re.IGNORECASE)
_CJK_TAG: Final = re.compile(r"zh|chinese|cn\b|中文|汉语", re.IGNORECASE)


def tokens(text: str) -> list[str]:
    """Return the words, numbers and single Chinese characters of a text, in lower case."""
    spaced = CJK.sub(r" \g<0> ", text) if is_cjk(text) else text
    return WORDS.findall(spaced.casefold())


def script(text: str) -> str | None:
    """Return `cjk` or `latin`; None for a text too short to decide."""
    characters = len(CJK.findall(text))
    if not characters:
        # An abbreviation such as CT suits both scripts: prose needs some words.
        words = islice(LATIN_WORD.finditer(text), LATIN_PROSE)
        return "latin" if sum(1 for _ in words) == LATIN_PROSE else None
    return "cjk" if characters >= len(LATIN_WORD.findall(text)) else None


def expected_script(language: str | None) -> str | None:
    """Return the script that a language tag promises; None for neither, or for no tag."""
    if language is None:
        return None
    if _CJK_TAG.match(language):
        return "cjk"
    return "latin" if _LATIN_TAG.match(language) else None
