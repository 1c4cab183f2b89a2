"""Define what every protocol shares: the answer key of an item, the verdict, the known faults."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

PARSED: Final = "parsed"
UNPARSED: Final = "unparsed"
# Characters of a span that an explanation keeps: the answer and its sentence.
SPAN_CHARACTERS: Final = 200

FAULTS: Final = {
    "substring": "yes and no are sought inside words: 'nodule' and 'abnormal' hold a 'no'",
    "whole_string": "a closed answer must be the whole reply, letter for letter",
    "lost_box": "a reply that says 'boxed' without a closed box is read as the word 'None'",
    "closest_option": "an unreadable reply is credited to the option most similar as a string",
    "swapped_columns": "precision holds F1, recall holds precision, F1 holds recall",
    "empty_reply": "an empty reply stops the kit with an error",
    "dropped": "a wrong yes/no reply leaves the mean instead of counting as wrong",
    "yes_no_only": "a closed reply without yes or no is wrong, whatever was asked",
    "precision_as_exact_match": "'exact match' is the share of the reply's words that are right",
}
"""Faults of the published protocols, by their name in column `fault`."""


class AnswerKey(NamedTuple):
    """What a reply to one item is scored against; `options` is empty where there are none."""

    benchmark: str
    answer_type: str
    gold: str
    options: tuple[str, ...] = ()
    alternatives: tuple[str, ...] = ()
    """Other right answers of an open item."""


class Scored(NamedTuple):
    """A verdict on one reply; the fields are those of ``records.SCORES`` after `protocol`.

    `parsed` is None exactly where `parse_status` is unparsed; `score` is None where the protocol
    leaves the reply out of its mean.
    """

    parsed: str | None
    parse_status: str
    score: float | None
    fault: str | None = None
    exact_match: float | None = None
    token_precision: float | None = None
    token_recall: float | None = None
    token_f1: float | None = None
    bleu_1: float | None = None
    rouge_l: float | None = None
    contains: float | None = None
    explanation: str | None = None


def verdict(
    parsed: str | None, right: bool, fault: str | None = None, explanation: str | None = None
) -> Scored:
    """Return a right or wrong closed or choice answer; one that was not read is unparsed.

    Args:
        parsed: the answer read, None where there is none.
        right: whether it is the right one.
        fault: fault of a published protocol that touched the reply, a key of ``FAULTS``.
        explanation: what `explain` returns.
    """
    status = UNPARSED if parsed is None else PARSED
    return Scored(parsed, status, float(right), fault, explanation=explanation)


def explain(rule: str, span: str, where: str) -> str:
    """Return what was read, as a JSON object: rule or reason, the span, and how it is marked."""
    # An answer is mostly first or last in a long span, so both ends are kept.
    half = SPAN_CHARACTERS // 2
    text = span if len(span) <= SPAN_CHARACTERS else f"{span[:half]} … {span[-half:]}"
    return json.dumps({"rule": rule, "where": where, "span": text}, ensure_ascii=False)


def stands_apart(words: str, text: str) -> bool:
    """Return whether some occurrence of the words touches no letter or digit."""
    return re.search(rf"(?<![^\W_]){re.escape(words)}(?![^\W_])", text) is not None


@dataclass(frozen=True, slots=True)
class Protocol:
    """A way to score: its name, the answer types it has rules for, and the scorer."""

    name: str
    answer_types: tuple[str, ...]
    score: Callable[[AnswerKey, str], Scored]
