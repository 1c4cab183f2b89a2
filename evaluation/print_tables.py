"""Make the tables that an evaluation prints: each model on each benchmark, and each variant."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import pyarrow as pa

from evaluation.records import ORIGINAL
from evaluation.robustness import FOUR_WAY
from medsift.pages.number_format import NO_VALUE, percent, with_interval
from medsift.statistics import remark
from medsift.statistics.breakdown import ALL

KINDS: Final = ("closed", "choice", "open")
Figures = Mapping[tuple[str, ...], Mapping[str, Any]]


def headline(evaluations: pa.Table, metrics: pa.Table) -> pa.Table:
    """Return one row a benchmark and model: accuracy with its 95% interval, and its size.

    `evaluations` and `metrics` are those of the manifest. Accuracy of an open answer is its exact
    match; `f1` is the open answers' token F1.
    """
    figures = _figures(metrics)
    rows = []
    for row in _ordered(evaluations):
        key = (row["evaluation_id"], row["benchmark"], ORIGINAL)
        accuracy = figures[(*key, ALL, ALL, "accuracy")]
        kinds = {kind: (*key, "answer_type", kind, "accuracy") for kind in KINDS}
        others = {"f1": "token_f1", "judge": "judge", "ece": "ece"}
        shares = kinds | {name: (*key, ALL, ALL, metric) for name, metric in others.items()}
        rows.append(
            {
                "benchmark": row["benchmark"],
                "model": row["model"],
                "n": accuracy["n"],
                "images": accuracy["clusters"],
                "accuracy": _with_interval(accuracy),
                **{name: _share(figures.get(place)) for name, place in shares.items()},
                "unparsed": percent(accuracy["unparsed_rate"]),
                "unanswered": row["unanswered"],
                "note": remark(accuracy["n"], accuracy["clusters"]) or "",
            }
        )
    return _without_empty(pa.Table.from_pylist(rows), (*KINDS, "f1", "judge", "ece", "note"))


def variants(evaluations: pa.Table, metrics: pa.Table) -> pa.Table:
    """Return one row a benchmark, model and variant: accuracy, its drop, and changed answers."""
    figures = _figures(metrics)
    rows = []
    for row in _ordered(evaluations):
        for variant in row["variants"]:
            key = (row["evaluation_id"], row["benchmark"], variant, ALL, ALL)
            accuracy = figures[(*key, "accuracy")]
            rows.append(
                {
                    "benchmark": row["benchmark"],
                    "model": row["model"],
                    "variant": variant,
                    "n": accuracy["n"],
                    "accuracy": _with_interval(accuracy),
                    "drop": _with_interval(figures.get((*key, "drop"))),
                    "flips": percent((figures.get((*key, "flip_rate")) or {}).get("value")),
                    "unparsed": percent(accuracy["unparsed_rate"]),
                }
            )
    return pa.Table.from_pylist(rows)


def reliance(evaluations: pa.Table, metrics: pa.Table) -> pa.Table:
    """Return one row a benchmark and model: worst case, rotations, grounding, four-way table."""
    figures = _figures(metrics)
    variant_of = {
        "worst_case": ALL,
        "rotation_mean": "rotation",
        "all_rotations_right": "rotation",
        "grounding": "mask_region",
        **dict.fromkeys(FOUR_WAY, ALL),
    }
    rows = [
        {"benchmark": row["benchmark"], "model": row["model"]}
        | {
            name: _share(
                figures.get((row["evaluation_id"], row["benchmark"], variant, ALL, ALL, name))
            )
            for name, variant in variant_of.items()
        }
        for row in _ordered(evaluations)
    ]
    return _without_empty(pa.Table.from_pylist(rows), tuple(variant_of))


def _ordered(evaluations: pa.Table) -> list[dict[str, Any]]:
    return sorted(evaluations.to_pylist(), key=lambda row: (row["benchmark"], row["model"]))


def _figures(metrics: pa.Table) -> Figures:
    names = ("evaluation_id", "benchmark", "variant", "facet", "facet_value", "metric")
    return {
        tuple(str(row[name]) for name in names): row
        for row in metrics.to_pylist()
        if row["facet_value"] is not None
    }


def _with_interval(row: Mapping[str, Any] | None) -> str:
    return NO_VALUE if row is None else with_interval(row["value"], row["low"], row["high"])


def _share(row: Mapping[str, Any] | None) -> str:
    return NO_VALUE if row is None or row["value"] is None else f"{row['value']:.3f}"


def _without_empty(table: pa.Table, names: tuple[str, ...]) -> pa.Table:
    """Return the table without those of these columns that are empty in every row."""
    empty = [name for name in names if set(table[name].to_pylist()) <= {NO_VALUE, ""}]
    return table.drop_columns(empty)
