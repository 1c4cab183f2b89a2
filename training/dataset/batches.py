"""Decide which samples a step sees: the same for any number of workers and after any restart.

Batches follow from the seed and the epoch alone. A step takes the next `per_step` batches of an
endless sequence and assigns them to the workers, so a position in training is only a step number.
Samples are known by their index in the encoded selection.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import count
from typing import Final, NamedTuple

import numpy as np

from medsift.arrays import Doubles, Indices
from training.recipe import BatchesConfig

WINDOW: Final = 64
"""Batches whose samples are sorted by length together: enough that little is padded, few enough
that the order of an epoch stays random."""

Row = tuple[int, ...]
"""Samples in one row of a batch: one, or several that are packed."""


class Batch(NamedTuple):
    """What one device sees at once; a batch that does not `count` only keeps workers in step."""

    rows: tuple[Row, ...]
    counts: bool = True

    @property
    def members(self) -> list[int]:
        """All its samples."""
        return [sample for row in self.rows for sample in row]


@dataclass(eq=False)
class BatchPlan:
    """The order of training over samples of `lengths` (n,) tokens.

    With `odds` (n,) samples are drawn in proportion to them, n in an epoch; otherwise each is seen
    once. Training ends after `wanted_steps`, after `epochs`, or with the batch in which
    `wanted_samples`, repeats counted, are reached.
    """

    lengths: Indices
    config: BatchesConfig
    seed: int
    per_step: int
    odds: Doubles | None = None
    wanted_steps: int | None = None
    epochs: float | None = None
    wanted_samples: int | None = None

    def __post_init__(self) -> None:
        self._starts = [0]
        # A step may reach from one epoch into the next; older ones are not needed again.
        self._of_epoch = lru_cache(maxsize=2)(self.make_epoch)

    @property
    def steps(self) -> int:
        """Optimiser steps in all."""
        if self.wanted_steps is not None:
            return self.wanted_steps
        # Rounded up: a last step of fewer batches leaves no sample out.
        return -(-self._batches // self.per_step)

    def batches(self, step: int) -> tuple[Batch, ...]:
        """Return the batches of a step, counted from 0; the last step may have fewer."""
        first = step * self.per_step
        last = first + self.per_step
        if self.wanted_steps is None:
            last = min(last, self._batches)
        located = map(self._locate, range(first, last))
        return tuple(self._of_epoch(epoch)[offset] for epoch, offset in located)

    def share(self, step: int, rank: int, world_size: int) -> tuple[Batch, ...]:
        """Return a worker's batches of a step; see `assign_to_ranks`."""
        return assign_to_ranks(self.batches(step), rank, world_size)

    def epoch(self, steps: int) -> float:
        """Return the passes over the samples, complete and in part, after so many steps."""
        epoch, offset = self._locate(steps * self.per_step)
        return epoch + offset / self._size(epoch)

    @cached_property
    def _batches(self) -> int:
        """Batches in all, where epochs or samples decide."""
        if self.wanted_samples is not None:
            return self._batches_until(self.wanted_samples)
        assert self.epochs is not None
        complete = int(self.epochs)
        # 2.1 - 2 is a little more than 0.1: without the margin ten batches would yield two.
        part = math.ceil((self.epochs - complete) * self._size(complete) - 1e-9)
        # However small the part of an epoch, a training takes a step.
        return max(1, self._start(complete) + part)

    def _batches_until(self, samples: int) -> int:
        seen = 0
        for batches in count():
            if seen >= samples:
                return batches
            epoch, offset = self._locate(batches)
            seen += len(self._of_epoch(epoch)[offset].members)
        raise AssertionError("a count has no end")

    def _start(self, epoch: int) -> int:
        """Return the number of batches before an epoch."""
        while len(self._starts) <= epoch:
            self._starts.append(self._starts[-1] + len(self._of_epoch(len(self._starts) - 1)))
        return self._starts[epoch]

    def _size(self, epoch: int) -> int:
        return self._start(epoch + 1) - self._start(epoch)

    def _locate(self, index: int) -> tuple[int, int]:
        """Return the epoch of a batch in the endless sequence, and its index in that epoch."""
        known = int(np.searchsorted(self._starts, index, side="right")) - 1
        epoch = next(epoch for epoch in count(known) if index < self._start(epoch + 1))
        return epoch, index - self._start(epoch)

    def make_epoch(self, epoch: int) -> tuple[Batch, ...]:
        """Return the batches of an epoch."""
        # From seed and epoch alone, so that a resumed training sees the order it would have seen.
        generator = np.random.default_rng([self.seed, epoch])
        n = len(self.lengths)
        chosen = n if self.odds is None else systematic_resample(self.odds, n, generator)
        cut = _packed if self.config.packing else _padded
        batches = [
            batch
            for group in self._groups(generator.permutation(chosen))
            for batch in cut(group, self.lengths, self.config)
        ]
        # Sorting by length put long batches next to each other; steps must not follow length.
        shuffled = [batches[index] for index in generator.permutation(len(batches))]
        if epoch == 0 and shuffled:
            # The batch that needs most memory leads, so that one that does not fit fails at once.
            costs = [cost(batch, self.lengths) for batch in shuffled]
            shuffled.insert(0, shuffled.pop(int(np.argmax(costs))))
        return tuple(shuffled)

    def _groups(self, order: Indices) -> Iterator[Indices]:
        """Yield samples that are put into batches together, longest first where they are sorted."""
        if not (self.config.grouped or self.config.packing):
            yield order
            return
        window = self.config.max_samples * WINDOW
        for start in range(0, len(order), window):
            group = order[start : start + window]
            # A stable sort leaves samples of equal length in their random order.
            yield group[np.argsort(-self.lengths[group], kind="stable")]


def assign_to_ranks(batches: Sequence[Batch], rank: int, world_size: int) -> tuple[Batch, ...]:
    """Return a worker's part of some batches: as many as every other worker has.

    Where they do not divide evenly, some workers repeat a batch that does not count: a worker
    without one would leave the others waiting for its gradients.
    """
    rounds = -(-len(batches) // world_size)
    spare = batches[0]._replace(counts=False)
    indices = range(rank, rounds * world_size, world_size)
    return tuple(batches[index] if index < len(batches) else spare for index in indices)


def systematic_resample(odds: Doubles, draws: int, generator: np.random.Generator) -> Indices:
    """Return samples (draws,) by `odds` (n,), each as often as expected within one (Madow 1949)."""
    stops = np.cumsum(odds) / odds.sum()
    # One offset for all draws: independent ones would leave samples out by chance.
    strides = (np.arange(draws) + generator.random()) / draws
    # The last stop may round to just below 1, and a stride beyond it would find no sample.
    samples: Indices = np.minimum(np.searchsorted(stops, strides, side="right"), len(odds) - 1)
    return samples


def cost(batch: Batch, lengths: Indices) -> int:
    """Return the tokens of a batch, padding included."""
    widths = [sum(int(lengths[sample]) for sample in row) for row in batch.rows]
    return max(widths) * len(widths)


def _padded(order: Indices, lengths: Indices, config: BatchesConfig) -> Iterator[Batch]:
    """Yield batches of one sample a row: rows times the longest stay within the tokens."""
    rows: list[Row] = []
    longest = 0
    for sample in order.tolist():
        length = int(lengths[sample])
        longest = max(longest, length)
        full = len(rows) == config.max_samples or longest * (len(rows) + 1) > config.max_tokens
        if rows and full:
            yield Batch(tuple(rows))
            # A long sample before must not narrow the batch that this one begins.
            rows, longest = [], length
        rows.append((sample,))
    if rows:
        yield Batch(tuple(rows))


def _packed(order: Indices, lengths: Indices, config: BatchesConfig) -> Iterator[Batch]:
    """Yield batches of one row that holds several samples: first fit, longest first."""
    bins: list[list[int]] = []
    room: list[int] = []
    for sample in order.tolist():
        length = int(lengths[sample])
        # Longest come first, so that short samples fill the gaps that long ones leave.
        fits = (index for index, left in enumerate(room) if left >= length)
        chosen = next((index for index in fits if len(bins[index]) < config.max_samples), None)
        if chosen is None:
            bins.append([])
            room.append(config.max_tokens)
            chosen = len(bins) - 1
        bins[chosen].append(sample)
        room[chosen] -= length
    return (Batch((tuple(members),)) for members in bins)
