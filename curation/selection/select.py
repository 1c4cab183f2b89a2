"""One selection, from settings to an ordered, weighted subset with its curve."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from curation.selection.budget import BudgetConfig
from curation.selection.config import SelectionConfig
from curation.selection.coverage import Curve, coverage, curve, weights
from curation.selection.method import Candidates, Picked, SelectionContext
from curation.selection.quality import Scores, quality_of
from curation.selection.quotas import Groups
from curation.selection.tokens import estimated_tokens
from medsift.arrays import Doubles, Indices
from medsift.errors import UsageError
from medsift.execution import Executor
from medsift.records import digest, fingerprint

POINTS: Final = 50
"""Points of a curve."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Selected samples in their order, and how they were selected.

    `config` has its seed and its quotas filled in. `order` (m,) are places in the pool; `gain` (m,)
    is NaN where the method has none; the weights (m,) sum to the pool's mass. `tokens` (n,) are
    those of all candidates.
    """

    config: SelectionConfig
    fingerprint: str
    order: Indices
    gain: Doubles
    weight: Doubles
    curve: Curve
    tokens: Indices

    @property
    def objective(self) -> Doubles | None:
        """Value of the objective after each pick (m,), where the method has one."""
        return np.cumsum(self.gain) if self.config.method.additive else None


def select(
    candidates: Candidates,
    scores: Scores,
    config: SelectionConfig,
    seed: int,
    executor: Executor,
) -> Selection:
    """Make one selection. The result depends on pool, graph, scores, settings and seed alone.

    Raises:
        UsageError: a budget that the pool cannot meet, a scorer, stratum or target that it lacks.
        InputError: vectors that are not finite.
    """
    config, quotas = resolved(config, seed), config.usual_or_given_quotas
    seed = config.seed or 0
    groups = Groups.one(len(candidates)) if quotas.kind == "none" else candidates.strata
    quality = quality_of(candidates.sample_ids, scores, config.quality)
    tokens = estimated_tokens(candidates.pool.samples, config.image_tokens)
    # What the budget and the quotas refuse is refused before the work.
    size = _checked_size(config.budget, tokens)
    quotas.counts(groups, size or 0)
    pick = config.method.picker(SelectionContext(candidates, groups, quality, seed, executor))

    def at(size: int) -> Picked:
        return pick(quotas.counts(groups, size))

    picked = at(size) if size is not None else _search(config.budget, at, candidates, tokens)
    sizes = np.unique(np.linspace(1, len(picked.order), POINTS).round()).astype(np.int64)
    similarities, mass = candidates.similarities, candidates.mass
    return Selection(
        config=config,
        fingerprint=_fingerprint(candidates, config, quality),
        order=picked.order,
        gain=picked.gain,
        weight=weights(similarities, mass, candidates.strata.code, picked.order),
        curve=curve(similarities, mass, picked.order, sizes),
        tokens=tokens,
    )


def resolved(config: SelectionConfig, seed: int) -> SelectionConfig:
    """The settings with what they leave open filled in."""
    filled = {
        "seed": seed if config.seed is None else config.seed,
        "quotas": config.usual_or_given_quotas,
    }
    return config.model_copy(update=filled)


def _checked_size(budget: BudgetConfig, tokens: Indices) -> int | None:
    """The size that the budget names, or None where it must be searched. Raises UsageError."""
    size = budget.size(len(tokens))
    if budget.tokens is not None and budget.tokens > tokens.sum():
        raise UsageError(
            f"the budget is {budget.tokens} tokens, the pool has {tokens.sum()}; ask for at most "
            "that many",
            code="budget_invalid",
        )
    return size


def _search(
    budget: BudgetConfig, at: Callable[[int], Picked], candidates: Candidates, tokens: Indices
) -> Picked:
    """Find the size by bisection: each step is a whole selection of its size.

    By tokens: a selection that fits where the one of the next size does not. By coverage: one that
    reaches the level where the one of the size before does not.
    """
    if budget.tokens is not None:
        most = budget.tokens
        size = _first(lambda size: int(tokens[at(size).order].sum()) > most, len(tokens)) - 1
        if not size:
            raise UsageError(
                f"the budget of {most} tokens holds no sample: the first one selected has "
                f"{tokens[at(1).order].sum()}; ask for more",
                code="budget_invalid",
            )
        return at(size)
    level, mass, values = budget.auto or 1.0, candidates.mass, candidates.similarities
    return at(_first(lambda size: coverage(values, mass, at(size).order) >= level, len(tokens)))


def _first(reached: Callable[[int], bool], most: int) -> int:
    """A size from 1 to most + 1 that is reached where the one before is not; most + 1 always is."""
    low, high = 0, most + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if reached(middle) else (middle, high)
    return high


def _fingerprint(candidates: Candidates, config: SelectionConfig, quality: Doubles) -> str:
    """Digest of what decides the selection: settings, pool and scores."""
    graph = candidates.graph
    settings = config.model_dump(mode="json", exclude={"name", "quality"})
    return fingerprint(
        {
            "selection": config.with_first_names(settings),
            "graph": candidates.config.model_dump(mode="json"),
            "pool": digest(*candidates.sample_ids, candidates.mass.tobytes()),
            "neighbours": digest(graph.index.tobytes(), graph.similarity.tobytes()),
            "strata": digest(*candidates.pool.strata),
            "quality": digest(quality.tobytes()),
        }
    )
