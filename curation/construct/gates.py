"""Refuse reasoning that teaches the wrong thing, although its answer is right."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from pydantic import Field

from curation.meaning import recognise
from medsift.config import Config
from medsift.replies.spans import spans
from medsift.replies.text_overlap import words
from medsift.text import protected_tokens

NGRAM: Final = 4
MODALITIES: Final = {
    "ct": "ct",
    **dict.fromkeys(("mr", "mri"), "mr"),
    **dict.fromkeys(("xray", "x-ray", "radiograph"), "xray"),
    **dict.fromkeys(("us", "ultrasound"), "ultrasound"),
}
"""Tag values and the protected word that names each modality."""
SIDES: Final = frozenset({"left", "right"})
ENDED: Final = re.compile(r"\S[.!。！]\s*\Z")
MOST_SENTENCE_TOKENS: Final = 100
"""Tokens of a rewritten answer: one of few words needs no more."""
SIDE_KEYS: Final = ("side", "laterality")
SENTENCE: Final = re.compile(r".+?(?:[.!?。！？\n]|\Z)", re.DOTALL)
_ANSWER: Final = r"(?:answer|label|diagnosis|option|response|solution)"
LABEL_LEAK: Final = re.compile(
    rf"(?:\bas\s(?:given|provided|stated)\sin\sthe\s{_ANSWER}"
    rf"|\b(?:given|provided|reference|stated|supplied|known|gold|ground[\s-]truth)\s(?:correct\s)?{_ANSWER}\b"
    rf"|\b(?:correct|right|true|final)\s{_ANSWER}\s(?:is|was|has\sbeen)\s(?:already\s)?(?:given|provided"
    rf"|stated|supplied|known)\b|\b{_ANSWER}\skey\b|\bground[\s-]truth\b"
    rf"|\b(?:we|i)\s(?:are|am|were|was)\s(?:told|given)\s(?:that\s)?the\s(?:correct\s|right\s)?{_ANSWER}\b"
    rf"|\bsince\sthe\s(?:correct|right)\s{_ANSWER}\sis\b"
    r"|(?:给定|提供|参考|标准|已知)(?:的)?(?:正确)?答案)",
    re.IGNORECASE,
)


class GatesConfig(Config):
    """Settings of what is refused although its answer is right."""

    repetition: float = Field(0.3, gt=0.0, le=1.0)
    """Share of runs of four words that occur before: as many, and the reasoning is refused."""
    min_tokens: int = Field(30, ge=0)
    """Fewest tokens of a reasoning."""
    max_tokens: int = Field(1500, ge=1)
    """Most tokens of a reasoning."""


def find_faults(
    reasoning: str, tokens: int, tags: Mapping[str, Any], question: str, gates: GatesConfig
) -> list[str]:
    """Return why a reasoning is refused, as codes in a fixed order; empty for a good one.

    Args:
        reasoning: the reasoning alone.
        tokens: its tokens.
        tags: `modality`, `language` and `extra` (JSON) of the sample, each may be missing.
        question: what was asked; reasoning in another language is refused.
        gates: the limits.
    """
    if not reasoning.strip():
        return ["no_reasoning"]
    checks = {
        "label_leak": LABEL_LEAK.search(reasoning) is not None,
        "answer_first": answers_first(reasoning),
        "repetition": repeated_share(reasoning) >= gates.repetition,
        "too_short": tokens < gates.min_tokens,
        "too_long": tokens > gates.max_tokens,
        "tag_conflict": contradicts_tags(reasoning, tags),
        "other_language": speaks_otherwise(reasoning, question, tags.get("language")),
    }
    return [code for code, refused in checks.items() if refused]


def find_sentence_faults(
    text: str, tokens: int, tags: Mapping[str, Any], question: str
) -> list[str]:
    """Return why a rewritten answer is refused, as codes in a fixed order; empty for a good one.

    Args:
        text: the sentence.
        tokens: its tokens.
        tags: as for `find_faults`.
        question: what was asked; a sentence in another language is refused.
    """
    checks = {
        "label_leak": LABEL_LEAK.search(text) is not None,
        "no_sentence": ENDED.search(text) is None or len(text.split("\n")) > 1,
        "too_long": tokens > MOST_SENTENCE_TOKENS,
        "tag_conflict": contradicts_tags(text, tags),
        "other_language": speaks_otherwise(text, question, tags.get("language")),
    }
    return [code for code, refused in checks.items() if refused]


def repeated_share(text: str) -> float:
    """Return the share of runs of four words that occur earlier in the text, from 0 to 1."""
    said = words(text)
    runs = [said[at : at + NGRAM] for at in range(len(said) - NGRAM + 1)]
    return 1.0 - len(set(runs)) / len(runs) if runs else 0.0


def answers_first(reasoning: str) -> bool:
    """Return whether the first sentence states an answer, so that the reasoning only defends it."""
    first = SENTENCE.match(reasoning.strip())
    if first is None or len(first[0]) >= len(reasoning.strip()):
        return False
    return any(span.where not in ("whole reply", "correction") for span in spans(first[0]))


def contradicts_tags(reasoning: str, tags: Mapping[str, Any]) -> bool:
    """Return whether a text names modalities or sides, but never those of the sample's tags."""
    said = set(protected_tokens(reasoning))
    own = MODALITIES.get((tags.get("modality") or "").strip().casefold())
    named = said & set(MODALITIES.values())
    if own is not None and named and own not in named:
        return True
    side = _side(tags)
    return side is not None and bool(said & SIDES) and side not in said


def speaks_otherwise(reasoning: str, question: str, tag: str | None) -> bool:
    """Return whether reasoning and question are in two languages that are both recognised."""
    asked, said = recognise(question, tag), recognise(reasoning)
    return asked is not None and said is not None and asked != said


def _side(tags: Mapping[str, Any]) -> str | None:
    """Return the side that the sample's tags or further columns state, or None."""
    extra = tags.get("extra")
    facts = {"laterality": tags.get("laterality"), **(json.loads(extra) if extra else {})}
    stated = (str(facts[key]).strip().casefold() for key in SIDE_KEYS if facts.get(key))
    return next((side for side in stated if side in SIDES), None)
