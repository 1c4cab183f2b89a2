"""Make pairs of samples that differ in the reply alone: one to prefer, one to avoid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from training.dataset.batches import Batch, BatchPlan
from training.dataset.encode_dataset import Drop
from training.dataset.samples import Sample

BOTH: Final = 2
"""Samples of a pair: the chosen reply, then the rejected one."""


def paired_samples(samples: Sequence[Sample]) -> tuple[tuple[Sample, ...], tuple[Drop, ...]]:
    """Return the pairs that can be learned from, and the ledger of the others."""
    kept: list[Sample] = []
    dropped: list[Drop] = []
    for sample in samples:
        if sample.rejected is None:
            dropped.append(Drop(sample.sample_id, sample.row_id, "no_pair"))
        elif sample.rejected.strip() == sample.turns[-1][1].strip():
            dropped.append(Drop(sample.sample_id, sample.row_id, "equal_replies"))
        else:
            kept.append(sample)
    return tuple(kept), tuple(dropped)


def both_replies(samples: Sequence[Sample]) -> tuple[Sample, ...]:
    """Return two samples for each pair: with the chosen reply, and with the rejected one."""
    return tuple(
        replace(sample, turns=(*sample.turns[:-1], ("assistant", reply)), rejected=None)
        for sample in samples
        for reply in (sample.turns[-1][1], sample.rejected or "")
    )


@dataclass(eq=False)
class PairPlan(BatchPlan):
    """The order of training over pairs of samples, which are always in one batch, in two rows."""

    of_pairs: BatchPlan = field(init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        widest = self.lengths.reshape(-1, BOTH).max(axis=1)
        odds = None if self.odds is None else self.odds[::BOTH]
        self.of_pairs = BatchPlan(BOTH * widest, self.config, self.seed, self.per_step, odds)

    def make_epoch(self, epoch: int) -> tuple[Batch, ...]:
        """Return the batches of an epoch, with both samples of each pair."""
        return tuple(
            Batch(tuple((BOTH * pair + side,) for pair in batch.members for side in range(BOTH)))
            for batch in self.of_pairs.make_epoch(epoch)
        )
