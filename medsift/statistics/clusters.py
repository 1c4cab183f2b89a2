"""Choose what an interval resamples: pictures, or patients where they are known.

Questions about one picture are not independent, so that n questions carry less than n answers'
worth of evidence. Rows are summed by cluster once; everything else works on those sums.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from medsift.arrays import Doubles, Indices
from medsift.errors import UsageError
from medsift.records import digest

COARSE: Final = 2.0**26
FINE: Final = 2.0**52


@dataclass(frozen=True, slots=True)
class ClusterSums:
    """Sums (G, k) of k score columns over G clusters, and how many scores (G, k) they sum."""

    sums: Doubles
    counts: Doubles


def check_columns(predictions: pa.Table, names: Iterable[str]) -> None:
    """Raise UsageError where predictions lack one of these columns."""
    missing = [name for name in names if name not in predictions.column_names]
    if missing:
        raise UsageError(
            f"predictions lack {', '.join(missing)}; they have "
            f"{', '.join(predictions.column_names)}",
            code="predictions_incomplete",
            missing=missing,
        )


def cluster_ids(table: pa.Table) -> pa.ChunkedArray:
    """Return the cluster (n,) of each row: its patient, else its picture, else the item itself.

    A picture whose patient one row names belongs to that patient in every row. Raises UsageError
    where neither `image_id` nor `item_id` is known.
    """
    image, patient = _text_column(table, "image_id"), _text_column(table, "patient_id")
    known = pa.table({"image": image, "patient": patient}).filter(pc.is_valid(image))
    # Were there two patients, the least is taken, whatever the order of the rows.
    patients = known.group_by("image").aggregate([("patient", "min")])
    of_image = patients["patient_min"].take(pc.index_in(image, value_set=patients["image"]))
    kinds = {
        "patient": pc.coalesce(of_image, patient),
        "image": image,
        "item": _text_column(table, "item_id"),
    }
    # The kind goes before the id, so that picture 7 is not patient 7; null stays null.
    named = (pc.binary_join_element_wise(pa.scalar(kind), ids, ":") for kind, ids in kinds.items())
    clusters = pc.coalesce(*named)
    if clusters.null_count:
        raise UsageError(
            f"{clusters.null_count:,} rows have neither patient_id, image_id nor item_id; "
            "intervals are clustered by one of them: add it to the predictions",
            code="predictions_incomplete",
            unnamed=clusters.null_count,
        )
    return clusters


def number_clusters(ids: Sequence[Any] | NDArray[Any] | pa.Array | pa.ChunkedArray) -> Indices:
    """Return a number (n,) for each row's cluster. Raises UsageError for a null id."""
    array = ids if isinstance(ids, pa.Array | pa.ChunkedArray) else pa.array(ids)
    if array.null_count:
        raise UsageError(
            f"{array.null_count:,} of {len(array):,} cluster ids are null; name the cluster of "
            "every row",
            code="predictions_incomplete",
            unnamed=array.null_count,
        )
    chunk = array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
    coded = pc.dictionary_encode(chunk.cast(pa.string()))
    # In the order of a hash of the ids: neither the rows' order nor the names' decide a draw.
    keys = [_order_key(name) for name in coded.dictionary.to_pylist()]
    rank = np.empty(len(keys), np.int64)
    rank[np.argsort(np.array(keys, dtype=str))] = np.arange(len(keys))
    codes: Indices = rank[coded.indices.to_numpy()]
    return codes


@lru_cache(maxsize=1 << 16)
def _order_key(name: str) -> str:
    """Return a cluster's place among others; one table's intervals ask for it again and again."""
    return digest("cluster", name)


def score_column(table: pa.Table, name: str) -> Doubles:
    """Return the scores (n,) of a column, NaN where null."""
    scores: Doubles = pc.fill_null(table[name].cast(pa.float64()), np.nan).to_numpy()
    return scores


def sum_clusters(scores: Doubles, codes: Indices) -> ClusterSums:
    """Sum score columns (n, k) by cluster code (n,), in the codes' order; NaN is no score."""
    clusters, places = np.unique(codes, return_inverse=True)
    return sum_places(scores, places, len(clusters))


def sum_places(scores: Doubles, places: Indices, size: int) -> ClusterSums:
    """Sum score columns (n, k) into `size` places (n,); the result ignores the order of rows."""
    columns = scores.shape[1]
    sums, counts = np.zeros((size, columns)), np.zeros((size, columns))
    for column in range(columns):
        known = ~np.isnan(scores[:, column])
        values, own = scores[known, column], places[known]
        counts[:, column] = np.bincount(own, minlength=size)
        # A value of at most 1 is cut into a multiple of 2^-26 and the rest, a multiple of 2^-52:
        # sums of either are exact in a double up to 2^27 rows, so every bit is free of order.
        coarse = np.round(values * COARSE) / COARSE
        fine = np.round((values - coarse) * FINE) / FINE
        for part in (coarse, fine):
            if part.any():
                sums[:, column] += np.bincount(own, weights=part, minlength=size)
    return ClusterSums(sums, counts)


def _text_column(table: pa.Table, name: str) -> pa.ChunkedArray:
    if name not in table.column_names:
        return pa.chunked_array([pa.nulls(table.num_rows, pa.string())])
    return table[name].cast(pa.string())
