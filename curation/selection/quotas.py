"""Divide a budget among strata: shares, floors, and where an unfilled share goes."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from medsift.arrays import Doubles, Indices
from medsift.config import Config
from medsift.errors import UsageError


@dataclass(frozen=True, slots=True)
class Groups:
    """Samples in groups that quotas are for: `names` (g) sorted, each sample's `code` (n,)."""

    names: tuple[str, ...]
    code: Indices

    @classmethod
    def of(cls, names: Sequence[str]) -> Groups:
        """Number the strata (n) of samples."""
        distinct, code = np.unique(np.array(names, dtype=object).astype(str), return_inverse=True)
        return cls(tuple(distinct.tolist()), code.astype(np.int64))

    @classmethod
    def one(cls, n: int) -> Groups:
        """A single group of all n samples."""
        return cls(("",), np.zeros(n, np.int64))

    @property
    def sizes(self) -> Indices:
        """Samples in each group (g,)."""
        return np.bincount(self.code, minlength=len(self.names)).astype(np.int64)


class QuotasConfig(Config):
    """What share of a selection each stratum gets."""

    renamed_keys: ClassVar[Mapping[str, str]] = {"floor": "min_per_stratum"}

    kind: Literal["proportional", "equal", "temperature", "weights", "none"] = "proportional"
    """By size, all alike, by size^(1 / temperature), as given, or no quotas at all."""
    temperature: float = Field(default=2.0, gt=0.0)
    """1 is proportional; the higher, the nearer to equal."""
    weights: dict[str, float] = Field(default_factory=dict)
    """Weight of each stratum by its name; one that is not named gets rows when these are full."""
    min_per_stratum: int = Field(default=1, ge=0)
    """Samples that each stratum of some weight gets at least, as far as it has them."""

    @model_validator(mode="before")
    @classmethod
    def _kind_alone(cls, given: Any) -> Any:
        return {"kind": given} if isinstance(given, str) else given

    @model_validator(mode="after")
    def _weights_are_some(self) -> QuotasConfig:
        if (self.kind == "weights") != bool(self.weights):
            raise ValueError("give `weights` with kind: weights, and with no other kind")
        low = [name for name, weight in self.weights.items() if not 0.0 <= weight < np.inf]
        if low:
            raise ValueError(f"the weight of {low[0]!r} is {self.weights[low[0]]}; give 0 or more")
        if self.weights and not any(self.weights.values()):
            raise ValueError("all weights are 0; give a stratum some weight")
        return self

    def counts(self, groups: Groups, budget: int) -> Indices:
        """Samples (g,) to take from each group; they sum to `budget`.

        Raises:
            UsageError: a stratum named in `weights` that the pool does not have, a budget above
                the pool's size, or weights that all lie on strata that are not there.
        """
        return allocate(groups.sizes, self.shares(groups), budget, self.min_per_stratum)

    def shares(self, groups: Groups) -> Doubles:
        """Weight (g,) of each group.

        Raises:
            UsageError: a stratum named in `weights` that the pool does not have.
        """
        sizes = groups.sizes.astype(np.float64)
        if self.kind == "weights":
            _check_names(self.weights, groups.names)
            return np.array([self.weights.get(name, 0.0) for name in groups.names])
        if self.kind == "equal":
            return np.ones(len(sizes))
        return sizes ** (1.0 / self.temperature) if self.kind == "temperature" else sizes


def allocate(sizes: Indices, weights: Doubles, budget: int, floor: int) -> Indices:
    """Split `budget` over groups of `sizes` (g,) by `weights` (g,); the counts sum to it.

    Each group gets λ · weight samples, but at least `floor` (where its weight is not 0) and at most
    what it has, with λ such that all are given out: what a full group cannot take flows to groups
    with room, in proportion to their weights. Fractions are rounded by largest remainder, of equals
    the first by name. Groups of weight 0 get rows when all others are full, by size. A budget below
    the sum of floors is given out one by one, the heaviest group first.

    Raises:
        UsageError: a budget above the sum of sizes.
    """
    if budget > sizes.sum():
        raise UsageError(
            f"the budget is {budget} samples, the pool has {sizes.sum()}; ask for at most that "
            "many",
            code="budget_invalid",
        )
    least = np.where(weights > 0.0, np.minimum(floor, sizes), 0)
    if least.sum() >= budget:
        return _in_turn(least, weights, budget)
    weighty = np.where(weights > 0.0, sizes, 0)
    if weighty.sum() <= budget:
        rest = np.where(weights > 0.0, 0, sizes)
        return weighty + _fill(
            rest, rest.astype(np.float64), np.zeros_like(rest), budget - weighty.sum()
        )
    return _fill(weighty, weights, least, budget)


def _fill(most: Indices, weights: Doubles, least: Indices, budget: int) -> Indices:
    """Water-filling with least ≤ count ≤ most, and largest-remainder rounding."""
    if not budget:
        return np.zeros_like(most)
    ideal = np.clip(_level(most, weights, least, budget) * weights, least, most)
    count = np.minimum(np.floor(ideal + 1e-9).astype(np.int64), most)
    while short := budget - int(count.sum()):
        open_ = np.flatnonzero(count < most)
        best = open_[np.argsort(-(ideal - count)[open_], kind="stable")]
        count[best[:short]] += 1
    return count


def _level(most: Indices, weights: Doubles, least: Indices, budget: int) -> float:
    """The λ at which clip(λ · weights, least, most) sums to the budget, from below."""
    used = weights > 0.0
    low, high = 0.0, float((most[used] / weights[used]).max())
    for _ in range(100):
        middle = 0.5 * (low + high)
        if np.clip(middle * weights, least, most).sum() <= budget:
            low = middle
        else:
            high = middle
    return low


def _in_turn(least: Indices, weights: Doubles, budget: int) -> Indices:
    """One sample a group and turn, the heaviest group first, until the budget is gone."""
    heaviest = np.argsort(-weights, kind="stable")
    turns = [
        group
        for turn in range(int(least.max(initial=0)))
        for group in heaviest
        if least[group] > turn
    ]
    return np.bincount(np.array(turns[:budget], np.int64), minlength=len(least)).astype(np.int64)


def _check_names(given: dict[str, float], names: Sequence[str]) -> None:
    for name in given:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1, cutoff=0.0)
            hint = f"did you mean {near[0]!r}?" if near else "the pool is empty"
            raise UsageError(
                f"quotas.weights names stratum {name!r}, which the pool lacks; {hint}",
                code="quota_stratum_unknown",
            )
