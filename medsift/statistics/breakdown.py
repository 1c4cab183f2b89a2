"""Break every metric down by modality, body part, task, answer type, language or any tag."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from medsift.arrays import Doubles, Indices
from medsift.errors import UsageError
from medsift.manifest.schema import arrow_schema
from medsift.statistics.bootstrap import Resampling
from medsift.statistics.clusters import (
    ClusterSums,
    check_columns,
    cluster_ids,
    number_clusters,
    score_column,
    sum_places,
)
from medsift.statistics.interval import SHARE, check_scores, estimates

ALL: Final = "all"
FACETS: Final = ("modality", "body_part", "task_type", "answer_type", "language")
ACCURACY: Final = {"accuracy": "score"}
GROUP: Final = ("evaluation_id", "benchmark", "variant")
METRICS: Final = arrow_schema("metrics", without=("protocol",))
"""The manifest's table `metrics`; `remark(n, clusters)` says what to mark in a row of it."""
UNPARSED: Final = "unparsed"

Facet = str | tuple[str, ...]
Name = tuple[str | None, ...]


@dataclass(frozen=True, slots=True)
class _Groups:
    """Rows grouped by their values: `names` in order, `codes` (n,) into them."""

    names: list[Name]
    codes: Indices


def breakdown(
    table: pa.Table,
    facets: Sequence[Facet] = FACETS,
    metrics: Mapping[str, str] = ACCURACY,
    resampling: Resampling | None = None,
) -> pa.Table:
    """Return metrics of scored predictions as a whole (facet `all`) and by each facet.

    Every variant of a benchmark gets a row for each facet value that any of them has: where
    there is nothing to score, value and ends are null and n is 0. The result does not depend on
    the order of rows.

    Args:
        table: columns `evaluation_id`, `benchmark`, `variant`, `parse_status`, those of facets
            and metrics, and what names a cluster (`patient_id`, `image_id`, `item_id`).
        facets: columns, or tuples of columns for their combinations (a heat map); a facet that a
            benchmark never names makes no rows there.
        metrics: name of the metric → score column in [0, 1]; null is no score. `unparsed`, the
            share of replies that could not be read, is always added.
        resampling: draws and seed of the bootstrap.

    Raises:
        UsageError: a column is missing; a score is outside [0, 1]; a row is not parsed yet.
    """
    _check_columns(table, facets, metrics)
    columns = [score_column(table, column) for column in metrics.values()]
    for column, scores in zip(metrics.values(), columns, strict=True):
        check_scores(column, scores, table.num_rows, SHARE)
    unread = pc.equal(table["parse_status"].cast(pa.string()), UNPARSED).to_numpy()
    scores = np.stack([*columns, unread.astype(np.float64)], axis=1)
    groups = _number_rows([table[name] for name in GROUP])
    clusters = number_clusters(cluster_ids(table))
    names = (*metrics, UNPARSED)
    rows: list[dict[str, Any]] = []
    for facet in (ALL, *facets):
        label = " / ".join(_columns_of(facet))
        values = _facet_values(table, facet)
        for group, value, figures in _cells(scores, groups, values, clusters, resampling):
            for name, figure in zip(names, figures, strict=True):
                row = (*group, label, value, name, *figure)
                rows.append(dict(zip(METRICS.names, row, strict=True)))
    # Within a group, the sort leaves facets, values and metrics in the order of the loops.
    rows.sort(key=lambda row: _nulls_last([row[name] for name in GROUP]))
    return pa.Table.from_pylist(rows, schema=METRICS)


def _cells(
    scores: Doubles,
    groups: _Groups,
    values: _Groups,
    clusters: Indices,
    resampling: Resampling | None,
) -> Iterator[tuple[Name, str | None, list[tuple[Any, ...]]]]:
    """Yield group, value and figures of each cell of a facet; figures by column, as in METRICS."""
    width = len(values.names)
    cell = groups.codes * width + values.codes
    size = int(clusters.max(initial=0)) + 1
    # Rows are summed by cell and cluster once; each cell is then a slice of the sums.
    keys, places = np.unique(cell * size + clusters, return_inverse=True)
    summed = sum_places(scores, places, len(keys))
    # The unparsed rate of a metric is over the rows that have a score of it.
    unread = sum_places(np.where(np.isnan(scores), np.nan, scores[:, -1:]), places, len(keys))
    starts = np.searchsorted(keys // size, np.arange(len(groups.names) * width + 1))
    numbers = list(_cells_to_show(groups, values, starts))
    parts = [slice(starts[number], starts[number + 1]) for number in numbers]
    cells = [ClusterSums(summed.sums[part], summed.counts[part]) for part in parts]
    estimated = estimates(cells, resampling or Resampling(), SHARE)
    for number, part, columns in zip(numbers, parts, estimated, strict=True):
        totals = unread.sums[part].sum(0)
        figures = [
            (
                mean.value,
                mean.low,
                mean.high,
                mean.n,
                mean.clusters,
                total / mean.n if mean.n else None,
            )
            for mean, total in zip(columns, totals.tolist(), strict=True)
        ]
        yield groups.names[number // width], values.names[number % width][0], figures


def _cells_to_show(groups: _Groups, values: _Groups, starts: Indices) -> Iterator[int]:
    """Yield numbers of the cells whose value any variant of the same benchmark has."""
    width = len(values.names)
    filled = np.diff(starts).reshape(len(groups.names), width) > 0
    for number, group in enumerate(groups.names):
        same_benchmark = [other[:2] == group[:2] for other in groups.names]
        shown = np.flatnonzero(filled[same_benchmark].any(0))
        # A facet that the benchmark never names would be one row of nulls.
        if any(values.names[column][0] is not None for column in shown):
            yield from (number * width + int(column) for column in shown)


def _facet_values(table: pa.Table, facet: Facet) -> _Groups:
    """Group rows by a facet; of a combination, values are joined by ` / ` or null."""
    if facet == ALL:
        return _Groups([(ALL,)], np.zeros(table.num_rows, np.int64))
    columns = [table[name].cast(pa.string()) for name in _columns_of(facet)]
    return _number_rows([pc.binary_join_element_wise(*columns, " / ")])


def _number_rows(columns: Sequence[pa.ChunkedArray]) -> _Groups:
    """Group rows by their values in the columns, in the order of the values."""
    coded = [pc.dictionary_encode(column.combine_chunks().cast(pa.string())) for column in columns]
    codes = np.zeros(len(coded[0]), np.int64)
    for column in coded:
        indices = pc.fill_null(column.indices, len(column.dictionary)).to_numpy()
        codes = codes * (len(column.dictionary) + 1) + indices
    _, first, codes = np.unique(codes, return_index=True, return_inverse=True)
    names = [tuple(column[int(row)].as_py() for column in coded) for row in first]
    # Dictionaries are in the order of rows, which decides nothing: the values do.
    order = sorted(range(len(names)), key=lambda number: _nulls_last(names[number]))
    rank = np.empty(len(names), np.int64)
    rank[order] = np.arange(len(names))
    return _Groups([names[number] for number in order], rank[codes])


def _nulls_last(values: Sequence[str | None]) -> list[tuple[bool, str]]:
    return [(value is None, value or "") for value in values]


def _columns_of(facet: Facet) -> tuple[str, ...]:
    return (facet,) if isinstance(facet, str) else facet


def _check_columns(table: pa.Table, facets: Sequence[Facet], metrics: Mapping[str, str]) -> None:
    by_facet = {name for facet in facets for name in _columns_of(facet)}
    wanted = {*GROUP, "parse_status", *metrics.values(), *by_facet}
    check_columns(table, sorted(wanted))
    if UNPARSED in metrics:
        raise UsageError(
            f"metric {UNPARSED!r} is always reported; give yours another name",
            code="metric_unknown",
            metric=UNPARSED,
        )
    if unscored := table["parse_status"].null_count:
        raise UsageError(
            f"{unscored:,} of {table.num_rows:,} predictions have no parse_status; score them "
            "first",
            code="predictions_incomplete",
            unscored=unscored,
        )
