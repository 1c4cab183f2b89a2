"""Choose the worst items of each model: what was asked, with its picture, and the reply."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from string import ascii_uppercase as LETTERS
from typing import TYPE_CHECKING, Final

from evaluation.metrics_table import gold_place
from evaluation.report.format import Excerpt, excerpt
from evaluation.scoring.scored import UNPARSED
from medsift.manifest.any_version import Line, ask
from medsift.manifest.evaluation_queries import EXPLAINED, PAGE_WORST
from medsift.pages.thumbnail import thumbnail

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

MAX_ITEMS: Final = 24
"""Items of a model on the page."""
REPLY: Final = 600
TEXT: Final = 400
OPTION: Final = 160
"""Characters of a reply, another text and an option on the page."""


@dataclass(frozen=True, slots=True)
class Option:
    """One option: its letter and words, whether it is right, and whether the reply named it."""

    letter: str
    text: str
    right: bool
    said: bool


@dataclass(frozen=True, slots=True)
class WorstItem:
    """A wrong or unparsed reply next to its question.

    `picture` is a data URI or None, then `missing` says why; an item without pictures has neither.
    `rule` is the rule that read the answer, or why none was, with where. `said` and `right` are
    probabilities of the answer given and of the right one, where known.
    """

    item_id: str
    tags: list[str]
    question: Excerpt | None
    options: list[Option]
    gold: Excerpt | None
    reply: Excerpt | None
    error: Excerpt | None
    parsed: Excerpt | None
    status: str
    fault: str | None
    rule: str | None
    token_f1: float | None
    said: float | None
    right: float | None
    picture: str | None
    missing: str | None
    pictures: int


@dataclass(frozen=True, slots=True)
class Worst:
    """The worst items of one model on one benchmark, of `found` wrong or unparsed ones."""

    items: list[WorstItem]
    found: int


def read_worst(
    connection: DuckDBPyConnection, run_id: str, chosen: Sequence[str]
) -> dict[tuple[str, str], Worst]:
    """Read at most `MAX_ITEMS` items a model, by evaluation and benchmark, in a fixed order."""
    read_thumbnail = lru_cache(maxsize=None)(thumbnail)
    worst: dict[tuple[str, str], Worst] = {}
    [column] = ask(connection, EXPLAINED)
    sql = PAGE_WORST.format(explanation="explanation" if column["explained"] else "NULL")
    for row in ask(connection, sql, run=run_id, chosen=list(chosen), most=MAX_ITEMS):
        key = (row["evaluation_id"], row["benchmark"])
        item = _item(row, read_thumbnail)
        worst.setdefault(key, Worst([], row["found"])).items.append(item)
    return worst


def _item(row: Line, read_thumbnail: Callable[[str], tuple[str | None, str | None]]) -> WorstItem:
    refs = row["images"] or []
    picture, missing = read_thumbnail(refs[0]) if refs else (None, None)
    right = gold_place(row)
    status = "no reply" if row["reply"] is None else "wrong"
    if row["reply"] is not None and row["parse_status"] == UNPARSED:
        status = UNPARSED
    probabilities = row["probabilities"] or []
    explanation = json.loads(row["explanation"]) if row["explanation"] is not None else None
    return WorstItem(
        item_id=row["item_id"],
        tags=[row[name] for name in ("modality", "task_type", "answer_type") if row[name]],
        question=excerpt(row["question"] or "", TEXT),
        options=[
            Option(letter, text[:OPTION], place == right, letter == row["parsed"])
            for place, (letter, text) in enumerate(zip(LETTERS, row["options"] or (), strict=False))
        ],
        gold=excerpt(row["gold"], TEXT),
        reply=excerpt(row["reply"], REPLY),
        error=excerpt(row["error"], TEXT),
        parsed=excerpt(row["parsed"], TEXT),
        status=status,
        fault=row["fault"],
        rule=f"{explanation['rule']} ({explanation['where']})" if explanation else None,
        token_f1=row["token_f1"],
        said=None if row["parsed"] is None else row["sureness"],
        right=probabilities[right] if right is not None and right < len(probabilities) else None,
        picture=picture,
        missing=missing,
        pictures=len(refs),
    )
