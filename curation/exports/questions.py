"""Write questions for a policy to answer as one Parquet file, each trainer in its own columns.

A question is a sample of one user turn with its answer, after a system turn or none. Samples of
several turns have no single question and are left out with a warning.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from curation.exports.croissant import table_fields
from curation.exports.export_format import ExportFormat, Json
from curation.exports.lineage import Lineage
from curation.exports.pictures import Pictures
from curation.exports.row_groups import GROUP_ROWS, grouped, picture_cells
from curation.exports.turns import (
    FACTS,
    NUMBERS,
    Line,
    Turn,
    facts,
    marked_turns,
    spells_other_mark,
)
from medsift.options import split_options
from medsift.replies.reasoning import without_reasoning

logger = logging.getLogger(__name__)

MAX_LISTED: Final = 10
ASKED: Final = ["user", "assistant"]
FACT_TYPES: Final = {name: NUMBERS.get(name, "string") for name in FACTS}

Entry = Callable[[Line, list[Turn], int], Json]
"""Makes an entry of a sample, the turns before its answer, and its place; without pictures."""


def question_format(name: str, columns: Mapping[str, Any], entry: Entry) -> ExportFormat:
    """Return the format of a trainer.

    Args:
        name: of the format.
        columns: its columns besides `images`: types as `datasets` names them, lists and structs.
        entry: makes an entry.
    """
    return ExportFormat(
        name,
        folder=False,
        write=partial(_write, columns=columns, entry=entry),
        media_type="application/x-parquet",
        fields=table_fields,
    )


def answer_of(line: Line) -> str:
    """Return the right answer of a sample, without reasoning in front of it."""
    return without_reasoning(line["messages"][-1]["content"] or "").strip()


def options_of(line: Line) -> list[str]:
    """Return the options of a choice without their letters; none of other questions."""
    asked = line["messages"][-2]["content"] or ""
    return split_options(asked)[1] if line["answer_type"] == "choice" else []


def _write(
    batches: Iterator[pa.Table],
    target: Path,
    lineage: Lineage,
    pictures: Pictures,
    columns: Mapping[str, Any],
    entry: Entry,
) -> int:
    """Write one row for each question; return their number."""
    from datasets import Features, Image, List
    from pyarrow.parquet import ParquetWriter

    schema = Features(_features(columns) | {"images": List(Image())}).arrow_schema
    left_out: list[str] = []
    numbers = count()

    def entries() -> Iterator[Json]:
        for line in (line for batch in batches for line in batch.to_pylist()):
            if not _is_question(line):
                left_out.append(line["row_id"])
                continue
            made = entry(line, marked_turns(line)[:-1], next(numbers))
            yield made | {"images": picture_cells(line, pictures)}

    rows = 0
    with ParquetWriter(target, schema) as writer:
        for group in grouped(entries()):
            table = pa.Table.from_pylist(group, schema=schema)
            writer.write_table(table, row_group_size=GROUP_ROWS)
            rows += table.num_rows
    if left_out:
        logger.warning(
            "%d samples are left out: several turns, no answer, or a text with <video> or <audio>,"
            " which trainers take for a mark: %s",
            len(left_out),
            ", ".join(left_out[:MAX_LISTED]) + (" …" if len(left_out) > MAX_LISTED else ""),
        )
    return rows


def _is_question(line: Line) -> bool:
    roles = [turn["role"] for turn in line["messages"]]
    if roles[-2:] != ASKED or any(role != "system" for role in roles[:-2]):
        return False
    return bool(answer_of(line)) and not spells_other_mark(line)


def _features(columns: Any) -> Any:
    """Return types with their names as `datasets` has them."""
    from datasets import List, Value

    if isinstance(columns, str):
        return Value(columns)
    if isinstance(columns, list):
        return List(_features(columns[0]))
    return {name: _features(inside) for name, inside in columns.items()}


def with_facts(line: Line, **columns: Any) -> Json:
    """Return columns, and after them ids, rank, weight, stratum and tags."""
    return columns | facts(line)
