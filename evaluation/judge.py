"""A model that judges replies: in columns of its own, never part of a score."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal

import pyarrow as pa
from pydantic import field_validator

from evaluation.generators.endpoint import EndpointGenerator
from evaluation.prompts import lettered
from evaluation.records import ORIGINAL
from medsift import records
from medsift.config import Config
from medsift.errors import UsageError
from medsift.models.generation.request import Request
from medsift.replies.reasoning import without_reasoning
from medsift.storage.table_cache import TableCache

JUDGE_VERSION: Final = 1
"""Raised when equal replies are put to the judge otherwise."""
BATCH: Final = 256
"""Replies judged between two writes to the cache."""
PLACES: Final = ("question", "gold", "reply")
PLACE: Final = re.compile(r"\{(question|gold|reply)\}")
SCORE_LINE: Final = re.compile(r"\s*score\s*:\s*(0|0\.5|1)\s*", re.IGNORECASE)
PROMPT: Final = """\
You grade an answer to a question about a medical image against the right answer.

Question: {question}
Right answer: {gold}
Answer to grade: {reply}

Grade by meaning and not by wording: 1 when it says the same as the right answer, 0.5 when it is \
right in part, 0 when it is wrong, contradicts itself or says nothing.
Reply with one line and nothing else, "score: 0", "score: 0.5" or "score: 1"."""
READ: Final = ("answer_type", "question", "options", "gold", "reply")
JUDGED: Final = pa.schema([("content_id", pa.string()), ("judge_reply", pa.string())])
logger = logging.getLogger(__name__)


class JudgeConfig(Config):
    """Settings of the judge: an endpoint, what it is asked, and about which answers."""

    endpoint: EndpointGenerator
    prompt: str = PROMPT
    """What is asked, with {question}, {gold} and {reply} in it."""
    answer_types: tuple[Literal["open", "closed", "choice"], ...] = ("open",)
    """Types of the answers that are judged; the rest have no verdict."""

    @field_validator("prompt")
    @classmethod
    def _complete(cls, prompt: str) -> str:
        if missing := set(PLACES) - set(PLACE.findall(prompt)):
            raise ValueError(f"{{{min(missing)}}} is not in it; a judge needs all of {PLACES}")
        return prompt

    def fingerprint(self) -> str:
        """Identity of what the judge says to one question."""
        return records.fingerprint([JUDGE_VERSION, self.endpoint.fingerprint()])


def judge(predictions: pa.Table, config: JudgeConfig, cache: Path) -> pa.Table:
    """Add `judge` (0 to 1, or null) and `judge_reply` to predictions, in place of old ones.

    Each distinct (question, gold, reply) is asked once, and never again while `cache` lasts. No
    reply, or a blank one, is worth 0 unasked. Null is a verdict that cannot be read, one that
    the endpoint did not give, and a row of another answer type.

    Raises UsageError for missing columns, ModelError as the endpoint does, StorageError.
    """
    if lacking := [name for name in READ if name not in predictions.column_names]:
        raise UsageError(
            f"predictions lack {', '.join(lacking)}; a judge needs {', '.join(READ)}",
            code="predictions_incomplete",
        )
    asked = [_prompt(line, config) for line in predictions.select(list(READ)).to_pylist()]
    said = _ask({_id(prompt): prompt for prompt in asked if prompt}, config, cache)
    replies = [said.get(_id(prompt)) if prompt else None for prompt in asked]
    verdicts = [
        read_verdict(reply or "") if prompt else None if prompt is None else 0.0
        for prompt, reply in zip(asked, replies, strict=True)
    ]
    judged = [verdict for prompt, verdict in zip(asked, verdicts, strict=True) if prompt]
    if missing := judged.count(None):
        logger.warning("of %d replies %d have no verdict that can be read", len(judged), missing)
    kept = [name for name in predictions.column_names if name not in ("judge", "judge_reply")]
    table = predictions.select(kept).append_column("judge", pa.array(verdicts, pa.float64()))
    return table.append_column("judge_reply", pa.array(replies, pa.string()))


def read_verdict(reply: str) -> float | None:
    """The score in a judge's reply; None unless it is plain.

    Either the whole reply is a JSON object whose `score` is a number from 0 to 1, or its lines
    `score: 0`, `score: 0.5` or `score: 1` agree. Reasoning before it is left out.
    """
    text = without_reasoning(reply).strip()
    if text.startswith("{"):
        return _in_object(text)
    found = {float(line[1]) for line in map(SCORE_LINE.fullmatch, text.splitlines()) if line}
    return found.pop() if len(found) == 1 else None


def _in_object(text: str) -> float | None:
    try:
        score = json.loads(text).get("score")
    except (ValueError, RecursionError):
        return None
    return float(score) if type(score) in (int, float) and 0 <= score <= 1 else None


def _prompt(line: Mapping[str, Any], config: JudgeConfig) -> str | None:
    """What the judge is asked of a row: nothing ("") without a reply, None of other types."""
    if line["answer_type"] not in config.answer_types:
        return None
    if not (line["reply"] or "").strip():
        return ""
    words = {
        "question": "\n".join([line["question"] or "", *lettered(line["options"])]),
        "gold": line["gold"],
        "reply": line["reply"],
    }
    return PLACE.sub(lambda place: words[place[1]], config.prompt)


def _ask(prompts: Mapping[str, str], config: JudgeConfig, cache: Path) -> dict[str, str]:
    """What the judge says to each prompt, by id; nothing where the endpoint gave no reply."""
    kept = TableCache(cache / "judge", config.fingerprint())
    known = kept.lookup(list(prompts))
    said = dict(zip(*(known[name].to_pylist() for name in known.column_names), strict=True))
    left = [key for key in prompts if key not in said]
    if not left:
        return said
    judging = config.endpoint.build(pa.table({}))
    for start in range(0, len(left), BATCH):
        batch = left[start : start + BATCH]
        turns = {key: (("user", prompts[key]),) for key in batch}
        replies = judging.generate(
            [Request("judge", key, ORIGINAL, turn) for key, turn in turns.items()]
        )
        fresh = {
            key: reply.text
            for key, reply in zip(batch, replies, strict=True)
            if reply.text is not None
        }
        columns = [list(fresh), list(fresh.values())]
        kept.append(pa.table(columns, schema=JUDGED))
        said |= fresh
    return said


def _id(prompt: str) -> str:
    return records.digest("judge", prompt)
