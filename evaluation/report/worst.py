"""The worst items of each model: what was asked, with its picture, and what came back."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from string import ascii_uppercase as LETTERS
from typing import TYPE_CHECKING, Final

from evaluation.metrics_table import gold_place
from evaluation.records import ORIGINAL
from evaluation.report.format import Excerpt, excerpt
from evaluation.scoring.scored import UNPARSED
from medsift.manifest.any_version import Line, ask
from medsift.pages.thumbnail import thumbnail

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

SHOWN: Final = 24
REPLY: Final = 600
TEXT: Final = 400
OPTION: Final = 160

# Wrong answers of which the model was surest come first; then what could not be read; then what
# shares the fewest words with the right answer. The probability of an answer is that of the option
# it names; where that is not known, of the likeliest one. Benchmarks of a model take turns.
# Replies may be long and many: they are read of the chosen items alone.
KNOWN: Final = """
SELECT count(*) > 0 AS explained FROM duckdb_columns()
WHERE table_name = 'predictions' AND column_name = 'explanation'
  AND database_name = current_database()
"""
# Manifests before layout 4 explain no score.
WORST: Final = f"""
WITH wrong AS (
    SELECT evaluation_id, benchmark, item_id, parse_status, token_f1, probabilities, CASE
        WHEN len(options) > 0 AND length(parsed) = 1 AND ascii(parsed) - 64 BETWEEN 1 AND 26
            THEN ascii(parsed) - 64
        WHEN len(options) > 0 THEN list_position([lower(trim(one)) for one in options], parsed)
        WHEN parsed IN ('yes', 'no') THEN 1 + (parsed = 'no')::INTEGER
    END AS place
    FROM predictions
    WHERE run_id = $run AND list_contains($chosen, evaluation_id)
      AND coalesce(variant, '{ORIGINAL}') = '{ORIGINAL}'
      AND (score < 1 OR parse_status = '{UNPARSED}')
), sure AS (
    SELECT *, coalesce(list_extract(probabilities, place), list_max(probabilities)) AS sureness,
           CASE WHEN parse_status = '{UNPARSED}' THEN 1
                WHEN sureness IS NOT NULL THEN 0 ELSE 2 END AS kind
    FROM wrong
), ranked AS (
    SELECT evaluation_id, benchmark, item_id, sureness, count(*) OVER own AS found,
           row_number() OVER (own ORDER BY kind, CASE WHEN kind = 0 THEN -sureness END,
                              CASE WHEN kind = 2 THEN coalesce(token_f1, 0) END, item_id) AS turn
    FROM sure WINDOW own AS (PARTITION BY evaluation_id, benchmark)
), chosen AS (
    SELECT * FROM ranked
    QUALIFY row_number() OVER (PARTITION BY evaluation_id ORDER BY turn, benchmark) <= {SHOWN}
)
SELECT evaluation_id, benchmark, item_id, question, options, gold, images, reply, error,
       probabilities, parsed, parse_status, token_f1, fault, {{explanation}}, modality, task_type,
       answer_type,
       sureness, found
FROM chosen JOIN predictions USING (evaluation_id, benchmark, item_id)
WHERE run_id = $run AND coalesce(variant, '{ORIGINAL}') = '{ORIGINAL}'
ORDER BY evaluation_id, benchmark, turn
"""


@dataclass(frozen=True, slots=True)
class Option:
    """One option: its letter and words, whether it is right, and whether the reply named it."""

    letter: str
    text: str
    right: bool
    said: bool


@dataclass(frozen=True, slots=True)
class Item:
    """A wrong or unparsed reply next to its question.

    `picture` is a data URI or None, then `missing` says why; an item without pictures has neither.
    `said` and `right` are probabilities of the answer given and of the right one, where known.
    """

    item_id: str
    tags: list[str]
    question: Excerpt
    options: list[Option]
    gold: Excerpt
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

    items: list[Item]
    found: int


def read_worst(
    connection: DuckDBPyConnection, run_id: str, chosen: Sequence[str]
) -> dict[tuple[str, str], Worst]:
    """At most `SHOWN` items a model, by evaluation and benchmark, in a fixed order."""
    look = lru_cache(maxsize=None)(thumbnail)
    found: dict[tuple[str, str], Worst] = {}
    [known] = ask(connection, KNOWN)
    column = "explanation" if known["explained"] else "NULL AS explanation"
    for line in ask(connection, WORST.format(explanation=column), run=run_id, chosen=list(chosen)):
        key = (line["evaluation_id"], line["benchmark"])
        found.setdefault(key, Worst([], line["found"])).items.append(_item(line, look))
    return found


def _item(line: Line, look: Callable[[str], tuple[str | None, str | None]]) -> Item:
    refs = line["images"] or []
    picture, missing = look(refs[0]) if refs else (None, None)
    right = gold_place(line)
    return Item(
        item_id=line["item_id"],
        tags=[line[name] for name in ("modality", "task_type", "answer_type") if line[name]],
        question=excerpt(line["question"] or "", TEXT),
        options=_options(line, right),
        gold=excerpt(line["gold"], TEXT),
        reply=_excerpt(line["reply"], REPLY),
        error=_excerpt(line["error"], TEXT),
        parsed=_excerpt(line["parsed"], TEXT),
        status=_status(line),
        fault=line["fault"],
        rule=_rule(line["explanation"]),
        token_f1=line["token_f1"],
        said=None if line["parsed"] is None else line["sureness"],
        right=_probability(line["probabilities"], right),
        picture=picture,
        missing=missing,
        pictures=len(refs),
    )


def _rule(explanation: str | None) -> str | None:
    """The rule that read the answer or the reason why none was, and how the span is marked."""
    if explanation is None:
        return None
    told = json.loads(explanation)
    return f"{told['rule']} ({told['where']})"


def _excerpt(text: str | None, limit: int) -> Excerpt | None:
    return None if text is None else excerpt(text, limit)


def _options(line: Line, right: int | None) -> list[Option]:
    return [
        Option(letter, excerpt(text, OPTION).text, place == right, letter == line["parsed"])
        for place, (letter, text) in enumerate(zip(LETTERS, line["options"] or (), strict=False))
    ]


def _status(line: Line) -> str:
    if line["reply"] is None:
        return "no reply"
    return UNPARSED if line["parse_status"] == UNPARSED else "wrong"


def _probability(probabilities: list[float] | None, place: int | None) -> float | None:
    known = probabilities or []
    return known[place] if place is not None and place < len(known) else None
