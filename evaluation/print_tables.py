"""The tables that an evaluation prints: each model on each benchmark, and each variant."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import pyarrow as pa

from evaluation.records import ORIGINAL
from evaluation.statistics import remark

ALL: Final = "all"
KINDS: Final = ("closed", "choice", "open")
NO_VALUE: Final = "–"
FOUR_WAY: Final = (
    "consistent_reliant",
    "consistent_unreliant",
    "inconsistent_reliant",
    "inconsistent_unreliant",
)
Figures = Mapping[tuple[str, ...], Mapping[str, Any]]


def headline(lines: pa.Table, metrics: pa.Table) -> pa.Table:
    """One row a benchmark and model: accuracy with its 95% interval, and what it stands on.

    `lines` are those of the manifest's `evaluations`. Accuracy of an open answer is its exact
    match; `f1` is the open answers' token F1.
    """
    figures = _by_place(metrics)
    rows = []
    for line in sorted(lines.to_pylist(), key=lambda one: (one["benchmark"], one["model"])):
        key = (line["evaluation_id"], line["benchmark"], ORIGINAL)
        whole = figures[(*key, ALL, ALL, "accuracy")]
        kinds = [figures.get((*key, "answer_type", kind, "accuracy")) for kind in KINDS]
        rows.append(
            {
                "benchmark": line["benchmark"],
                "model": line["model"],
                "n": whole["n"],
                "images": whole["clusters"],
                "accuracy": _with_interval(whole),
                **{kind: _share(one) for kind, one in zip(KINDS, kinds, strict=True)},
                "f1": _share(figures.get((*key, ALL, ALL, "token_f1"))),
                "judge": _share(figures.get((*key, ALL, ALL, "judge"))),
                "ece": _share(figures.get((*key, ALL, ALL, "ece"))),
                "unparsed": _percent(whole["unparsed_rate"]),
                "unanswered": line["unanswered"],
                "note": remark(whole["n"], whole["clusters"]) or "",
            }
        )
    return _without_empty(pa.Table.from_pylist(rows), ("closed", "choice", "open"))


def variants(lines: pa.Table, metrics: pa.Table) -> pa.Table:
    """One row a benchmark, model and variant: accuracy, what is lost, how many answers change."""
    figures = _by_place(metrics)
    rows = []
    for line in sorted(lines.to_pylist(), key=lambda one: (one["benchmark"], one["model"])):
        for variant in line["variants"]:
            key = (line["evaluation_id"], line["benchmark"], variant, ALL, ALL)
            whole = figures[(*key, "accuracy")]
            rows.append(
                {
                    "benchmark": line["benchmark"],
                    "model": line["model"],
                    "variant": variant,
                    "n": whole["n"],
                    "accuracy": _with_interval(whole),
                    "drop": _with_interval(figures.get((*key, "drop"))),
                    "flips": _percent((figures.get((*key, "flip_rate")) or {}).get("value")),
                    "unparsed": _percent(whole["unparsed_rate"]),
                }
            )
    return pa.Table.from_pylist(rows)


def reliance(lines: pa.Table, metrics: pa.Table) -> pa.Table:
    """One row a benchmark and model: worst case, rotations, grounding and the four-way table."""
    figures = _by_place(metrics)
    rows = []
    for line in sorted(lines.to_pylist(), key=lambda one: (one["benchmark"], one["model"])):
        head = (line["evaluation_id"], line["benchmark"])
        places = {
            "worst_case": ALL,
            "rotation_mean": "rotation",
            "all_rotations_right": "rotation",
            "grounding": "mask_region",
            **dict.fromkeys(FOUR_WAY, ALL),
        }
        found = {
            name: _share(figures.get((*head, variant, ALL, ALL, name)))
            for name, variant in places.items()
        }
        rows.append({"benchmark": line["benchmark"], "model": line["model"], **found})
    return _without_empty(pa.Table.from_pylist(rows), tuple(rows[0])[2:])


def _by_place(metrics: pa.Table) -> Figures:
    names = ("evaluation_id", "benchmark", "variant", "facet", "facet_value", "metric")
    return {
        tuple(str(line[name]) for name in names): line
        for line in metrics.to_pylist()
        if line["facet_value"] is not None
    }


def _with_interval(line: Mapping[str, Any] | None) -> str:
    if line is None or line["value"] is None:
        return NO_VALUE
    if line["low"] is None or line["high"] is None:
        return f"{line['value']:.3f}"
    return f"{line['value']:.3f} [{line['low']:.3f}, {line['high']:.3f}]"


def _share(line: Mapping[str, Any] | None) -> str:
    return NO_VALUE if line is None or line["value"] is None else f"{line['value']:.3f}"


def _percent(share: float | None) -> str:
    return NO_VALUE if share is None else f"{100 * share:.1f}%"


def _without_empty(table: pa.Table, names: tuple[str, ...]) -> pa.Table:
    """The table without columns, of these and of what is often absent, that say nothing."""
    often = {*names, "f1", "judge", "ece", "note"} & set(table.column_names)
    empty = [name for name in often if set(table[name].to_pylist()) <= {NO_VALUE, ""}]
    return table.drop_columns(empty)
