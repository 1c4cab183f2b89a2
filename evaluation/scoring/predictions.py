"""Score a table of predictions: each distinct reply once, whatever the order of the rows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from evaluation.records import SCORES
from evaluation.scoring import PROTOCOLS
from evaluation.scoring.coverage import ITEM_KEY, check_coverage, check_once, first_of
from evaluation.scoring.scored import AnswerKey, Protocol, Scored
from medsift.arrays import Indices
from medsift.errors import InputError, UsageError
from medsift.replies.choice import LETTERS
from medsift.statistics.clusters import check_columns

READ: Final = ("benchmark", "item_id", "answer_type", "options", "gold", "reply")
EXTRA: Final = "extra"
"""Column that may have an item's other right answers; tables without it have none."""
APART: Final = "\x1f"
"""Joins options to one text, and so may be in none of them."""
BLOCK: Final = 8_192
"""Rows a chunk of the output: 32-bit offsets address so many replies of 100,000 characters."""


def score_predictions(table: pa.Table, protocol: str, items: pa.Table | None = None) -> pa.Table:
    """Add the columns of ``records.SCORES`` to predictions, in place of old ones.

    Args:
        table: rows with at least the columns in ``READ``; a null or empty reply is unparsed. Where
            there is `extra`, its `alternatives` are right answers of open items too.
        protocol: a name in ``PROTOCOLS``.
        items: ``ITEMS`` that must all be answered, and no others.

    Raises:
        UsageError: an unknown protocol, one without rules for an answer type, missing columns,
            an item answered twice, missing or unknown items.
        InputError: an item that nothing can be scored against.
    """
    if protocol not in PROTOCOLS:
        raise UsageError(
            f"protocol {protocol!r} is unknown; choose one of {', '.join(PROTOCOLS)}",
            code="protocol_unknown",
            protocol=protocol,
            allowed=list(PROTOCOLS),
        )
    rules = PROTOCOLS[protocol]
    check_columns(table, READ)
    check_once(table)
    if items is not None:
        check_coverage(table, items)
    _check_items(table, rules)
    # Texts get 64-bit offsets: long replies pass 2 GB together.
    columns = {name: table[name].cast(pa.large_string()) for name in READ if name != "options"}
    columns["options"] = table["options"].cast(pa.list_(pa.string()))
    columns["alternatives"] = _alternatives(table)
    rows = pa.table(columns)
    firsts, places = _distinct(rows)
    scored = list(_score_each(rows.take(firsts), rules))
    kept = table.select([name for name in table.column_names if name not in SCORES.names])
    kept = kept.append_column(SCORES.field(0), pa.repeat(protocol, table.num_rows))
    verdicts = zip(*scored, strict=True) if scored else ((),) * len(Scored._fields)
    for field, values in zip(list(SCORES)[1:], verdicts, strict=True):
        wide = pa.large_string() if pa.types.is_string(field.type) else field.type
        distinct = pa.array(values, wide)
        chunks = [
            distinct.take(pa.array(places[start : start + BLOCK])).cast(field.type)
            for start in range(0, len(places), BLOCK)
        ]
        kept = kept.append_column(field, pa.chunked_array(chunks, field.type))
    return kept


def _check_items(table: pa.Table, rules: Protocol) -> None:
    """Refuse rows that no rule can score, naming how many and the first."""
    kinds, options, allowed = table["answer_type"], table["options"], ", ".join(rules.answer_types)
    known = pc.fill_null(pc.is_in(kinds, value_set=pa.array(rules.answer_types)), False)
    sizes = pc.fill_null(pc.list_value_length(options), 0)
    texts = pc.list_flatten(options).cast(pa.large_string())
    bad = pc.fill_null(pc.match_substring(texts, APART), True)
    parents = pc.unique(pc.list_parent_indices(options).filter(bad))
    faults = (
        (
            pc.invert(known),
            "answer_type",
            f"have an answer_type other than {allowed}, which is all that protocol {rules.name} "
            "has rules for; choose another protocol or leave them out",
        ),
        (pc.is_null(table["gold"]), "gold", "have no gold answer; correct the benchmark"),
        (
            pc.and_(pc.equal(kinds, "choice"), pc.equal(sizes, 0)),
            "options",
            "are choices without options; correct the benchmark or store the options",
        ),
        (
            pc.greater(sizes, len(LETTERS)),
            "options",
            f"have more than {len(LETTERS)} options; split or shorten them",
        ),
        (
            pc.is_in(pa.array(np.arange(table.num_rows)), value_set=parents),
            "options",
            "have an option that is null or has the control character U+001F; correct the "
            "benchmark",
        ),
    )
    for mask, column, words in faults:
        rows = table.select(ITEM_KEY).filter(mask)
        if rows.num_rows:
            # The protocol is the caller's choice; everything else is the benchmark's fault.
            error = UsageError if column == "answer_type" else InputError
            first = first_of(rows)
            raise error(
                f"{rows.num_rows:,} predictions {words}; first {first}",
                code="predictions_incomplete",
                column=column,
                rows=rows.num_rows,
                first=first,
            )


def _alternatives(table: pa.Table) -> pa.Array:
    """Return other right answers of each row, joined, from the item's `extra`; null without any."""
    if EXTRA not in table.column_names:
        return pa.nulls(table.num_rows, pa.large_string())
    # Each distinct text is parsed once: variants and models share an item's `extra`.
    coded = pc.dictionary_encode(table[EXTRA].cast(pa.large_string()).combine_chunks())
    joined: list[str | None] = []
    for extra in coded.dictionary.to_pylist():
        listed: Any = ()
        if '"alternatives"' in extra:
            try:
                listed = json.loads(extra).get("alternatives") or ()
            except (ValueError, AttributeError) as error:
                raise InputError(
                    f"extra {extra[:60]!r} is no JSON object: {error}; correct the benchmark",
                    code="benchmark_unreadable",
                    column=EXTRA,
                    value=extra[:60],
                ) from error
        joined.append(APART.join(str(text) for text in listed if str(text).strip()) or None)
    return pa.array(joined, pa.large_string()).take(coded.indices)


def _distinct(rows: pa.Table) -> tuple[Indices, Indices]:
    """Return the first row of each distinct (item as scored, reply), and each row's place (n,)."""
    # The length goes with the joined options: one empty option and none join to the same text.
    columns = [pc.binary_join(rows["options"], APART), pc.list_value_length(rows["options"])]
    names = ("benchmark", "answer_type", "gold", "reply", "alternatives")
    places = np.zeros(rows.num_rows, np.int64)
    for column in (*columns, *(rows[name] for name in names)):
        text = column.cast(pa.large_string()).combine_chunks()
        # A missing reply and an empty one are two values.
        coded = pc.dictionary_encode(text, null_encoding="encode")
        codes = coded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
        # Renumbered after each column, so that the product never leaves 64 bits.
        _, places = np.unique(places * (int(codes.max(initial=0)) + 1) + codes, return_inverse=True)
    _, firsts = np.unique(places, return_index=True)
    return firsts, places


def _score_each(rows: pa.Table, rules: Protocol) -> Iterator[Scored]:
    columns = (rows[name].to_pylist() for name in (*READ, "alternatives"))
    for benchmark, item_id, kind, options, gold, reply, others in zip(*columns, strict=True):
        alternatives = tuple(others.split(APART)) if others else ()
        item = AnswerKey(benchmark, kind, gold, tuple(options or ()), alternatives)
        try:
            yield rules.score(item, reply or "")
        except InputError as error:
            raise InputError(
                f"{benchmark} {item_id}: {error}",
                code=error.code,
                **error.values | {"item": f"{benchmark} {item_id}"},
            ) from error
