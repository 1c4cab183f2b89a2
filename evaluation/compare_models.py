"""Two evaluated models side by side: differences by benchmark and answer type, with verdicts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from evaluation.records import ORIGINAL
from medsift.errors import UsageError
from medsift.statistics import Comparison, Resampling, paired
from medsift.statistics.paired import check_margin

ALL: Final = "all"
ANSWER_TYPE: Final = "answer_type"


def compare_models(
    first: pa.Table,
    second: pa.Table,
    margin: float,
    metric: str = "score",
    variant: str = ORIGINAL,
    resampling: Resampling | None = None,
) -> list[dict[str, Any]]:
    """Compare scored predictions of two evaluations, item by item, on the benchmarks both have.

    Returns a line for each benchmark, all of it and each of its answer types.

    Args:
        first: predictions of the model that is to be no worse.
        second: predictions of the model it is compared with.
        margin: how much worse still counts as no worse, in (0, 1).
        metric: column to compare, in [0, 1]; rows where it is null for both are left out.
        variant: the variant compared.
        resampling: draws and seed of the bootstrap.

    Raises:
        UsageError: no benchmark in common, other protocols, an unknown metric, or items that do
            not match.
    """
    check_margin(margin)
    arms = [_arm(table, metric, variant) for table in (first, second)]
    protocols = [_values(arm, "protocol") for arm in arms]
    if protocols[0] != protocols[1]:
        raise UsageError(
            f"one model is scored by {', '.join(protocols[0])}, the other by "
            f"{', '.join(protocols[1])}; score one of them again: "
            "medsift rescore --protocol … --save",
            code="models_not_comparable",
            protocols=protocols,
        )
    shared = sorted(set(_values(arms[0], "benchmark")) & set(_values(arms[1], "benchmark")))
    if not shared:
        raise UsageError(
            f"the models share no benchmark: {', '.join(_values(arms[0], 'benchmark'))} and "
            f"{', '.join(_values(arms[1], 'benchmark'))}; evaluate both on one",
            code="models_not_comparable",
            benchmarks=[_values(arm, "benchmark") for arm in arms],
        )
    return [
        _line(benchmark, kind, paired(one, other, margin, metric, resampling))
        for benchmark in shared
        for kind, (one, other) in _parts(arms, benchmark)
    ]


def _parts(arms: list[pa.Table], benchmark: str) -> Iterator[tuple[str, list[pa.Table]]]:
    """All items of a benchmark, then those of each answer type where there are several."""
    own = [arm.filter(pc.equal(arm["benchmark"], benchmark)) for arm in arms]
    yield ALL, own
    kinds = _values(own[0], ANSWER_TYPE)
    for kind in kinds if len(kinds) > 1 else ():
        yield kind, [arm.filter(pc.equal(arm[ANSWER_TYPE], kind)) for arm in own]


def _arm(table: pa.Table, metric: str, variant: str) -> pa.Table:
    if metric not in table.column_names or not pa.types.is_floating(table[metric].type):
        floats = [one.name for one in table.schema if pa.types.is_floating(one.type)]
        raise UsageError(
            f"metric {metric!r} is none of {', '.join(floats)}",
            code="metric_unknown",
            metric=metric,
            known=floats,
        )
    same = pc.equal(pc.fill_null(table["variant"], ORIGINAL), variant)
    arm = table.filter(pc.and_(same, pc.is_valid(table[metric])))
    if not arm.num_rows:
        raise UsageError(
            f"there are no predictions with {metric} of variant {variant!r}",
            code="metric_unknown",
            metric=metric,
            variant=variant,
        )
    return arm


def _line(benchmark: str, answer_type: str, found: Comparison) -> dict[str, Any]:
    difference, test = found.difference, found.mcnemar
    return {
        "benchmark": benchmark,
        "answer_type": answer_type,
        "n": difference.n,
        "clusters": difference.clusters,
        "first": difference.first,
        "second": difference.second,
        "difference": difference.value,
        "low": difference.low,
        "high": difference.high,
        "non_inferiority": found.non_inferiority,
        "superiority": found.superiority,
        "only_first_right": test.only_first if test else None,
        "only_second_right": test.only_second if test else None,
        "mcnemar_p": test.p if test else None,
    }


def _values(table: pa.Table, column: str) -> list[str]:
    return sorted(value for value in pc.unique(table[column]).to_pylist() if value is not None)
