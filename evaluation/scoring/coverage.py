"""Check that predictions answer the items they should: each once, none missing, none unknown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from evaluation.records import ORIGINAL
from medsift.errors import UsageError

ITEM_KEY: Final = ["benchmark", "item_id"]


def check_once(predictions: pa.Table) -> None:
    """Raise UsageError where an evaluation replies twice to one variant of an item.

    Tables without `evaluation_id` or `variant` are one evaluation of the original items.
    """
    keys = with_variant(predictions)
    names = ["evaluation_id", *ITEM_KEY, "variant"]
    _refuse_twice(keys, [name for name in names if name in keys.column_names], "predictions")


def check_coverage(predictions: pa.Table, items: pa.Table) -> None:
    """Raise UsageError where predictions are about unknown items, or original items have none."""
    _refuse_twice(items, ITEM_KEY, "items")
    wanted, keys = items.select(ITEM_KEY), with_variant(predictions)
    faults: list[str] = []
    values: dict[str, Any] = {}
    unknown = keys.select(ITEM_KEY).join(wanted, ITEM_KEY, join_type="left anti")
    if unknown.num_rows:
        first = first_of(unknown)
        faults.append(f"{unknown.num_rows:,} predictions are about unknown items, first {first}")
        values = {"unknown": unknown.num_rows, "first_unknown": first}
    # A perturbation need not apply to every item: only the originals must be complete, in every
    # evaluation.
    if "variant" in keys.column_names:
        keys = keys.filter(pc.equal(keys["variant"], ORIGINAL))
    for evaluation, originals in _by_evaluation(predictions, keys):
        missing = wanted.join(originals.select(ITEM_KEY), ITEM_KEY, join_type="left anti")
        if missing.num_rows:
            first = first_of(missing)
            where = f" in evaluation {evaluation}" if evaluation else ""
            faults.append(
                f"{missing.num_rows:,} of {wanted.num_rows:,} items have no reply{where}, "
                f"first {first}"
            )
            values |= {"missing": missing.num_rows, "first": first, "evaluation": evaluation}
    if faults:
        raise UsageError(
            f"{'; '.join(faults)}: predictions and items must be of one benchmark, and an "
            "interrupted evaluation must be finished before it is scored",
            code="predictions_incomplete",
            **values,
        )


def first_of(rows: pa.Table, names: Sequence[str] = tuple(ITEM_KEY)) -> str:
    """Return the least of some rows in words, whatever their order."""
    least = rows.select(list(names)).sort_by([(name, "ascending") for name in names]).slice(0, 1)
    return " ".join(str(value) for value in least.to_pylist()[0].values() if value is not None)


def with_variant(predictions: pa.Table) -> pa.Table:
    """Return predictions with their variant named; null is the original."""
    if "variant" not in predictions.column_names:
        return predictions
    named = pc.coalesce(predictions["variant"], pa.scalar(ORIGINAL))
    return predictions.set_column(predictions.column_names.index("variant"), "variant", named)


def _by_evaluation(predictions: pa.Table, keys: pa.Table) -> list[tuple[str | None, pa.Table]]:
    """Return the keys of each evaluation; one without any original still is an evaluation."""
    if "evaluation_id" not in keys.column_names:
        return [(None, keys)]
    column = keys["evaluation_id"].cast(pa.string())
    names = pc.unique(predictions["evaluation_id"]).to_pylist() or [None]
    return [
        (name, keys.filter(pc.is_in(column, value_set=pa.array([name], pa.string()))))
        for name in sorted(names, key=str)
    ]


def _refuse_twice(rows: pa.Table, names: list[str], what: str) -> None:
    counted = rows.select(names).group_by(names).aggregate([([], "count_all")])
    twice = counted.filter(pc.greater(counted["count_all"], 1))
    if twice.num_rows:
        first = first_of(twice, names)
        raise UsageError(
            f"{twice.num_rows:,} {what} occur more than once, first {first}; pass each once",
            code="predictions_incomplete",
            twice=twice.num_rows,
            first=first,
        )
