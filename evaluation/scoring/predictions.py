"""Score a table of predictions: each distinct reply once, whatever the order of the rows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from evaluation.records import SCORES
from evaluation.scoring import PROTOCOLS
from evaluation.scoring.choice import LETTERS
from evaluation.scoring.coverage import ITEM, check_coverage, check_once, first_of
from evaluation.scoring.scored import AnswerKey, Protocol, Scored
from medsift.errors import InputError, UsageError

Places = npt.NDArray[np.int64]

READ: Final = ("benchmark", "item_id", "answer_type", "options", "gold", "reply")
EXTRA: Final = "extra"
"""Column that may hold an item's other right answers; tables without it have none."""
APART: Final = "\x1f"
"""Joins options to one text, and so may stand in none."""
BLOCK: Final = 8_192
"""Rows a chunk of the output: 32-bit offsets hold so many replies of 100,000 characters."""


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
    rules = _rules(protocol)
    _check_columns(table)
    check_once(table)
    if items is not None:
        check_coverage(table, items)
    _check_items(table, rules)
    rows = _wide(table)
    firsts, places = _distinct(rows)
    scored = list(_score_each(rows.take(firsts), rules))
    return _with_scores(table, protocol, scored, places)


def _rules(protocol: str) -> Protocol:
    if protocol not in PROTOCOLS:
        raise UsageError(
            f"protocol {protocol!r} is unknown; choose one of {', '.join(PROTOCOLS)}",
            code="protocol_unknown",
        )
    return PROTOCOLS[protocol]


def _check_columns(table: pa.Table) -> None:
    missing = [name for name in READ if name not in table.column_names]
    if missing:
        raise UsageError(
            f"predictions lack {', '.join(missing)}; they have {', '.join(table.column_names)}",
            code="predictions_incomplete",
        )


def _check_items(table: pa.Table, rules: Protocol) -> None:
    """Refuse rows that no rule can score, naming how many and the first."""
    options, kind = table["options"], table["answer_type"]
    sizes = pc.fill_null(pc.list_value_length(options), 0)
    allowed = pa.array(rules.answer_types)
    _refuse(
        table,
        pc.invert(pc.fill_null(pc.is_in(kind, value_set=allowed), False)),
        f"have an answer_type other than {', '.join(rules.answer_types)}, which is all that "
        f"protocol {rules.name} has rules for; choose another protocol or leave them out",
        UsageError,
    )
    _refuse(table, pc.is_null(table["gold"]), "have no gold answer; correct the benchmark")
    _refuse(
        table,
        pc.and_(pc.equal(kind, "choice"), pc.equal(sizes, 0)),
        "are choices without options; correct the benchmark or store the options",
    )
    _refuse(
        table,
        pc.greater(sizes, len(LETTERS)),
        f"have more than {len(LETTERS)} options; split or shorten them",
    )
    flat = pc.list_flatten(options)
    bad = pc.fill_null(pc.match_substring(flat.cast(pa.large_string()), APART), True)
    _refuse(
        table,
        pc.is_in(_rows(table), value_set=pc.unique(pc.list_parent_indices(options).filter(bad))),
        "have an option that is null or holds the control character U+001F; correct the benchmark",
    )


def _refuse(
    table: pa.Table,
    mask: pa.ChunkedArray | pa.Array,
    words: str,
    error: type[InputError] | type[UsageError] = InputError,
) -> None:
    rows = table.select(list(ITEM)).filter(mask)
    if rows.num_rows:
        raise error(
            f"{rows.num_rows:,} predictions {words}; first {first_of(rows)}",
            code="predictions_incomplete",
        )


def _rows(table: pa.Table) -> pa.Array:
    return pa.array(np.arange(table.num_rows))


def _wide(table: pa.Table) -> pa.Table:
    """The columns scoring reads, texts with 64-bit offsets: long replies pass 2 GB together."""
    options = pa.list_(pa.string())
    kinds = [options if name == "options" else pa.large_string() for name in READ]
    columns = [table[name].cast(kind) for name, kind in zip(READ, kinds, strict=True)]
    return pa.table([*columns, _alternatives(table)], names=[*READ, "alternatives"])


def _alternatives(table: pa.Table) -> pa.Array:
    """Other right answers of each row, joined, from the item's `extra`; null without any."""
    if EXTRA not in table.column_names:
        return pa.nulls(table.num_rows, pa.large_string())
    coded = pc.dictionary_encode(table[EXTRA].cast(pa.large_string()).combine_chunks())
    known = pa.array([_joined(text) for text in coded.dictionary.to_pylist()], pa.large_string())
    return known.take(coded.indices)


def _joined(extra: str) -> str | None:
    """The alternatives that an item's JSON object lists, joined; None without any."""
    if '"alternatives"' not in extra:
        return None
    try:
        listed = json.loads(extra).get("alternatives") or ()
    except (ValueError, AttributeError) as error:
        raise InputError(
            f"extra {extra[:60]!r} is no JSON object: {error}", code="benchmark_unreadable"
        ) from error
    return APART.join(str(one) for one in listed if str(one).strip()) or None


def _distinct(table: pa.Table) -> tuple[Places, Places]:
    """First row of each distinct (item as scored, reply), and each row's place among them (n,)."""
    options = table["options"]
    joined = (pc.binary_join(options, APART), pc.list_value_length(options))
    columns = [
        table[name] for name in ("benchmark", "answer_type", "gold", "reply", "alternatives")
    ]
    places = np.zeros(table.num_rows, np.int64)
    for column in (*joined, *columns):
        codes = _codes(column)
        _, places = np.unique(places * (int(codes.max(initial=0)) + 1) + codes, return_inverse=True)
    _, firsts = np.unique(places, return_index=True)
    return firsts, places


def _codes(column: pa.ChunkedArray) -> Places:
    """A number for each distinct text of a column (n,); null is one of them."""
    whole = column.cast(pa.large_string()).combine_chunks()
    coded = pc.dictionary_encode(whole, null_encoding="encode")
    codes: Places = coded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    return codes


def _score_each(rows: pa.Table, rules: Protocol) -> Iterator[Scored]:
    columns = (rows[name].to_pylist() for name in rows.column_names)
    for benchmark, item_id, kind, options, gold, reply, others in zip(*columns, strict=True):
        alternatives = tuple(others.split(APART)) if others else ()
        item = AnswerKey(benchmark, kind, gold, tuple(options or ()), alternatives)
        try:
            yield rules.score(item, reply or "")
        except InputError as error:
            raise InputError(
                f"{benchmark} {item_id}: {error}", code="benchmark_unreadable"
            ) from error


def _with_scores(table: pa.Table, protocol: str, scored: list[Scored], places: Places) -> pa.Table:
    kept = table.select([name for name in table.column_names if name not in SCORES.names])
    columns = zip(*scored, strict=True) if scored else ((),) * len(Scored._fields)
    kept = kept.append_column(SCORES.field(0), pa.repeat(protocol, table.num_rows))
    for field, values in zip(list(SCORES)[1:], columns, strict=True):
        kept = kept.append_column(field, _spread(values, field.type, places))
    return kept


def _spread(values: tuple[object, ...], kind: pa.DataType, places: Places) -> pa.ChunkedArray:
    """Each row's value, from the values of the distinct replies."""
    wide = pa.large_string() if pa.types.is_string(kind) else kind
    distinct = pa.array(values, wide)
    blocks = range(0, len(places), BLOCK)
    chunks = [distinct.take(pa.array(places[at : at + BLOCK])).cast(kind) for at in blocks]
    return pa.chunked_array(chunks, kind)
