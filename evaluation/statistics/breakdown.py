"""Every metric by modality, body part, task, answer type, language or any tag: with its error."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from evaluation.statistics.bootstrap import Resampling
from evaluation.statistics.clusters import ClusterSums, cluster_ids, number_clusters, sum_places
from evaluation.statistics.interval import SHARE, Estimate, check_scores, estimates
from medsift.arrays import Doubles, Indices
from medsift.errors import UsageError

ALL: Final = "all"
FACETS: Final = ("modality", "body_part", "task_type", "answer_type", "language")
ACCURACY: Final = {"accuracy": "score"}
GROUP: Final = ("evaluation_id", "benchmark", "variant")
METRICS: Final = pa.schema(
    [
        ("evaluation_id", pa.string()),
        ("benchmark", pa.string()),
        ("variant", pa.string()),
        ("facet", pa.string()),
        ("facet_value", pa.string()),
        ("metric", pa.string()),
        ("value", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("n", pa.int64()),
        ("clusters", pa.int64()),
        ("unparsed_rate", pa.float64()),
    ]
)
"""The manifest's table `metrics`; `remark(n, clusters)` says what to mark in a line of it."""

Facet = str | tuple[str, ...]
_UNPARSED: Final = "unparsed"


@dataclass(frozen=True, slots=True)
class _Groups:
    """Rows by evaluation, benchmark and variant: `names` in order, `codes` (n,) into them."""

    names: list[tuple[str | None, ...]]
    codes: Indices


def breakdown(
    table: pa.Table,
    facets: Sequence[Facet] = FACETS,
    metrics: Mapping[str, str] = ACCURACY,
    resampling: Resampling | None = None,
) -> pa.Table:
    """Metrics of scored predictions as a whole (facet `all`) and by each facet: table METRICS.

    Args:
        table: columns `evaluation_id`, `benchmark`, `variant`, `parse_status`, those of facets
            and metrics, and what names a cluster (`patient_id`, `image_id`, `item_id`).
        facets: columns, or tuples of columns for their combinations (a heat map); a facet that a
            benchmark never names makes no lines there.
        metrics: name of the metric → score column in [0, 1]; null is no score. `unparsed`, the
            share of replies that could not be read, is always added.
        resampling: draws and seed of the bootstrap.

    Every variant of a benchmark gets a line for each facet value that any of them has: where
    there is nothing to score, value and ends are null and n is 0. Lines do not depend on the
    order of rows.

    Raises:
        UsageError: a column is missing; a score lies outside [0, 1]; a row is not parsed yet.
    """
    _check_columns(table, facets, metrics)
    unparsed = _unparsed(table)
    scores = np.stack([*(_scores(table, column) for column in metrics.values()), unparsed], axis=1)
    groups = _number_rows([table[name] for name in GROUP])
    clusters = number_clusters(cluster_ids(table))
    names = (*metrics, _UNPARSED)
    lines = []
    for facet in (ALL, *facets):
        values = _facet_values(table, facet)
        for group, value, found, rates in _cells(scores, groups, values, clusters, resampling):
            label = _label(facet)
            lines += [
                _line((*group, label, value, name), one, rate)
                for name, one, rate in zip(names, found, rates, strict=True)
            ]
    place = {_label(facet): number for number, facet in enumerate((ALL, *facets))}
    lines.sort(key=lambda line: _order(line, place, names))
    return pa.Table.from_pylist(lines, schema=METRICS)


def _cells(
    scores: Doubles,
    groups: _Groups,
    values: _Groups,
    clusters: Indices,
    resampling: Resampling | None,
) -> Iterator[tuple[tuple[str | None, ...], str | None, list[Estimate], list[float | None]]]:
    """Each cell of one facet: group, facet value, one estimate and unparsed rate a column."""
    width = len(values.names)
    cell = groups.codes * width + values.codes
    size = int(clusters.max(initial=0)) + 1
    keys, place = np.unique(cell * size + clusters, return_inverse=True)
    summed = sum_places(scores, place, len(keys))
    unread = sum_places(np.where(np.isnan(scores), np.nan, scores[:, -1:]), place, len(keys))
    starts = np.searchsorted(keys // size, np.arange(len(groups.names) * width + 1))
    shown = list(_wanted(groups, values, starts))
    parts = [slice(starts[number], starts[number + 1]) for number, _ in shown]
    cells = [ClusterSums(summed.sums[part], summed.counts[part]) for part in parts]
    made = estimates(cells, resampling or Resampling(), SHARE)
    for (number, value), part, found in zip(shown, parts, made, strict=True):
        rates = [
            float(total) / one.n if one.n else None
            for total, one in zip(unread.sums[part].sum(0), found, strict=True)
        ]
        yield groups.names[number // width], value, found, rates


def _wanted(groups: _Groups, values: _Groups, starts: Indices) -> Iterator[tuple[int, str | None]]:
    """Numbers and values of the cells to show: what any variant of the benchmark has."""
    width = len(values.names)
    held = np.diff(starts).reshape(len(groups.names), width) > 0
    for number, group in enumerate(groups.names):
        same = [other[:2] == group[:2] for other in groups.names]
        shown = held[same].any(0)
        named = any(values.names[place][0] is not None for place in np.flatnonzero(shown))
        for place in np.flatnonzero(shown) if named else ():
            yield number * width + int(place), values.names[place][0]


def _facet_values(table: pa.Table, facet: Facet) -> _Groups:
    """Each row's value of a facet; of a combination, values joined by ` / ` or null."""
    if facet == ALL:
        return _Groups([(ALL,)], np.zeros(table.num_rows, np.int64))
    columns = [table[name].cast(pa.string()) for name in _parts(facet)]
    return _number_rows([pc.binary_join_element_wise(*columns, " / ")])


def _number_rows(columns: Sequence[pa.ChunkedArray]) -> _Groups:
    """Number rows by their values in the columns, numbers in the order of the values."""
    coded = [pc.dictionary_encode(column.combine_chunks().cast(pa.string())) for column in columns]
    codes = np.zeros(len(coded[0]), np.int64)
    for column in coded:
        places = pc.fill_null(column.indices, len(column.dictionary)).to_numpy()
        codes = codes * (len(column.dictionary) + 1) + places
    _, first, codes = np.unique(codes, return_index=True, return_inverse=True)
    names = [tuple(column[int(row)].as_py() for column in coded) for row in first]
    order = sorted(range(len(names)), key=lambda number: _nulls_last(names[number]))
    rank = np.empty(len(names), np.int64)
    rank[order] = np.arange(len(names))
    return _Groups([names[number] for number in order], rank[codes])


def _line(head: tuple[str | None, ...], found: Estimate, rate: float | None) -> dict[str, Any]:
    tail = (found.value, found.low, found.high, found.n, found.clusters, rate)
    return dict(zip(METRICS.names, (*head, *tail), strict=True))


def _order(line: dict[str, Any], place: dict[str, int], names: Sequence[str]) -> tuple[Any, ...]:
    return (
        _nulls_last(tuple(line[name] for name in GROUP)),
        place[line["facet"]],
        _nulls_last((line["facet_value"],)),
        names.index(line["metric"]),
    )


def _nulls_last(values: tuple[str | None, ...]) -> tuple[tuple[bool, str], ...]:
    return tuple((value is None, value or "") for value in values)


def _parts(facet: Facet) -> tuple[str, ...]:
    return (facet,) if isinstance(facet, str) else facet


def _label(facet: Facet) -> str:
    return " / ".join(_parts(facet))


def _scores(table: pa.Table, name: str) -> Doubles:
    column = pc.fill_null(table[name].cast(pa.float64()), np.nan)
    scores: Doubles = column.to_numpy()
    check_scores(name, scores, table.num_rows, SHARE)
    return scores


def _unparsed(table: pa.Table) -> Doubles:
    """1 where a reply could not be read, else 0. Raises UsageError where nobody has tried."""
    status = table["parse_status"]
    if status.null_count:
        raise UsageError(
            f"{status.null_count:,} of {table.num_rows:,} predictions have no parse_status; score "
            "them first",
            code="predictions_incomplete",
        )
    found: Doubles = pc.equal(status.cast(pa.string()), _UNPARSED).to_numpy().astype(np.float64)
    return found


def _check_columns(table: pa.Table, facets: Sequence[Facet], metrics: Mapping[str, str]) -> None:
    wanted = {*GROUP, "parse_status", *metrics.values(), *(p for f in facets for p in _parts(f))}
    missing = sorted(wanted - set(table.column_names))
    if missing:
        raise UsageError(
            f"predictions lack {', '.join(missing)}; they have {', '.join(table.column_names)}",
            code="predictions_incomplete",
        )
    if _UNPARSED in metrics:
        raise UsageError(
            "metric 'unparsed' is always reported; give yours another name", code="metric_unknown"
        )
