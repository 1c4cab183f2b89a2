"""The result of `ms.deduplicate` and `ms.select`: what happened to each row of a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from curation.table_html import html_table
from curation.table_rows import TableRows
from medsift.errors import UsageError
from medsift.records import DROPPED, FAILED

if TYPE_CHECKING:
    import pyarrow as pa

    from curation.stages.stage import StagesDone

KEPT: Final = "kept"
DETAILS: Final = ("stage", "reason", "witness", "value", "threshold", "detail")


@dataclass(frozen=True, slots=True)
class RowFates:
    """What happened to each row of a table; rows are numbered from 0 in the table's order.

    `kept`, `dropped` and `failed` are tables of the kind that was given. Dropped rows have the
    columns `reason`, `witness` (the number of the kept row that they repeat), `value` and
    `threshold`; failed rows have `reason` and `detail`.
    """

    rows: TableRows = field(repr=False)
    fates: tuple[Mapping[str, Any], ...] = field(repr=False)
    groups: pa.Table = field(repr=False)
    """Groups of duplicates, one line a member: kind, group, row, kept (its number)."""
    conflicts: pa.Table = field(repr=False)
    """Rows that contradict each other: same pictures and question, answers not both right."""

    @property
    def kept(self) -> Any:
        """The rows that stay."""
        return self.rows.take(self._numbers(KEPT))

    @property
    def dropped(self) -> Any:
        """The rows that repeat a kept row, or have nothing to learn from, with the reason."""
        return self._with(DROPPED, "reason", "witness", "value", "threshold")

    @property
    def failed(self) -> Any:
        """The rows that are no samples, such as those without an answer, with the reason."""
        return self._with(FAILED, "reason", "detail")

    def why(self, row: int) -> str:
        """Return what happened to a row, by its number, in words.

        Raises:
            UsageError: the table has no such row.
        """
        if not 0 <= row < len(self.fates):
            raise UsageError(
                f"the table has no row {row}; it has rows 0 to {len(self.fates) - 1}",
                code="row_unknown",
                row=row,
            )
        fate = self.fates[row]
        if fate["action"] == KEPT:
            return f"row {row} was kept"
        action = "failed" if fate["action"] == FAILED else f"was {fate['action']}"
        witness, value, threshold = fate["witness"], fate["value"], fate["threshold"]
        words = f"row {row} {action} in {fate['stage']}: {fate['reason']}"
        if witness is not None:
            words += f" of row {witness}"
        if value is not None:
            words += f" ({'value' if witness is None else 'similarity'} {value:.4g}"
            if threshold is not None:
                words += f" {'≥' if value >= threshold else '<'} {threshold:.4g}"
            words += ")"
        return f"{words}: {fate['detail']}" if fate["detail"] else words

    def _numbers(self, action: str) -> list[int]:
        return [number for number, fate in enumerate(self.fates) if fate["action"] == action]

    def _with(self, action: str, *names: str) -> Any:
        numbers = self._numbers(action)
        more = {name: [self.fates[number][name] for number in numbers] for name in names}
        return self.rows.take(numbers, more)

    def __len__(self) -> int:
        """Count the rows of the table."""
        return len(self.fates)

    def __repr__(self) -> str:
        counts = [f"{len(self._numbers(name)):,} {name}" for name in (KEPT, DROPPED, FAILED)]
        return f"{len(self):,} rows: {', '.join(counts)}"

    def _repr_html_(self) -> str:
        import pyarrow as pa

        fates = ({"row": number, **fate} for number, fate in enumerate(self.fates))
        decided = [fate for fate in fates if fate["action"] != KEPT]
        names = ("row", "action", *DETAILS)
        table = pa.table({name: [fate[name] for fate in decided] for name in names})
        return html_table(table, repr(self))


@dataclass(frozen=True, slots=True)
class SelectedRows(RowFates):
    """The rows of a table that a budget selects, in rank order, and the fate of every row."""

    order: tuple[int, ...] = ()
    """Numbers of the selected rows, the first selected first."""
    weights: tuple[float, ...] = ()
    """Weight of each selected row: the number of rows that it represents."""
    coverage: float | None = None
    """Share of the pool's neighbour graph that the selected rows cover."""

    @property
    def selected(self) -> Any:
        """The selected rows in rank order, with their `weight`."""
        return self.rows.take(self.order, {"weight": self.weights})

    def __repr__(self) -> str:
        covers = "" if self.coverage is None else f", covering {self.coverage:.3f} of the kept"
        # super() without arguments does not work in a dataclass with slots.
        return f"{RowFates.__repr__(self)}; {len(self.order):,} selected{covers}"


def read_fates(
    done: StagesDone, rows: int
) -> tuple[tuple[Mapping[str, Any], ...], pa.Table, pa.Table]:
    """Return the fate of each of `rows` rows, the groups of duplicates and the contradictions."""
    from curation.publish import all_decisions

    kept = {"action": KEPT, **dict.fromkeys(DETAILS)}
    fates: list[Mapping[str, Any]] = [kept] * rows
    for decision in all_decisions(done.stages).to_pylist():
        witness = decision["witness"]
        fates[row_number(decision["row_id"])] = {
            "action": decision["action"],
            **{name: decision[name] for name in DETAILS},
            "witness": None if witness is None else row_number(witness),
        }
    dedup = done.upstream.dedup
    groups = [
        {
            "kind": member["kind"],
            "group": member["group_id"],
            "row": row_number(member["member"]),
            "kept": row_number(member["survivor"]),
            "similarity": member["similarity"],
        }
        for member in dedup.clusters.read().to_pylist()
        # The members of these groups are pictures, not rows.
        if member["kind"] != "image_copy"
    ]
    conflicts = [
        {**conflict, "group": conflict["group_id"], "row": row_number(conflict["row_id"])}
        for conflict in dedup.conflicts_found.read().to_pylist()
    ]
    return tuple(fates), *relations(groups, conflicts)


def relations(
    groups: list[dict[str, Any]], conflicts: list[dict[str, Any]]
) -> tuple[pa.Table, pa.Table]:
    """Return groups and contradictions as tables, whose columns are the same without lines."""
    import pyarrow as pa

    text, number = pa.string(), pa.int64()
    grouped = {"kind": text, "group": text, "row": number, "kept": number}
    group_schema = pa.schema({**grouped, "similarity": pa.float64()})
    contrary = pa.schema({"group": text, "row": number, "question": text, "answer": text})
    return pa.Table.from_pylist(groups, group_schema), pa.Table.from_pylist(conflicts, contrary)


def row_number(row_id: str) -> int:
    """Return the number of a row in its table, which ends its row id."""
    return int(row_id.rpartition(":")[2])
