"""Divide a budget among strata: shares, minimums, and where an unfilled share goes."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from curation.pool.groups import Groups as Groups
from curation.selection.budget import check_budget
from medsift.arrays import Doubles, Indices
from medsift.config import Config
from medsift.errors import UsageError


class QuotasConfig(Config):
    """Settings of the share of a selection that each stratum gets."""

    renamed_keys: ClassVar[Mapping[str, str]] = {"floor": "min_per_stratum"}

    kind: Literal["proportional", "equal", "temperature", "weights", "none"] = "proportional"
    """Shares by size, all alike, by size^(1 / temperature), as given, or no quotas at all."""
    by: Literal["strata", "skill", "source"] = "strata"
    """What the shares are of: the recipe's strata, the sources, or the run's skills, which
    `scores.skills` of the recipe makes."""
    temperature: float = Field(default=2.0, gt=0.0)
    """Exponent of kind `temperature`: 1 is proportional; the higher, the nearer to equal."""
    weights: dict[str, float] = Field(default_factory=dict)
    """Weight of each stratum by its name; one that is not named gets samples when these are
    full."""
    min_per_stratum: int = Field(default=1, ge=0)
    """Samples that each stratum of some weight gets at least, as far as it has them."""

    @model_validator(mode="before")
    @classmethod
    def _kind_alone(cls, quotas: Any) -> Any:
        return {"kind": quotas} if isinstance(quotas, str) else quotas

    @model_validator(mode="after")
    def _weights_are_valid(self) -> QuotasConfig:
        if (self.kind == "weights") != bool(self.weights):
            raise ValueError("give `weights` with kind: weights, and with no other kind")
        for name, weight in self.weights.items():
            if not 0.0 <= weight < np.inf:
                raise ValueError(f"the weight of {name!r} is {weight}; give 0 or more")
        if self.kind == "none" and self.by != "strata":
            raise ValueError(f"kind: none has no shares; leave out by: {self.by}, or the kind")
        if self.weights and not any(self.weights.values()):
            raise ValueError("all weights are 0; give a stratum some weight")
        return self

    def counts(self, groups: Groups, budget: int) -> Indices:
        """Return the samples (g,) to take from each group; they sum to `budget`.

        Raises:
            UsageError: a stratum named in `weights` that the pool does not have, or a budget above
                the pool's size.
        """
        shares = groups.sizes.astype(np.float64)
        if self.kind == "weights":
            self._check_names(groups.names)
            shares = np.array([self.weights.get(name, 0.0) for name in groups.names])
        elif self.kind == "equal":
            shares = np.ones(len(shares))
        elif self.kind == "temperature":
            shares = shares ** (1.0 / self.temperature)
        return allocate(groups.sizes, shares, budget, self.min_per_stratum)

    def _check_names(self, strata: Sequence[str]) -> None:
        for name in self.weights:
            if name not in strata:
                near = difflib.get_close_matches(name, strata, n=1, cutoff=0.0)
                hint = f"did you mean {near[0]!r}?" if near else "the pool is empty"
                message = f"quotas.weights names stratum {name!r}, which the pool lacks; {hint}"
                raise UsageError(message, code="quota_stratum_unknown", stratum=name, nearest=near)


def allocate(sizes: Indices, weights: Doubles, budget: int, least: int) -> Indices:
    """Split a budget over groups by weight; the counts (g,) sum to it.

    Each group gets λ · weight samples, but at least `least` (where its weight is not 0) and at most
    what it has, with λ such that all are given out: what a full group cannot take goes to groups
    with room, in proportion to their weights. Fractions are rounded by largest remainder, of equals
    the first by name. Groups of weight 0 get samples when all others are full, by size. A budget
    below the sum of minimums is given out one by one, the heaviest group first.

    Args:
        sizes: Samples (g,) that each group has.
        weights: Weight (g,) of each group.
        budget: Samples to give out.
        least: Samples that each group of some weight gets at least, as far as it has them.

    Raises:
        UsageError: a budget above the sum of sizes.
    """
    check_budget(budget, int(sizes.sum()))
    lower = np.where(weights > 0.0, np.minimum(least, sizes), 0)
    if lower.sum() >= budget:
        # One sample a group and turn, the heaviest group first, until the budget is used up.
        heaviest = np.argsort(-weights, kind="stable")
        turns = range(int(lower.max(initial=0)))
        taken = [group for turn in turns for group in heaviest if lower[group] > turn]
        taken_from = np.array(taken[:budget], np.int64)
        return np.bincount(taken_from, minlength=len(lower)).astype(np.int64)
    weighted = np.where(weights > 0.0, sizes, 0)
    if weighted.sum() <= budget:
        rest, left = sizes - weighted, budget - weighted.sum()
        return weighted + fill_between(rest.astype(np.float64), np.zeros_like(rest), rest, left)
    return fill_between(weights, lower, weighted, budget)


def fill_between(weights: Doubles, lower: Indices, upper: Indices, budget: int) -> Indices:
    """Fill groups (g,) like vessels of one water level, lower ≤ count ≤ upper, and round.

    Each group gets λ · weight samples within its bounds, with λ such that all sum to the budget,
    which must be within the bounds' sums.
    """
    if not budget:
        return np.zeros_like(upper)
    ideal = np.clip(_level(upper, weights, lower, budget) * weights, lower, upper)
    # A margin over the error of the bisection: a whole number must not be rounded down by 1.
    count = np.minimum(np.floor(ideal + 1e-9).astype(np.int64), upper)
    while (short := budget - int(count.sum())) > 0:
        with_room = np.flatnonzero(count < upper)
        # A stable sort: of equal remainders the first by name.
        best = with_room[np.argsort(-(ideal - count)[with_room], kind="stable")]
        count[best[:short]] += 1
    return count


def _level(upper: Indices, weights: Doubles, lower: Indices, budget: int) -> float:
    """Return the λ at which clip(λ · weights, lower, upper) sums to the budget, from below."""
    used = weights > 0.0
    low, high = 0.0, float((upper[used] / weights[used]).max())
    # Until the last bit: no double is between the two.
    while low < (middle := 0.5 * (low + high)) < high:
        if np.minimum(np.maximum(middle * weights, lower), upper).sum() <= budget:
            low = middle
        else:
            high = middle
    return low
