"""Bring the predictions of several models to one order of the same items, or refuse."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from medsift.errors import UsageError

ITEM = ("benchmark", "variant", "item_id")
NAMES = ("first", "second")
_APART = "\x1f"


def match_items(arms: Sequence[Sequence[pa.Table]], score: str) -> list[list[pa.Table]]:
    """Sort every table by item, having seen that all hold the very same items, each once.

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
        _check_columns(name, table, score)
    keys = [_keys(table) for _, table in named]
    ordered = [
        table.take(pc.sort_indices(key)) for (_, table), key in zip(named, keys, strict=True)
    ]
    sorted_keys = [key.take(pc.sort_indices(key)) for key in keys]
    for (name, _), key, table in zip(named, sorted_keys, ordered, strict=True):
        _check_once(name, key)
        _check_same(name, sorted_keys[0], key)
        _check_pictures(name, ordered[0], table)
    return [ordered[: len(arms[0])], ordered[len(arms[0]) :]]


def _check_columns(name: str, table: pa.Table, score: str) -> None:
    missing = [
        column for column in ("benchmark", "item_id", score) if column not in table.schema.names
    ]
    if missing:
        raise UsageError(
            f"the {name} model's predictions lack {', '.join(missing)}; they have "
            f"{', '.join(table.schema.names)}",
            code="models_not_comparable",
        )


def _keys(table: pa.Table) -> pa.Array:
    """One string (n,) for each row's item."""
    variant = (
        table["variant"]
        if "variant" in table.schema.names
        else pa.nulls(table.num_rows, pa.string())
    )
    parts = [table["benchmark"], pc.coalesce(variant, pa.scalar("original")), table["item_id"]]
    joined = pc.binary_join_element_wise(*(part.cast(pa.string()) for part in parts), _APART)
    whole = joined.combine_chunks() if isinstance(joined, pa.ChunkedArray) else joined
    if whole.null_count:
        raise UsageError(
            f"{whole.null_count:,} predictions name no benchmark or item; name all",
            code="models_not_comparable",
        )
    return whole


def _check_once(name: str, keys: pa.Array) -> None:
    """Sorted keys: none stands next to its like."""
    twice = np.flatnonzero(pc.equal(keys[1:], keys[:-1]).to_numpy(zero_copy_only=False))
    if len(twice):
        raise UsageError(
            f"the {name} model replies {len(twice):,} times more than once to an item, first to "
            f"{_shown(keys[int(twice[0])])}; pass one evaluation of each",
            code="models_not_comparable",
        )


def _check_same(name: str, expected: pa.Array, keys: pa.Array) -> None:
    missing = expected.filter(pc.invert(pc.is_in(expected, value_set=keys)))
    unknown = keys.filter(pc.invert(pc.is_in(keys, value_set=expected)))
    said = []
    if len(missing):
        said.append(
            f"lacks {len(missing):,} of {len(expected):,} items, first {_shown(missing[0])}"
        )
    if len(unknown):
        said.append(f"has {len(unknown):,} unknown items, first {_shown(unknown[0])}")
    if said:
        raise UsageError(
            f"against the first model's items, the {name} model {' and '.join(said)}; compare "
            "models on the same items",
            code="models_not_comparable",
        )


def _check_pictures(name: str, expected: pa.Table, table: pa.Table) -> None:
    if not {"image_id"} <= set(expected.schema.names) & set(table.schema.names):
        return
    other = pc.not_equal(expected["image_id"], table["image_id"])
    places = np.flatnonzero(pc.fill_null(other, False).to_numpy())
    if len(places):
        item = table["item_id"][int(places[0])].as_py()
        raise UsageError(
            f"{len(places):,} items of the {name} model show another picture, first {item}; the "
            "benchmark has changed between the two evaluations",
            code="models_not_comparable",
        )


def _shown(key: pa.Scalar) -> str:
    """Benchmark and item; the variant only where it is not the original."""
    benchmark, variant, item = key.as_py().split(_APART)
    return f"{benchmark} {item}" + ("" if variant == "original" else f" ({variant})")
