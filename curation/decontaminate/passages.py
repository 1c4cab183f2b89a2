"""Digest a conversation passage by passage, so that digests can be compared and shared."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final, NamedTuple

from curation.matching.lettered_options import choices, stem
from curation.neighbors.shingles import canonical, shingles_of
from medsift.records import digest
from medsift.text import normalise_answer, normalise_question

SHINGLE: Final = 3
# Scripts without spaces are counted by characters: two of Chinese or kana to a word, and four of
# Thai, Lao, Khmer or Myanmar, which write vowels as characters of their own.
QUARTERS: Final = 4
_IDEOGRAPH: Final = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|[\U00020000-\U0003ffff]")
_SYLLABIC: Final = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]")
_UNIT: Final = re.compile(
    f"{_IDEOGRAPH.pattern}|{_SYLLABIC.pattern}|(?:(?!{_IDEOGRAPH.pattern}|{_SYLLABIC.pattern})\\S)+"
)
# What introduces a question or an answer where both are in one text: "Q: … A: …".
_LABEL: Final = re.compile(
    r"(?:^|(?<=[\s.?!。?!\"'{,>]))[\"'*#]{0,3}(?:question|answer|q|a|user|assistant|human|gpt|instruction|"
    r"response|问题?|答案?|問題?)[\"'*]{0,3}\s*[:：]",
    re.IGNORECASE | re.MULTILINE,
)
# Vowel points, which Arabic and Hebrew texts may have or leave out.
_POINTS: Final = re.compile("[\u0591-\u05c7\u064b-\u0652\u0670]")
Turn = tuple[str, str]


class Passage(NamedTuple):
    """Digests of one piece of a conversation.

    `question` is the digest of its question in normal form, None where it is no exchange; `whole`
    that of all its words, whoever says them, without "Q:" and "A:". `words` counts those,
    `shingles` and `grams` are 64-bit hashes of their short and long runs. `entire` marks a passage
    that is all of its conversation, system prompts aside.
    """

    question: str | None
    whole: str
    words: int
    entire: bool
    shingles: frozenset[int]
    grams: frozenset[int]


def turns_of(sample: Mapping[str, Any]) -> list[Turn]:
    """Return role and content of a SAMPLES row's turns; of one without, its question and answer."""
    turns = sample["messages"]
    if turns is None:
        return [("user", sample["question"] or ""), ("assistant", sample["answer"] or "")]
    return [(turn["role"], turn["content"] or "") for turn in turns]


def _exchange_passages(talk: Sequence[Turn], gram: int) -> list[Passage]:
    """Digest each question with the answer that follows it.

    One that offers lettered options is digested a second time without them, so that an item is met
    where options were added to its question or taken away, and its letter put in words. Without
    them it is not the whole of its conversation, and must have words enough.
    """
    passages = []
    for (role, question), (other, answer) in pairwise(talk):
        if (role, other) != ("user", "assistant"):
            continue
        passages.append(_passage(question, (question, answer), gram, len(talk) == 2))
        if (bare := stem(question)) != question and bare.strip():
            words = dict(choices(question)).get(normalise_answer(answer), answer)
            passages.append(_passage(bare, (bare, words), gram, False))
    return passages


def item_passages(turns: Sequence[Turn], gram: int) -> list[Passage]:
    """Digest a benchmark item: every exchange, and the conversation.

    Its system prompt, an instruction that all items share, is left out. `gram` is the length of a
    long run, in words.
    """
    talk = [turn for turn in turns if turn[0] != "system"]
    passages = _exchange_passages(talk, gram)
    if len(talk) != 2 or not passages:
        passages.append(_passage(None, [text for _, text in talk], gram, True))
    return passages


def sample_passages(turns: Sequence[Turn], gram: int) -> list[Passage]:
    """Digest a sample for what might repeat an item: every exchange, every turn, and the whole.

    An item's question and answer may be in one turn, in a system prompt, or anywhere between. A
    turn of an exchange has no short runs of its own: an answer that is like an item's, to another
    question, is not the item.
    """
    talk = [turn for turn in turns if turn[0] != "system"]
    passages = _exchange_passages(talk, gram)
    for role, text in turns:
        alone = _passage(None, (text,), gram, len(talk) == 1)
        passages.append(alone if role == "system" else alone._replace(shingles=frozenset()))
    if len(talk) > 2:
        passages.append(_passage(None, [text for _, text in talk], gram, True))
    return passages


def question_digests(turns: Sequence[Turn]) -> frozenset[str]:
    """Return the digests of every question of a conversation, as passages have them."""
    return frozenset(_question_digest(text) for role, text in turns if role == "user")


def _question_digest(text: str) -> str:
    return digest("question", normalise_question(text))


def _passage(question: str | None, texts: Sequence[str], gram: int, entire: bool) -> Passage:
    said = [_POINTS.sub("", _LABEL.sub(" ", text)) for text in texts]
    folded = [normalise_question(said[0]), *map(normalise_answer, said[1:])] if said else []
    text = canonical("\n".join(folded))
    units = _UNIT.findall(text)
    sizes = [
        2 if _IDEOGRAPH.match(unit) else 1 if _SYLLABIC.match(unit) else QUARTERS for unit in units
    ]
    return Passage(
        question=None if question is None else _question_digest(question),
        whole=digest("whole", text),
        words=-(-sum(sizes) // QUARTERS),
        entire=entire,
        shingles=frozenset(map(_hash, shingles_of(text, SHINGLE))) if text else frozenset(),
        grams=frozenset(_hash(" ".join(run)) for run in _runs(units, sizes, gram * QUARTERS)),
    )


def _runs(units: Sequence[str], sizes: Sequence[int], least: int) -> Iterator[Sequence[str]]:
    """Yield from each unit on the shortest run of units whose sizes sum to `least` or more."""
    stop = total = 0
    for start in range(len(units)):
        while total < least and stop < len(units):
            total += sizes[stop]
            stop += 1
        if total < least:
            return
        yield units[start:stop]
        total -= sizes[start]


def _hash(run: str) -> int:
    return int.from_bytes(hashlib.blake2b(run.encode(), digest_size=8).digest(), "little")
