"""Compare planted defects with what a run did to their rows."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa

from curation.phantoms.defects import DROPPED, FLAGGED, KEPT
from medsift.errors import InputError

DUPLICATE_REASONS: Final = frozenset(
    {"exact_copy", "same_sample", "image_copy", "paraphrase", "near_text", "semantic"}
)
DUPLICATES: Final = "duplicates"

# `found` counts rows whose fate is the expected one, `removed` those dropped or failed. Only the
# last line, `duplicates`, has a precision.
SCORECARD: Final = pa.schema(
    [
        pa.field("kind", pa.string(), nullable=False),
        pa.field("expected", pa.string(), nullable=False),
        pa.field("planted", pa.int64(), nullable=False),
        pa.field("found", pa.int64(), nullable=False),
        pa.field("recall", pa.float64()),
        pa.field("removed", pa.int64(), nullable=False),
        pa.field("precision", pa.float64()),
    ]
)


@dataclass(frozen=True, slots=True)
class RowSets:
    """The action on every row, and the rows of each fate."""

    actions: dict[int, str]
    kept: frozenset[int]
    duplicates: frozenset[int]
    """Rows dropped for repeating another."""
    flagged: frozenset[int]
    """Rows with a reason other than that of a duplicate."""


def scorecard(
    truth: pa.Table, fate: pa.Table, *, duplicate_reasons: Collection[str] = DUPLICATE_REASONS
) -> pa.Table:
    """Score the fate of planted rows: one line per kind, then one for all duplicates.

    `truth` is a phantom set's truth.parquet. `fate` has a line for every row, kept ones too:
    row_index, action (kept, dropped, failed), reason (of a kept row: its flags, or null).

    Either a row or its original may survive, so a planted duplicate counts as found when exactly
    one row of its group was kept. A flagged row is found when it is kept and has a reason; a leaked
    one when it or its original has one, kept or dropped. Precision is the share of the rows
    dropped as duplicates that their group could spare.

    Raises:
        InputError: a row of the truth has no fate.
    """
    rows = fate.column("row_index").to_pylist()
    reasons = dict(zip(rows, fate.column("reason").to_pylist(), strict=True))
    actions = dict(zip(rows, fate.column("action").to_pylist(), strict=True))
    repeats = {row for row, reason in reasons.items() if reason in duplicate_reasons}
    fates = RowSets(
        actions,
        kept=frozenset(row for row in actions if actions[row] == KEPT),
        duplicates=frozenset(row for row in repeats if actions[row] == DROPPED),
        flagged=frozenset(row for row in actions if reasons[row] and row not in repeats),
    )
    planted = truth.to_pylist()
    for line in planted:
        for row in (line["row_index"], line["original_row_index"]):
            if row is not None and row not in actions:
                raise InputError(
                    f"row {row} of the truth has no fate: give every row of samples.jsonl, "
                    "kept ones too",
                    code="fate_missing",
                    row=row,
                )
    groups = _groups(planted)
    lines = [*_kind_lines(planted, fates, groups), _overall(planted, fates, groups)]
    return pa.Table.from_pylist(lines, schema=SCORECARD)


def _is_duplicate_line(line: dict[str, Any]) -> bool:
    return bool(line["expected"] == DROPPED and line["original_row_index"] is not None)


def _groups(planted: list[dict[str, Any]]) -> dict[int, frozenset[int]]:
    """Return the rows that repeat one another, for each row that is or has a planted duplicate.

    An original is never itself a planted duplicate, so its index names the group.
    """
    members: defaultdict[int, set[int]] = defaultdict(set)
    for line in filter(_is_duplicate_line, planted):
        members[line["original_row_index"]] |= {line["original_row_index"], line["row_index"]}
    return {row: frozenset(group) for group in members.values() for row in group}


def _is_found(line: dict[str, Any], fates: RowSets, groups: dict[int, frozenset[int]]) -> bool:
    row, original = line["row_index"], line["original_row_index"]
    if _is_duplicate_line(line):
        return len(fates.kept & groups[row]) == 1
    if line["expected"] != FLAGGED:
        return bool(fates.actions[row] == line["expected"])
    if line["kind"].startswith("leak"):
        return not fates.flagged.isdisjoint((row, original))
    return row in fates.kept and row in fates.flagged


def _kind_lines(
    planted: list[dict[str, Any]], fates: RowSets, groups: dict[int, frozenset[int]]
) -> Iterator[dict[str, Any]]:
    by_kind: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for line in planted:
        by_kind[line["kind"]].append(line)
    for kind, lines in by_kind.items():
        found = sum(_is_found(line, fates, groups) for line in lines)
        yield {
            "kind": kind,
            "expected": lines[0]["expected"],
            "planted": len(lines),
            "found": found,
            "recall": found / len(lines),
            "removed": sum(line["row_index"] not in fates.kept for line in lines),
            "precision": None,
        }


def _overall(
    planted: list[dict[str, Any]], fates: RowSets, groups: dict[int, frozenset[int]]
) -> dict[str, Any]:
    """Score all duplicates together; `removed` counts rows dropped as one, planted or not."""
    lines = [line for line in planted if _is_duplicate_line(line)]
    found = sum(_is_found(line, fates, groups) for line in lines)
    dropped = fates.duplicates
    per_group = Counter(groups[row] for row in dropped if row in groups)
    spared = sum(min(count, len(group) - 1) for group, count in per_group.items())
    return {
        "kind": DUPLICATES,
        "expected": DROPPED,
        "planted": len(lines),
        "found": found,
        "recall": found / len(lines) if lines else None,
        "removed": len(dropped),
        "precision": spared / len(dropped) if dropped else None,
    }
