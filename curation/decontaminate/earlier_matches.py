"""Keep what a comparison of pictures with a benchmark found, so that the next compares new ones.

What pixels say of a pair of pictures, and which pictures of a benchmark one of the pool shows in
part, depends on those pictures alone: it is looked up where an earlier run had both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.decontaminate.placed import Placed
from curation.stage_outputs import StageOutputs
from medsift.arrays import Flags, Floats, Indices

_ENDS: Final = [
    pa.field("benchmark", pa.string(), nullable=False),
    pa.field("left", pa.int32(), nullable=False),
    pa.field("right", pa.int32(), nullable=False),
]
MATCH_TABLES: Final[Mapping[str, pa.Schema]] = {
    "matched": pa.schema([_ENDS[0], pa.field("image_id", pa.string(), nullable=False)]),
    "registered": pa.schema(
        [
            *_ENDS,
            *(pa.field(name, pa.float32()) for name in ("correlation", "detail")),
            pa.field("mirrored", pa.bool_()),
        ]
    ),
    "placed": pa.schema([*_ENDS, pa.field("likeness", pa.float32())]),
}
"""The pictures of the pool that were compared with each benchmark, sorted, and the pairs: `left` is
a place in that list, `right` one in the benchmark's list. `benchmark` is the identity of its index
and of the rules."""


class Registered(NamedTuple):
    """What pixels said of pairs (p,) of pictures, sorted by (left, right)."""

    left: Indices
    right: Indices
    correlation: Floats
    detail: Floats
    mirrored: Flags

    def look_up(self, left: Indices, right: Indices, width: int) -> Indices:
        """Return the place (p,) of pairs among these, -1 for unknown ones; `right` < `width`."""
        keys, wanted = self.left * width + self.right, left * width + right
        place = np.searchsorted(keys, wanted)
        return np.where(np.append(keys, -1)[place] == wanted, place, -1)


@dataclass(frozen=True, slots=True)
class PictureMatches:
    """A finished comparison of pictures `ids` (n) of a pool, sorted, with those of a benchmark."""

    ids: Sequence[str]
    registered: Registered
    placed: Placed

    def among(self, ids: Sequence[str]) -> tuple[PictureMatches, Flags]:
        """Return the pairs of pictures that are among other ids, sorted, and which are new (n,)."""
        names, old = pa.array(ids, pa.string()), pa.array(self.ids, pa.string())
        place = pc.index_in(old, names).fill_null(-1).to_numpy(zero_copy_only=False)
        place = place.astype(np.int64)
        new = np.ones(len(names), bool)
        new[place[place >= 0]] = False
        # Both lists are sorted, so that the order of pairs stays.
        kept = [column[place[self.registered.left] >= 0] for column in self.registered]
        still = [column[place[self.placed.left] >= 0] for column in self.placed]
        return (
            PictureMatches(
                ids,
                Registered(place[kept[0]], *kept[1:]),
                Placed(place[still[0]], *still[1:]),
            ),
            new,
        )


def nothing_matched() -> PictureMatches:
    """Return the comparison of no picture."""
    none, real = np.empty(0, np.int64), np.empty(0, np.float32)
    return PictureMatches(
        [], Registered(none, none, real, real, np.empty(0, bool)), Placed(none, none, real)
    )


def write_matches(outputs: StageOutputs, found: Mapping[str, PictureMatches]) -> None:
    """Write the comparisons of a stage, by the identity of benchmark and rules."""
    for name, schema in MATCH_TABLES.items():
        tables = [schema.empty_table()]
        for benchmark, matches in found.items():
            if name == "matched":
                columns: list[object] = [pa.array(matches.ids, pa.string())]
            else:
                columns = [np.ascontiguousarray(one) for one in getattr(matches, name)]
            repeated = pa.repeat(pa.scalar(benchmark, pa.string()), len(columns[0]))  # type: ignore[arg-type]
            tables.append(pa.table([repeated, *columns], schema.names).cast(schema))
        getattr(outputs, name).write(pa.concat_tables(tables))


def read_matches(outputs: StageOutputs | None, benchmark: str) -> PictureMatches:
    """Read the comparison that a stage left under an identity; that of no picture without one."""
    if outputs is None:
        return nothing_matched()

    def lines(name: str) -> pa.Table:
        table = getattr(outputs, name).read()
        return table.filter(pc.equal(table["benchmark"], benchmark)).drop("benchmark")

    ids = lines("matched")["image_id"].to_pylist()
    registered, placed = (
        [
            column.to_numpy().astype(np.int64) if place < 2 else column.to_numpy()
            for place, column in enumerate(lines(name).columns)
        ]
        for name in ("registered", "placed")
    )
    return PictureMatches(ids, Registered(*registered), Placed(*placed))
