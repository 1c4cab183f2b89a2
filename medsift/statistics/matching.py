"""Bring the predictions of several models to one order of the same items, or refuse."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from medsift.errors import UsageError

NAMES: Final = ("first", "second")
APART: Final = "\x1f"


def match_items(arms: Sequence[Sequence[pa.Table]], score: str) -> list[list[pa.Table]]:
    """Sort every table by item, after checking that all have the very same items, each once.

    Raises UsageError naming how many items are twice, missing, unknown or about another picture,
    and the first of them.
    """
    if not all(arms):
        raise UsageError(
            "a comparison needs predictions of both models; one has none",
            code="models_not_comparable",
        )
    named = [(name, table) for name, arm in zip(NAMES, arms, strict=True) for table in arm]
    for name, table in named:
        if missing := sorted({"benchmark", "item_id", score} - set(table.schema.names)):
            raise _unlike(
                f"the {name} model's predictions lack {', '.join(missing)}; they have "
                f"{', '.join(table.schema.names)}",
                model=name,
                missing=missing,
            )
    keys = [_keys(table) for _, table in named]
    orders = [pc.sort_indices(key) for key in keys]
    keys = [key.take(order) for key, order in zip(keys, orders, strict=True)]
    tables = [table.take(order) for (_, table), order in zip(named, orders, strict=True)]
    for (name, _), key, table in zip(named, keys, tables, strict=True):
        _check_once(name, key)
        _check_same(name, keys[0], key)
        _check_pictures(name, tables[0], table)
    return [tables[: len(arms[0])], tables[len(arms[0]) :]]


def _keys(table: pa.Table) -> pa.ChunkedArray:
    """Return one string (n,) for each row's item."""
    if "variant" not in table.schema.names:
        table = table.append_column("variant", pa.nulls(table.num_rows, pa.string()))
    variant = pc.coalesce(table["variant"].cast(pa.string()), "original")
    parts = (table["benchmark"].cast(pa.string()), variant, table["item_id"].cast(pa.string()))
    keys = pc.binary_join_element_wise(*parts, APART).combine_chunks()
    if keys.null_count:
        raise _unlike(
            f"{keys.null_count:,} predictions name no benchmark or item; name both in every row",
            unnamed=keys.null_count,
        )
    return keys


def _check_once(name: str, keys: pa.Array) -> None:
    # Keys are sorted, so that equal ones are neighbours.
    twice = np.flatnonzero(pc.equal(keys[1:], keys[:-1]).to_numpy(zero_copy_only=False))
    if len(twice):
        first = _item_words(keys[int(twice[0])])
        raise _unlike(
            f"the {name} model replies {len(twice):,} times more than once to an item, first to "
            f"{first}; pass one evaluation of each",
            model=name,
            twice=len(twice),
            first=first,
        )


def _check_same(name: str, expected: pa.Array, keys: pa.Array) -> None:
    missing = expected.filter(pc.invert(pc.is_in(expected, value_set=keys)))
    unknown = keys.filter(pc.invert(pc.is_in(keys, value_set=expected)))
    faults = []
    if len(missing):
        faults.append(
            f"lacks {len(missing):,} of {len(expected):,} items, first {_item_words(missing[0])}"
        )
    if len(unknown):
        faults.append(f"has {len(unknown):,} unknown items, first {_item_words(unknown[0])}")
    if faults:
        raise _unlike(
            f"against the first model's items, the {name} model {' and '.join(faults)}; compare "
            "models on the same items",
            model=name,
            missing=len(missing),
            unknown=len(unknown),
            first=_item_words((missing if len(missing) else unknown)[0]),
        )


def _check_pictures(name: str, expected: pa.Table, table: pa.Table) -> None:
    if not {"image_id"} <= set(expected.schema.names) & set(table.schema.names):
        return
    other = pc.not_equal(expected["image_id"], table["image_id"])
    changed = table["item_id"].filter(pc.fill_null(other, False))
    if len(changed):
        raise _unlike(
            f"{len(changed):,} items of the {name} model show another picture, first "
            f"{changed[0].as_py()}; the benchmark has changed between the two evaluations: "
            "evaluate both models again",
            model=name,
            changed=len(changed),
            first=changed[0].as_py(),
        )


def _unlike(message: str, **values: Any) -> UsageError:
    return UsageError(message, code="models_not_comparable", **values)


def _item_words(key: pa.Scalar) -> str:
    """Return benchmark and item; the variant only where it is not the original."""
    benchmark, variant, item = key.as_py().split(APART)
    return f"{benchmark} {item}" + ("" if variant == "original" else f" ({variant})")
