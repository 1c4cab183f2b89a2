"""Make the selection of everything: each sample that may be trained on, by its id."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from curation.pool import Pool, represented_rows, strata_of
from curation.pool.groups import ROWS_AT_A_TIME, Groups
from curation.pool.sorted_samples import sorted_training_samples
from curation.selection.budget import estimate_tokens
from curation.selection.config import EVERYTHING
from curation.selection.tables import SELECTIONS, SETTINGS
from curation.stage_outputs import Upstream
from medsift.arrays import Doubles
from medsift.records import digest_all


@dataclass(frozen=True, slots=True)
class Everything:
    """All n samples that may be trained on, sorted by id.

    `samples` (n) are SAMPLES rows with at least their ids, messages and images. `mass` (n,) counts
    the input rows that each represents, which is its weight; `strata` (n) is its stratum.
    """

    samples: pa.Table
    mass: Doubles
    strata: Groups

    @classmethod
    def read(cls, upstream: Upstream, strata: Sequence[str]) -> Everything:
        """Read everything from finished stages, without vectors. Raises StorageError."""
        columns = dict.fromkeys(["sample_id", "row_id", "messages", "images", *strata])
        samples = sorted_training_samples(upstream, list(columns))
        mass = represented_rows(samples, upstream.dedup.decisions.read(["witness"]))
        return cls(samples, mass, strata_of(samples, strata))

    def __len__(self) -> int:
        """Count the samples."""
        return int(self.samples.num_rows)

    def parts(self) -> Iterator[pa.Table]:
        """Yield SELECTIONS, some rows at a time: rank by sample id."""
        for start in range(0, len(self), ROWS_AT_A_TIME):
            ids = self.samples.select(["sample_id", "row_id"]).slice(start, ROWS_AT_A_TIME)
            rows = slice(start, start + len(ids))
            columns = [
                pa.repeat(EVERYTHING, len(ids)),
                pa.array(np.arange(rows.start, rows.stop)),
                *ids.columns,
                pa.array(self.mass[rows]),
                pa.nulls(len(ids), pa.float64()),
                self.strata.column(rows),
            ]
            yield pa.table(columns, schema=SELECTIONS)

    def settings(self, seed: int) -> pa.Table:
        """Return SETTINGS of the selection of everything, which covers the pool completely."""
        n = len(self)
        row = {
            "selection": EVERYTHING,
            "ordinal": 0,
            "method": "everything",
            "budget": "100%",
            "settings": "{}",
            "seed": seed,
            "fingerprint": digest_all(self._ids()),
            "pool": n,
            "selected": n,
            "tokens": int(estimate_tokens(self.samples).sum()),
            "coverage": 1.0 if n else None,
        }
        return pa.Table.from_pylist([row], schema=SETTINGS)

    def _ids(self) -> Iterator[str]:
        for start in range(0, len(self), ROWS_AT_A_TIME):
            yield from self.samples["sample_id"].slice(start, ROWS_AT_A_TIME).to_pylist()


def everything_of(pool: Pool) -> Everything:
    """Return everything of a pool that is loaded already."""
    return Everything(pool.samples, pool.mass, pool.strata)
