"""Which samples a step sees: the same ones whatever the number of workers, and after any restart.

Batches follow from the seed and the epoch alone. A step takes the next `per_step` of them, across
epochs, and deals them out to the workers; so a position in training is nothing but a step number.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import count
from typing import Final, NamedTuple

import numpy as np

from medsift.arrays import Doubles, Indices
from training.recipe import BatchesConfig

WINDOW: Final = 64
"""Batches whose samples are sorted by length together: enough that little is padded."""

Row = tuple[int, ...]
"""Places of the samples in one row of a batch: one, or several that are packed."""


class Batch(NamedTuple):
    """What one device sees at once. One that does not `count` is there to keep workers in step."""

    rows: tuple[Row, ...]
    counts: bool = True

    @property
    def members(self) -> list[int]:
        """Places of all its samples."""
        return [place for row in self.rows for place in row]


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """The order of training over samples of `lengths` (n,) tokens.

    With `odds` (n,) samples are drawn by them, as often in an epoch as there are samples;
    otherwise each is seen once. Ends after `steps`, or after `epochs`.
    """

    lengths: Indices
    config: BatchesConfig
    seed: int
    per_step: int
    odds: Doubles | None = None
    wanted_steps: int | None = None
    epochs: float | None = None
    _epochs: Epochs = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_epochs", Epochs(self.lengths, self.config, self.seed, self.odds))

    @property
    def steps(self) -> int:
        """Optimiser steps in all."""
        if self.wanted_steps is not None:
            return self.wanted_steps
        return -(-self._batches // self.per_step)

    def batches(self, step: int) -> tuple[Batch, ...]:
        """The batches of a step, from 0; the last step may have fewer."""
        first = step * self.per_step
        last = first + self.per_step
        if self.wanted_steps is None:
            last = min(last, self._batches)
        return tuple(self._epochs.batch(place) for place in range(first, last))

    def share(self, step: int, rank: int, world_size: int) -> tuple[Batch, ...]:
        """A worker's batches of a step; see `assign_to_ranks`."""
        return assign_to_ranks(self.batches(step), rank, world_size)

    def epoch(self, steps: int) -> float:
        """Passes over the samples after so many steps."""
        return self._epochs.passed(steps * self.per_step)

    @property
    def _batches(self) -> int:
        """Batches in all, where epochs decide."""
        assert self.epochs is not None
        whole = int(self.epochs)
        part = math.ceil((self.epochs - whole) * self._epochs.size(whole) - 1e-9)
        return max(1, self._epochs.start(whole) + part)


class Epochs:
    """The endless sequence of batches, epoch by epoch."""

    def __init__(
        self, lengths: Indices, config: BatchesConfig, seed: int, odds: Doubles | None
    ) -> None:
        self.lengths, self.config, self.seed, self.odds = lengths, config, seed, odds
        self.starts = [0]
        self.batches = lru_cache(maxsize=2)(self._make)

    def batch(self, place: int) -> Batch:
        """The batch at a place in the sequence."""
        epoch = next(e for e in count(self._epoch_near(place)) if place < self.start(e + 1))
        return self.batches(epoch)[place - self.start(epoch)]

    def start(self, epoch: int) -> int:
        """Batches before an epoch."""
        while len(self.starts) <= epoch:
            self.starts.append(self.starts[-1] + len(self.batches(len(self.starts) - 1)))
        return self.starts[epoch]

    def size(self, epoch: int) -> int:
        """Batches of an epoch."""
        return self.start(epoch + 1) - self.start(epoch)

    def passed(self, place: int) -> float:
        """Epochs, whole and in part, before a place in the sequence."""
        epoch = next(e for e in count(self._epoch_near(place)) if place < self.start(e + 1))
        return epoch + (place - self.start(epoch)) / self.size(epoch)

    def _epoch_near(self, place: int) -> int:
        """The last epoch known to start at or before a place."""
        return int(np.searchsorted(self.starts, place, side="right")) - 1

    def _make(self, epoch: int) -> tuple[Batch, ...]:
        generator = np.random.default_rng([self.seed, epoch])
        order = self._order(generator)
        groups = list(self._groups(order))
        cut = _packed if self.config.packing else _padded
        batches = [batch for group in groups for batch in cut(group, self.lengths, self.config)]
        shuffled = [batches[place] for place in generator.permutation(len(batches))]
        return _costliest_first(shuffled, self.lengths) if epoch == 0 else tuple(shuffled)

    def _order(self, generator: np.random.Generator) -> Indices:
        n = len(self.lengths)
        if self.odds is None:
            return generator.permutation(n)
        return generator.permutation(systematic_resample(self.odds, n, generator))

    def _groups(self, order: Indices) -> Iterator[Indices]:
        """Samples that are put into batches together; sorted, longest first, if that is asked."""
        if not (self.config.grouped or self.config.packing):
            yield order
            return
        window = self.config.max_samples * WINDOW
        for start in range(0, len(order), window):
            group = order[start : start + window]
            yield group[np.argsort(-self.lengths[group], kind="stable")]


def assign_to_ranks(batches: Sequence[Batch], rank: int, world_size: int) -> tuple[Batch, ...]:
    """A worker's batches of some: as many as every other has.

    Where they do not come out even, some work once more on a batch that does not count.
    """
    rounds = -(-len(batches) // world_size)
    spare = batches[0]._replace(counts=False)
    places = range(rank, rounds * world_size, world_size)
    return tuple(batches[place] if place < len(batches) else spare for place in places)


def systematic_resample(odds: Doubles, draws: int, generator: np.random.Generator) -> Indices:
    """Places (draws,) drawn by `odds` (n,), each as often as it should be, to within one.

    Systematic resampling (Madow 1949): one random number, then equal strides.
    """
    stops = np.cumsum(odds) / odds.sum()
    strides = (np.arange(draws) + generator.random()) / draws
    found: Indices = np.minimum(np.searchsorted(stops, strides, side="right"), len(odds) - 1)
    return found


def _padded(order: Indices, lengths: Indices, config: BatchesConfig) -> Iterator[Batch]:
    """Batches of one sample a row: rows times the longest stay within the tokens."""
    rows: list[Row] = []
    longest = 0
    for place in order.tolist():
        reach = max(longest, int(lengths[place]))
        if rows and (
            len(rows) == config.max_samples or reach * (len(rows) + 1) > config.max_tokens
        ):
            yield Batch(tuple(rows))
            rows, reach = [], int(lengths[place])
        rows.append((place,))
        longest = reach
    if rows:
        yield Batch(tuple(rows))


def _packed(order: Indices, lengths: Indices, config: BatchesConfig) -> Iterator[Batch]:
    """Batches of one row that holds several samples: first fit, longest first."""
    bins: list[list[int]] = []
    room: list[int] = []
    for place in order.tolist():
        length = int(lengths[place])
        fits = (b for b, left in enumerate(room) if left >= length)
        here = next((b for b in fits if len(bins[b]) < config.max_samples), None)
        if here is None:
            bins.append([])
            room.append(config.max_tokens)
            here = len(bins) - 1
        bins[here].append(place)
        room[here] -= length
    return (Batch((tuple(held),)) for held in bins)


def _costliest_first(batches: Sequence[Batch], lengths: Indices) -> tuple[Batch, ...]:
    """The batch that takes most memory leads: what does not fit shows at once."""
    if not batches:
        return ()
    costs = [cost(batch, lengths) for batch in batches]
    worst = int(np.argmax(costs))
    return (batches[worst], *batches[:worst], *batches[worst + 1 :])


def cost(batch: Batch, lengths: Indices) -> int:
    """Tokens of a batch, padding included."""
    held = [sum(int(lengths[place]) for place in row) for row in batch.rows]
    return max(held) * len(held)
