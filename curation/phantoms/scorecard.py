"""Compare planted defects with what a run did to their rows."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa

from curation.phantoms.defects import DROPPED, FLAGGED, KEPT
from medsift.errors import InputError
from medsift.manifest.table import tables

DUPLICATE_REASONS: Final = frozenset(
    {"exact_copy", "same_sample", "image_copy", "paraphrase", "near_text", "semantic"}
)
DUPLICATES: Final = "duplicates"

[_SCORECARD] = tables("""
TABLE scorecard | what a run did to planted rows
kind* VARCHAR | the defect; duplicates in the last line
expected* VARCHAR | what a run should do with the rows
planted* BIGINT | rows with the defect
found* BIGINT | those whose fate is the expected one
recall DOUBLE | found / planted
removed* BIGINT | rows dropped or failed
precision DOUBLE | of the last line alone
""")
SCORECARD: Final = _SCORECARD.arrow_schema()


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
    for row in (line[name] for line in planted for name in ("row_index", "original_row_index")):
        if row is not None and row not in actions:
            raise InputError(
                f"row {row} of the truth has no fate: give all of samples.jsonl, kept ones too",
                code="fate_missing",
                row=row,
            )
    groups = _groups(planted)
    kinds = dict.fromkeys(line["kind"] for line in planted)
    lines = [
        _score(kind, [line for line in planted if line["kind"] == kind], fates, groups)
        for kind in kinds
    ]
    repeated = [line for line in planted if _is_duplicate_line(line)]
    dropped = fates.duplicates
    per_group = Counter(groups[row] for row in dropped if row in groups)
    spared = sum(min(count, len(group) - 1) for group, count in per_group.items())
    # Of all rows dropped as duplicates, planted or not.
    overall = {"removed": len(dropped), "precision": spared / len(dropped) if dropped else None}
    lines.append(_score(DUPLICATES, repeated, fates, groups) | overall)
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


def _score(
    kind: str, lines: list[dict[str, Any]], fates: RowSets, groups: dict[int, frozenset[int]]
) -> dict[str, Any]:
    found = sum(_is_found(line, fates, groups) for line in lines)
    return {
        "kind": kind,
        "expected": lines[0]["expected"] if lines else DROPPED,
        "planted": len(lines),
        "found": found,
        "recall": found / len(lines) if lines else None,
        "removed": sum(line["row_index"] not in fates.kept for line in lines),
    }
