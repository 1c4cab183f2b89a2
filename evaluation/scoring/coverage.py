"""Whether predictions answer the items they should: each once, none missing, none unknown."""

from __future__ import annotations

from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from evaluation.records import ORIGINAL
from medsift.errors import UsageError

ITEM: Final = ("benchmark", "item_id")
REPLY: Final = ("evaluation_id", *ITEM, "variant")


def check_once(predictions: pa.Table) -> None:
    """Raise UsageError where an evaluation replies twice to one variant of an item.

    Tables without `evaluation_id` or `variant` are one evaluation of the original items.
    """
    keys = _with_variant(predictions)
    names = [name for name in REPLY if name in keys.column_names]
    counted = keys.select(names).group_by(names).aggregate([([], "count_all")])
    _refuse_twice(counted, names, "predictions")


def check_coverage(predictions: pa.Table, items: pa.Table) -> None:
    """Raise UsageError where predictions are about unknown items, or original items have none.

    A perturbation need not apply to every item, so only the originals must be complete, in every
    evaluation.
    """
    _refuse_twice(items.group_by(list(ITEM)).aggregate([([], "count_all")]), ITEM, "items")
    wanted = items.select(list(ITEM))
    keys = _with_variant(predictions)
    unknown = keys.select(list(ITEM)).join(wanted, list(ITEM), join_type="left anti")
    said = [_found(unknown, "{} predictions are about unknown items")]
    for name, originals in _originals(keys):
        missing = wanted.join(originals, list(ITEM), join_type="left anti")
        said.append(_found(missing, f"{{}} of {wanted.num_rows:,} items have no reply{name}"))
    if any(said):
        raise UsageError(
            f"{'; '.join(filter(None, said))}: predictions and items must be of one benchmark, "
            "and an interrupted evaluation must be finished before it is scored",
            code="predictions_incomplete",
        )


def first_of(rows: pa.Table, names: tuple[str, ...] | list[str] = ITEM) -> str:
    """The least of some rows in words, whatever their order."""
    least = rows.select(list(names)).sort_by([(name, "ascending") for name in names]).slice(0, 1)
    return " ".join(str(value) for value in least.to_pylist()[0].values() if value is not None)


def _with_variant(predictions: pa.Table) -> pa.Table:
    """Predictions with their variant named; null is the original."""
    if "variant" not in predictions.column_names:
        return predictions
    named = pc.coalesce(predictions["variant"], pa.scalar(ORIGINAL))
    return predictions.set_column(predictions.column_names.index("variant"), "variant", named)


def _originals(keys: pa.Table) -> list[tuple[str, pa.Table]]:
    """Items with an original reply, of each evaluation, with words that tell it apart."""
    originals = keys
    if "variant" in keys.column_names:
        originals = keys.filter(pc.equal(keys["variant"], ORIGINAL))
    if "evaluation_id" not in keys.column_names:
        return [("", originals.select(list(ITEM)))]
    names = sorted(pc.unique(keys["evaluation_id"]).to_pylist(), key=str)
    parts = []
    for name in names or [None]:
        own = (
            pc.equal(originals["evaluation_id"], name)
            if name
            else pc.is_null(originals["evaluation_id"])
        )
        words = f" in evaluation {name}" if name else ""
        parts.append((words, originals.filter(own).select(list(ITEM))))
    return parts


def _refuse_twice(counted: pa.Table, names: tuple[str, ...] | list[str], what: str) -> None:
    twice = counted.filter(pc.greater(counted["count_all"], 1))
    if twice.num_rows:
        raise UsageError(
            f"{twice.num_rows:,} {what} stand there more than once, first "
            f"{first_of(twice, names)}; pass each once",
            code="predictions_incomplete",
        )


def _found(rows: pa.Table, words: str) -> str | None:
    """Words with the number of rows and the first of them, None where there are no rows."""
    if not rows.num_rows:
        return None
    return f"{words.format(f'{rows.num_rows:,}')}, first {first_of(rows)}"
