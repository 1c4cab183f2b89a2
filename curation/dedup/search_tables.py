"""Write what a search for copies of pictures found, and read it for the search of the next run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
import pyarrow as pa

from curation.matching.candidate_pairs import PAIR
from curation.matching.earlier_search import BestPairs, PictureSearch, Verdicts
from curation.stage_outputs import StageOutputs

_ENDS: Final = [pa.field(name, pa.int32(), nullable=False) for name in ("left", "right")]
SEARCH_TABLES: Final[Mapping[str, pa.Schema]] = {
    "searched": pa.schema([pa.field("image_id", pa.string(), nullable=False)]),
    "searches": pa.schema(
        [pa.field(name, pa.string(), nullable=False) for name in ("settings", "kind")]
        + [pa.field(name, pa.int64(), nullable=False) for name in ("counted", "left_out")]
    ),
    "near_by_hash": pa.schema(
        [*_ENDS, pa.field("similarity", pa.float64()), pa.field("glance", pa.float32())]
    ),
    "near_by_cosine": pa.schema(
        [*_ENDS, pa.field("similarity", pa.float64()), pa.field("glance", pa.float32())]
    ),
    "compared": pa.schema(
        [*_ENDS, pa.field("detail", pa.float32()), pa.field("verdict", pa.int8())]
    ),
}
"""The pictures that were searched, sorted; the searches with their settings; the best candidates of
each, and what pixels said of them. `left` and `right` are places in the list of pictures."""
HASH, COSINE = "near_by_hash", "near_by_cosine"


def write_search(outputs: StageOutputs, search: PictureSearch, settings: str) -> None:
    """Write the tables of a search that was made by `settings`, a fingerprint."""
    kinds = {HASH: search.by_hash, COSINE: search.by_cosine}
    lines = [
        {"settings": settings, "kind": kind, "counted": best.counted, "left_out": best.left_out}
        for kind, best in kinds.items()
        if best is not None
    ]
    tables = {
        "searched": pa.table({"image_id": search.ids}, SEARCH_TABLES["searched"]),
        "searches": pa.Table.from_pylist(lines, SEARCH_TABLES["searches"]),
        "compared": _table("compared", search.verdicts),
    }
    tables |= {
        kind: _table(kind, {name: best.pairs[name] for name in PAIR.names or ()})
        for kind, best in kinds.items()
        if best is not None
    }
    for name, table in tables.items():
        getattr(outputs, name).write(table)


def read_search(outputs: StageOutputs, settings: str) -> PictureSearch | None:
    """Read the search that a stage left; None where it left none, or used other settings."""
    lines = outputs.searches.read().to_pylist()
    kinds = {line["kind"]: line for line in lines if line["settings"] == settings}
    if HASH not in kinds:
        return None
    best = {}
    for kind, line in kinds.items():
        table = getattr(outputs, kind).read()
        pairs = np.empty(table.num_rows, PAIR)
        for name in PAIR.names or ():
            pairs[name] = table[name].to_numpy()
        best[kind] = BestPairs(pairs, line["counted"], line["left_out"])
    table = outputs.compared.read()
    left, right = (table[name].to_numpy().astype(np.int64) for name in ("left", "right"))
    verdicts = Verdicts(left, right, table["detail"].to_numpy(), table["verdict"].to_numpy())
    ids = outputs.searched.read()["image_id"].to_pylist()
    return PictureSearch(ids, best[HASH], best.get(COSINE), verdicts)


def _table(name: str, columns: object) -> pa.Table:
    schema = SEARCH_TABLES[name]
    values = (
        columns
        if isinstance(columns, Mapping)
        else {field: getattr(columns, field) for field in schema.names}
    )
    return pa.table({field: np.ascontiguousarray(values[field]) for field in schema.names}).cast(
        schema
    )
