"""Cut a run's samples into a part to train on, one to judge rounds by, and test data."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.current_samples import read_samples, training_samples
from curation.improve.settings import ImproveConfig
from curation.pool import Pool
from curation.pool.pool import pool_of
from curation.stage_outputs import Upstream
from medsift.arrays import Indices
from medsift.errors import LedgerError, UsageError
from medsift.leakage_groups import components
from medsift.reorder import sorted_rows
from medsift.split_assignment import assign_splits
from medsift.vocabulary import stored_names

TRAIN: Final = "train"
VALIDATION: Final = "validation"
TEST: Final = "test"


@dataclass(frozen=True, slots=True)
class Material:
    """Samples (n) of a run, the group (n,) of pictures, case or patient of each, and its part."""

    pool: Pool
    group: Indices
    part: Sequence[str]

    def take(self, *parts: str) -> Material:
        """Return the samples of some parts."""
        rows = np.flatnonzero(np.isin(self.part, parts))
        kept = [self.part[row] for row in rows.tolist()]
        return Material(self.pool.take(rows), self.group[rows], kept)

    def rows(self, part: str) -> Indices:
        """Return the places of the samples of a part."""
        return np.flatnonzero(np.array(self.part, dtype=object) == part)

    def ids(self, part: str) -> list[str]:
        """Return the sample ids of a part."""
        ids = self.pool.sample_ids
        return [ids[row] for row in self.rows(part).tolist()]


@dataclass(frozen=True, slots=True)
class Cut:
    """The material of an improvement; `left_out` samples share a group with test data."""

    material: Material
    left_out: int


def cut_parts(upstream: Upstream, cells: Sequence[str], config: ImproveConfig, seed: int) -> Cut:
    """Read the run's samples and cut them, whole groups at a time, cells spread evenly.

    Validation data, and test data without a split of their own, come from the training split.
    A sample of the training split that shares a picture, case or patient with a split of test
    data is in no part.

    Raises:
        UsageError: a cell tag that no sample has, no test data, or an empty part.
    """
    samples = read_samples(upstream)
    trained = training_samples(samples)
    split = config.test.split
    tables = [trained]
    if split is not None:
        tested = samples.filter(_in_split(samples, split))
        if split == "train" or not tested.num_rows:
            known = sorted(set(samples["split"].drop_null().to_pylist()) - {"train"})
            raise UsageError(
                f"the run has no test data in a split {split!r}; it has {', '.join(known) or 'no'}"
                " other splits: name one as test.split, or a test.share of the training split",
                code="test_part_missing",
                split=split,
                known=known,
            )
        tables.append(tested)
    rows = sorted_rows(pa.concat_tables(tables), ["sample_id", "row_id"])
    pool = pool_of(rows, upstream, cells, shared_space=False)
    group = components(pool.samples, pool.images.select(["image_id", "group_id"]), "patient")
    outside = np.zeros(len(pool), bool)
    if split is not None:
        outside = np.asarray(_in_split(rows, split), bool)
    near = np.isin(group, group[outside]) & ~outside
    part = np.where(outside, TEST, "")
    inside = np.flatnonzero(~outside & ~near)
    shares = {TRAIN: 1.0 - config.validation, VALIDATION: config.validation}
    if config.test.share is not None:
        shares = {name: share * (1.0 - config.test.share) for name, share in shares.items()}
        shares[TEST] = config.test.share
    ids = pool.sample_ids
    part = part.astype(object)
    part[inside] = assign_splits(
        [ids[row] for row in inside.tolist()],
        group[inside],
        [pool.strata[row] for row in inside.tolist()],
        shares,
        seed,
    )
    material = Material(pool, group, part.tolist())
    for name in (TRAIN, VALIDATION, TEST):
        if not len(material.rows(name)):
            raise UsageError(
                f"no group of pictures or patients is left for the {name} part of "
                f"{len(inside)} samples; change the shares, or curate more samples",
                code="test_part_missing" if name == TEST else "improve_part_empty",
                part=name,
            )
    return Cut(material.take(TRAIN, VALIDATION, TEST), int(near.sum()))


def refuse_test_data(ids: Iterable[str], test_ids: Iterable[str], purpose: str) -> None:
    """Raise LedgerError where sample ids used for a purpose are those of test data."""
    seen = sorted({*ids} & {*test_ids})
    if seen:
        raise LedgerError(
            f"{len(seen)} samples of the test data would be used for {purpose}, the first is "
            f"{seen[0]}; test data are looked at once, after the last round",
            code="test_sample_used",
            samples=seen[:10],
            purpose=purpose,
        )


def _in_split(samples: pa.Table, split: str) -> pa.ChunkedArray:
    """Return whether each sample is in a split, by any name that it was stored under."""
    return pc.is_in(samples["split"], pa.array(stored_names(split)))
