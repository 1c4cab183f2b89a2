"""Turn rows into samples, or into ledger entries with the reason; each row on its own."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import pyarrow as pa
from pydantic import Field

from curation.privacy.quick_look import TEXT_NOTE, identifiers
from curation.sources.row_faults import FOREIGN, bad_row
from medsift import records
from medsift.config import Config
from medsift.options import split_options
from medsift.replies.reasoning import answer_after_reasoning
from medsift.text import clean, normalise_answer
from medsift.vocabulary import IMAGE_MARK, Split, plain_split

LOWERED: Final = ("split", "modality", "body_part", "answer_type", "language")
YES_NO: Final = frozenset({"yes", "no", "是", "否", "不是", "有", "没有", "无"})
Turn = Mapping[str, Any]


class IngestConfig(Config):
    """Settings of the rules that a row must meet to become a sample."""

    max_chars: int = Field(default=200_000, ge=1)
    """Most characters of all messages of a sample together; longer samples are dropped."""
    splits: dict[str, Split] = Field(default_factory=dict)
    """Splits of other names, for example `train_sft: train`; `train`, `validation`, `test` and
    their usual spellings (`val`, `dev`, `training` …) need no entry."""


@dataclass(frozen=True, slots=True)
class IngestResult:
    """Samples (``SAMPLES``, without sample and image ids) and the decisions on all other rows.

    `rows_in` is the number of samples and decisions together.
    """

    samples: pa.Table
    decisions: pa.Table
    rows_in: int


@dataclass(eq=False)
class _Refusal(Exception):
    """A row that becomes no sample; raised and caught in this file alone."""

    action: str
    reason: str
    detail: str | None = None
    value: float | None = None
    threshold: float | None = None


def ingest(rows: pa.Table, config: IngestConfig) -> IngestResult:
    """Turn ``ROWS`` into samples; what becomes of a row depends on that row alone."""
    samples: list[dict[str, Any]] = []
    refused: list[dict[str, Any]] = []
    for row in rows.to_pylist():
        try:
            samples.append(_sample(row, config))
            continue
        except _Refusal as error:
            refusal = error
        except FOREIGN as error:
            bad = bad_row(row["index"], error)
            refusal = _Refusal(records.FAILED, bad.error, bad.detail)
        refused.append(records.decision(row["row_id"], "ingest", **asdict(refusal)))
    table = pa.Table.from_pylist(samples, schema=records.SAMPLES)
    return IngestResult(table, records.decisions(refused), rows.num_rows)


def _sample(row: Mapping[str, Any], config: IngestConfig) -> dict[str, Any]:
    if row["error"] is not None:
        raise _Refusal(records.FAILED, row["error"], row["detail"])
    raw = row["messages"] or []
    _check_roles([turn["role"] for turn in raw])
    length = sum(len(turn["content"] or "") for turn in raw)
    if length > config.max_chars:
        raise _Refusal(records.DROPPED, "too_long", None, float(length), float(config.max_chars))
    notes = list(row["notes"] or [])
    refs = [ref for ref in row["images"] or [] if ref]
    turns = _settle_markers(_cleaned(raw, notes), len(refs), notes)
    _check_contents(raw, turns)
    # Duplicates compare whole turns; two trains of thought to one answer are no contradiction.
    answer = answer_after_reasoning(turns[-1]["content"])
    tags = {tag: _tag(tag, row[tag]) for tag in records.TAGS}
    if (split := tags["split"]) is not None:
        named = {word.casefold(): to for word, to in config.splits.items()}
        tags["split"] = named.get(split.casefold(), plain_split(split))
    question = next(turn["content"] for turn in turns if turn["role"] == "user")
    if IMAGE_MARK in question:
        question = question.replace(IMAGE_MARK, " ").strip()
    tags["answer_type"] = _answer_type(row, tags["answer_type"], question, answer, notes)
    texts = {"question": question, "answer": answer, "messages": turns, "notes": notes}
    kept = {name: row[name] for name in ("row_id", "source", "extra")}
    return {"sample_id": None, **kept, **tags, **texts, "refs": refs, "images": None}


def _check_roles(roles: Sequence[str | None]) -> None:
    talk = roles[1:] if roles[:1] == ["system"] else roles
    if not talk:
        raise _Refusal(records.FAILED, "missing_question", "the row has no turns")
    wanted = ["user", "assistant"] * (len(talk) // 2)
    if list(talk) != wanted:
        detail = (
            f"turns are {', '.join(map(str, roles[:8]))}; wanted: at most one system turn, then"
        )
        raise _Refusal(records.FAILED, "bad_turns", f"{detail} user and assistant in turn")


def _cleaned(turns: Sequence[Turn], notes: list[str]) -> list[dict[str, str]]:
    """Return the turns with clean texts; corrections and identifiers are added to `notes`."""
    first = next(place for place, turn in enumerate(turns) if turn["role"] == "user")
    cleaned = []
    for place, turn in enumerate(turns):
        text, corrections = clean(turn["content"] or "")
        name = {first: "question", len(turns) - 1: "answer"}.get(place, f"turn {place}")
        flags = [TEXT_NOTE] if identifiers(text) else []
        notes += [f"{name}: {note}" for note in (*corrections, *flags)]
        cleaned.append({"role": turn["role"], "content": text})
    return cleaned


def _settle_markers(
    turns: list[dict[str, str]], images: int, notes: list[str]
) -> list[dict[str, str]]:
    """Remove markers that only say "the pictures come first", so that equal samples stay equal.

    Markers that place each picture inside the conversation stay.
    """
    markers = sum(turn["content"].count(IMAGE_MARK) for turn in turns)
    if markers > images:
        detail = f"{markers} {IMAGE_MARK} markers, {images} images"
        raise _Refusal(records.FAILED, "image_markers", detail, float(markers), float(images))
    if markers == 0:
        return turns
    first = next(turn for turn in turns if turn["role"] == "user")
    leading = re.match(rf"(?:\s*{IMAGE_MARK})+", first["content"])
    ahead = leading.group().count(IMAGE_MARK) if leading else 0
    if markers == images and ahead < images:
        return turns
    if markers < images:
        notes.append(f"question: {markers} {IMAGE_MARK} markers for {images} images removed")
    return [{**turn, "content": turn["content"].replace(IMAGE_MARK, "").strip()} for turn in turns]


def _check_contents(raw: Sequence[Turn], turns: Sequence[Mapping[str, str]]) -> None:
    talk = turns[1:] if turns[0]["role"] == "system" else turns
    if not talk[0]["content"].replace(IMAGE_MARK, "").strip():
        raise _Refusal(records.FAILED, "missing_question")
    if not talk[-1]["content"]:
        empty = not raw[-1]["content"]
        raise _Refusal(records.DROPPED, "empty_answer" if empty else "blank_answer")
    for place, turn in enumerate(talk):
        if not turn["content"]:
            raise _Refusal(records.FAILED, "bad_turns", f"turn {place} ({turn['role']}) is empty")


def _tag(name: str, value: str | None) -> str | None:
    if value is None:
        return None
    text, _ = clean(value)
    folded = " ".join(text.split())
    return (folded.lower() if name in LOWERED else folded) or None


def _answer_type(
    row: Mapping[str, Any], tag: str | None, question: str, answer: str, notes: list[str]
) -> str:
    raw = row["answer_type"]
    if tag in records.ANSWER_TYPES:
        if raw != raw.strip():
            notes.append(f"answer_type: {raw!r} trimmed")
        if tag == "closed" and normalise_answer(answer) not in YES_NO:
            notes.append("answer_type: closed, but the answer is not yes or no")
        return tag
    if tag is not None:
        notes.append(f"answer_type: {raw!r} is none of {', '.join(records.ANSWER_TYPES)}")
    extra = row["extra"]
    has_options = extra and '"options"' in extra and json.loads(extra).get("options")
    return infer_answer_type(question, answer, bool(has_options))


def infer_answer_type(question: str, answer: str, options: bool = False) -> str:
    """Return `closed` for a yes or no (English, Chinese), `choice` for options, else `open`."""
    if options:
        return "choice"
    if normalise_answer(answer) in YES_NO:
        return "closed"
    listed = split_options(question)[1]
    return "choice" if len(listed) > 1 and all(listed) else "open"
