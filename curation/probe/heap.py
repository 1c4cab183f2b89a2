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
from medsift.arrays import Flags, Indices
from medsift.connected import connected_components
from medsift.leakage_groups import components
from medsift.reorder import sorted_rows


@dataclass(frozen=True, slots=True)
class Heap:
    """All n samples that a user without curation would train on.

    `samples` is a pool whose first rows are those of the curated one; `in_pool` (n,) says which.
    `group` (n,) is equal for samples that share a picture, case or patient, or that dedup found to
    be copies: whoever is trained on one of a group must not be asked about another.
    """

    samples: Pool
    in_pool: Flags
    group: Indices

    def take(self, rows: Indices) -> Heap:
        """Return some samples of the heap, given by their places in ascending order."""
        return Heap(self.samples.take(rows), self.in_pool[rows], self.group[rows])

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
    heap = pool_of(samples, upstream, strata, shared_space=False)
    return Heap(heap, in_pool, _groups(heap, copies))


def _groups(heap: Pool, copies: pa.Table) -> Indices:
    """Return the group (n,) of each sample: components by picture, case, patient and copy.

    A near copy of a text shares no picture with its witness, so pictures alone would let a probe
    be trained on one and asked about the other.
    """
    label = components(heap.samples, heap.images, "patient")
    ids = heap.samples["row_id"].combine_chunks()
    copy, witness = (
        pc.index_in(copies[name].combine_chunks(), value_set=ids) for name in ("row_id", "witness")
    )
    known = pc.and_(pc.is_valid(copy), pc.is_valid(witness))
    links = [part.filter(known).to_numpy().astype(np.int64) for part in (copy, witness)]
    # A label is the row of its component's first member: linking to it keeps the component.
    left = np.concatenate([np.arange(len(heap)), links[0]])
    return connected_components(len(heap), left, np.concatenate([label, links[1]]))
