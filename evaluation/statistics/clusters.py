"""Choose what an interval resamples: pictures, or patients where they are known.

Questions about one picture are not independent, so that n questions carry less than n answers'
worth of evidence. Rows are summed by cluster once; everything else works on those sums.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from medsift.arrays import Doubles, Indices
from medsift.errors import UsageError
from medsift.records import digest

_COARSE = 2.0**26
_FINE = 2.0**52


@dataclass(frozen=True, slots=True)
class ClusterSums:
    """Sums (G, k) of k score columns over G clusters, and how many scores (G, k) they sum."""

    sums: Doubles
    counts: Doubles


def cluster_ids(table: pa.Table) -> pa.ChunkedArray:
    """The cluster (n,) of each row: its patient, else its picture, else the item itself.

    A picture whose patient one row names belongs to that patient in every row. Raises UsageError
    where neither `image_id` nor `item_id` is known.
    """
    image = _column(table, "image_id")
    patient = pc.coalesce(_patient_of_image(table, image), _column(table, "patient_id"))
    named = [_prefixed("patient", patient), _prefixed("image", image)]
    ids = pc.coalesce(*named, _prefixed("item", _column(table, "item_id")))
    if ids.null_count:
        raise UsageError(
            f"{ids.null_count:,} rows have neither patient_id, image_id nor item_id; intervals "
            "are clustered by one of them: add it to the predictions",
            code="predictions_incomplete",
        )
    return ids


def number_clusters(ids: Sequence[Any] | NDArray[Any] | pa.Array | pa.ChunkedArray) -> Indices:
    """Number (n,) each row's cluster, in the order of a hash of the ids: rows' order is nothing.

    Raises UsageError for a null id.
    """
    given = ids if isinstance(ids, pa.Array | pa.ChunkedArray) else pa.array(ids)
    if given.null_count:
        raise UsageError(
            f"{given.null_count:,} of {len(given):,} cluster ids are null; name all",
            code="predictions_incomplete",
        )
    whole = given.combine_chunks() if isinstance(given, pa.ChunkedArray) else given
    coded = pc.dictionary_encode(whole.cast(pa.string()))
    keys = [digest("cluster", name) for name in coded.dictionary.to_pylist()]
    place = np.empty(len(keys), np.int64)
    place[np.argsort(np.array(keys, dtype=str))] = np.arange(len(keys))
    codes: Indices = place[coded.indices.to_numpy()]
    return codes


def sum_clusters(scores: Doubles, codes: Indices) -> ClusterSums:
    """Sum score columns (n, k) by cluster code (n,); NaN is no score. Keeps the codes' order."""
    _, place = np.unique(codes, return_inverse=True)
    return sum_places(scores, place, int(place.max(initial=-1)) + 1)


def sum_places(scores: Doubles, place: Indices, size: int) -> ClusterSums:
    """Sum score columns (n, k) into `size` places (n,); the result ignores the order of rows."""
    columns = scores.shape[1]
    sums, counts = np.zeros((size, columns)), np.zeros((size, columns))
    for column in range(columns):
        known = ~np.isnan(scores[:, column])
        here = place[known]
        sums[:, column] = _exact_sums(scores[known, column], here, size)
        counts[:, column] = np.bincount(here, minlength=size)
    return ClusterSums(sums, counts)


def _exact_sums(values: Doubles, place: Indices, size: int) -> Doubles:
    """Sums whose every bit is independent of order.

    A value of at most 1 is cut into a multiple of 2^-26 and the rest, a multiple of 2^-52; sums
    of either are exact in a double up to 2^27 rows.
    """
    coarse = np.round(values * _COARSE) / _COARSE
    fine = np.round((values - coarse) * _FINE) / _FINE
    total = np.zeros(size)
    for part in (coarse, fine):
        if part.any():
            total += np.bincount(place, weights=part, minlength=size)
    return total


def _patient_of_image(table: pa.Table, image: pa.ChunkedArray) -> pa.ChunkedArray:
    """The patient (n,) that any row names for the row's picture; the least, were there two."""
    if "patient_id" not in table.column_names or "image_id" not in table.column_names:
        return pa.chunked_array([pa.nulls(table.num_rows, pa.string())])
    both = pa.table({"image": image, "patient": _column(table, "patient_id")})
    known = both.filter(pc.is_valid(image)).group_by("image").aggregate([("patient", "min")])
    return known["patient_min"].take(pc.index_in(image, value_set=known["image"]))


def _column(table: pa.Table, name: str) -> pa.ChunkedArray:
    if name not in table.column_names:
        return pa.chunked_array([pa.nulls(table.num_rows, pa.string())])
    return table[name].cast(pa.string())


def _prefixed(kind: str, ids: pa.ChunkedArray) -> pa.ChunkedArray:
    """Ids with their kind before them, so that picture 7 is not patient 7; null stays null."""
    return pc.binary_join_element_wise(pa.scalar(kind), ids, pa.scalar(":"))
