"""Load what the user started with: the pool, and the copies that dedup dropped for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.current_samples import read_samples
from curation.pool import Pool, load_pool
from curation.pool.pool import pool_of
from curation.stage_outputs import Upstream
from medsift.arrays import Flags
from medsift.reorder import sorted_rows


@dataclass(frozen=True, slots=True)
class Heap:
    """All n samples that a user without curation would train on.

    `samples` is a pool whose first rows are those of the curated one; `in_pool` (n,) says which.
    """

    samples: Pool
    in_pool: Flags

    def __len__(self) -> int:
        """Count the samples."""
        return len(self.samples)


def load_heap(upstream: Upstream, strata: Sequence[str]) -> Heap:
    """Read the pool, and the samples that dedup dropped because the pool has them already.

    A sample dropped for one that is held out is left out too: it would leak what is held out.

    Raises:
        UsageError: a stratum tag that no sample of the pool has.
        InputError: vectors that are not finite.
    """
    pool = load_pool(upstream, strata, shared_space=False)
    dropped = upstream.dedup.decisions.read(["row_id", "witness"])
    copies = dropped.filter(pc.is_in(dropped["witness"], pool.samples["row_id"].combine_chunks()))
    before = Upstream([upstream[name] for name in upstream if name != "dedup"])
    everything = read_samples(upstream, left=before)
    rows = everything.filter(pc.is_in(everything["row_id"], copies["row_id"].combine_chunks()))
    rows = sorted_rows(rows, ["sample_id", "row_id"])
    samples = pa.concat_tables([pool.samples, rows])
    in_pool = np.arange(samples.num_rows) < len(pool)
    return Heap(pool_of(samples, upstream, strata, shared_space=False), in_pool)
