"""Say which rows have another fate in another run or selection, and why."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from curation.compare.table import number
from medsift.errors import UsageError
from medsift.manifest import read, resolve_run, resolve_selection
from medsift.manifest.fate_changes import CHANGES, Side, fate_changes
from medsift.text import escaped

SHOWN: Final = 20


@dataclass(frozen=True, slots=True)
class Difference:
    """The rows whose fate differs between two runs or selections.

    Attributes:
        before: The run, or the selection, that is compared with.
        after: The other one.
        rows: One line for each row: change, the fate before (action, stage, reason, witness,
            explanation) and after (with `other_`), and what became of the witnesses.
        counts: One line for each kind of change, by action and reason before and after.
    """

    before: Side
    after: Side
    rows: pa.Table
    counts: pa.Table

    def to_dict(self, limit: int | None = None) -> dict[str, Any]:
        """Return JSON-able values, with at most `limit` rows."""
        rows = self.rows if limit is None else self.rows.slice(0, limit)
        return {
            **{name: _named(side) for name, side in (("a", self.before), ("b", self.after))},
            "changed": self.rows.num_rows,
            "counts": self.counts.to_pylist(),
            "rows": rows.to_pylist(),
        }

    def __str__(self) -> str:
        """Return the counts and the first rows as aligned text."""
        return difference_table(self)


def difference(before: Side, after: Side) -> Difference:
    """Compare the fates of all rows of two sides.

    Raises:
        ManifestError: a side has no manifest, no such run or no such selection.
    """
    before, after = _resolved(before), _resolved(after)
    rows, counts = fate_changes(before, after)
    return Difference(before, after, rows, counts)


def last_two_runs(manifest: Path) -> tuple[str, str]:
    """Return the newest run of a manifest and, before it, the one that it followed.

    Raises:
        UsageError: the manifest has a single run.
    """
    sql = "SELECT run_id FROM runs ORDER BY created_at DESC, run_id DESC LIMIT 2"
    runs = read(manifest, sql)["run_id"].to_pylist()
    if len(runs) < 2:
        message = (
            f"{manifest} has {len(runs)} run, so there is nothing to compare; name a second run "
            "directory, or two selections"
        )
        raise UsageError(message, code="runs_too_few", runs=len(runs))
    return runs[1], runs[0]


def difference_table(found: Difference, limit: int = SHOWN, width: int | None = None) -> str:
    """Return the counts by kind of change and the first `limit` rows as aligned text.

    Args:
        found: What differs.
        limit: Rows to show.
        width: Characters of a line; as many as needed when not given.
    """
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    out = io.StringIO()
    console = Console(file=out, width=width or 1_000_000, no_color=True, legacy_windows=False)
    total = found.rows.num_rows
    console.print(Text(f"{total:,} rows have another fate"))
    for title, head, lines in (_counts(found), _rows(found, limit)):
        if lines:
            grid = Table(title=Text(title), title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
            for name in head:
                right = "right" if name == "rows" else "left"
                grid.add_column(Text(name), justify=right, overflow="fold")  # type: ignore[arg-type]
            for line in lines:
                grid.add_row(*(Text(escaped(cell)) for cell in line))
            console.print(grid)
    if total > limit:
        console.print(Text(f"{total - limit:,} more rows: --limit shows more, --json all"))
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()).strip("\n") + "\n"


Grid = tuple[str, Sequence[str], list[list[str]]]


def _counts(found: Difference) -> Grid:
    lines = [
        [
            line["change"],
            number(line["rows"]),
            _fate(line["action"], line["reason"]),
            _fate(line["other_action"], line["other_reason"]),
            CHANGES[line["change"]],
        ]
        for line in found.counts.to_pylist()
    ]
    return "By kind of change", ["change", "rows", "before", "after", "meaning"], lines


def _rows(found: Difference, limit: int) -> Grid:
    lines = [
        [
            line["row_id"],
            line["change"],
            line["explanation"] or line["action"],
            line["other_explanation"] or line["other_action"],
            _because(line),
        ]
        for line in found.rows.slice(0, limit).to_pylist()
    ]
    return "Rows", ["row", "change", "before", "after", "its witness"], lines


def _fate(action: str, reason: str | None) -> str:
    return action if reason is None else f"{action}: {reason}"


def _because(line: dict[str, Any]) -> str:
    """Say what became of the rows that this one was, or is, dropped for."""
    words = []
    if line["witness"] is not None:
        words.append(f"{line['witness']} is now {line['witness_is_now']}")
    if line["other_witness"] is not None and line["other_witness"] != line["witness"]:
        words.append(f"{line['other_witness']} was {line['other_witness_was']} before")
    return "; ".join(words)


def _resolved(side: Side) -> Side:
    run_id = resolve_run(side.manifest, side.run_id or None)
    if side.selection is not None:
        resolve_selection(side.manifest, side.selection, run_id)
    return Side(side.manifest, run_id, side.selection)


def _named(side: Side) -> dict[str, Any]:
    return {
        "manifest": str(side.manifest),
        "run_id": side.run_id,
        "selection": side.selection,
    }
