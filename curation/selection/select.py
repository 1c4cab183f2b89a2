"""Make one selection: from settings to an ordered, weighted subset with its curve."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

import numpy as np

from curation.selection.budget import BudgetConfig, check_budget, estimate_tokens
from curation.selection.config import SelectionConfig
from curation.selection.coverage import Curve, distribute_mass, measure_coverage, measure_curve
from curation.selection.method import Candidates, Picked
from curation.selection.quality import Scores, read_quality
from curation.selection.quotas import Groups
from curation.selection.row_picker import RowPicker
from medsift.arrays import Doubles, Indices
from medsift.errors import UsageError
from medsift.execution import Executor
from medsift.records import digest, digest_all, fingerprint

logger = logging.getLogger(__name__)

POINTS_OF_CURVE: Final = 50


@dataclass(frozen=True, slots=True)
class Selection:
    """Selected samples in their order, and how they were selected.

    `config` has its seed and its quotas filled in. `order` (m,) are rows of the pool; `gain` (m,)
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
    enough: int | None = None,
) -> Selection:
    """Make one selection. The result depends on its arguments but for the executor alone.

    Args:
        candidates: The pool with its neighbour graph.
        scores: The run's scores, from which quality comes.
        config: What to select.
        seed: The recipe's seed, used where the selection has none of its own.
        executor: Where the method's tasks run when the pool is large.
        enough: The size that a probe chose, needed where the budget is `auto`.

    Raises:
        UsageError: a budget that the pool cannot meet, a scorer, stratum or target that it lacks.
        InputError: vectors that are not finite.
    """
    config = resolve(config, seed)
    quality = read_quality(candidates.pool.ids, scores, config.quality)
    everyone = estimate_tokens(candidates.pool.samples, config.image_tokens)
    rows = np.arange(len(candidates))
    if config.mix is not None:
        rows = config.mix.candidates(candidates.pool, quality, config.seed or 0, config.name)
        candidates, quality = candidates.only(rows), quality[rows]
    tokens = everyone[rows]
    # What the budget and the quotas refuse is refused before the work.
    size = config.budget.size(len(tokens)) or enough
    if config.budget.tokens is not None:
        check_budget(config.budget.tokens, int(tokens.sum()), "tokens")
    picker = RowPicker(
        candidates, config.method, config.quotas, quality, config.seed or 0, executor, scores
    )
    _warn_of_short_sources(config, picker.groups, picker.counts(size or 0))
    pick = picker.pick
    picked = pick(size) if size else _search(config.budget, pick, candidates, tokens)
    sizes = np.unique(np.linspace(1, len(picked.order), POINTS_OF_CURVE).round()).astype(np.int64)
    return Selection(
        config=config,
        fingerprint=_fingerprint(candidates, config, quality, picker.groups, enough),
        order=rows[picked.order],
        gain=picked.gain,
        weight=distribute_mass(candidates, picked.order),
        curve=measure_curve(candidates, picked.order, sizes),
        tokens=everyone,
    )


def _warn_of_short_sources(config: SelectionConfig, groups: Groups, counts: Indices) -> None:
    """Say which sources of a mix have fewer samples than their share of the budget."""
    shares = {} if config.mix is None else config.mix.shares
    for source, count in zip(groups.names, counts.tolist(), strict=True):
        wanted = shares.get(source, 0.0) * counts.sum()
        if count < np.floor(wanted):
            logger.warning(
                "selection %s: source %s has %s samples of the %s of its share; others fill it",
                *(config.name, source, f"{count:,}", f"{round(wanted):,}"),
            )


def resolve(config: SelectionConfig, seed: int) -> SelectionConfig:
    """Return the settings with seed and quotas filled in."""
    seed = seed if config.seed is None else config.seed
    shares = None if config.mix is None else config.mix.quotas
    quotas = config.quotas or shares or config.method.usual_quotas
    return config.model_copy(update={"seed": seed, "quotas": quotas})


def _search(
    budget: BudgetConfig, pick: Callable[[int], Picked], candidates: Candidates, tokens: Indices
) -> Picked:
    """Find the size by bisection: each step is a whole selection of its size.

    By tokens: a selection that fits where the one of the next size does not. By coverage: one that
    reaches the level where the one of the size before does not.
    """
    if budget.tokens is not None:
        most = budget.tokens
        size = _first(lambda size: int(tokens[pick(size).order].sum()) > most, len(tokens)) - 1
        if not size:
            needed = int(tokens[pick(1).order].sum())
            message = (
                f"the budget of {most} tokens is too small for any sample: the first one selected "
                f"has {needed}; ask for more"
            )
            raise UsageError(
                message, code="budget_invalid", budget=most, needed=needed, unit="tokens"
            )
        return pick(size)
    if budget.coverage is None:
        raise ValueError(f"the budget {budget} needs the size that a probe chose")
    level, n = budget.coverage, len(tokens)
    return pick(_first(lambda size: measure_coverage(candidates, pick(size).order) >= level, n))


def _first(reached: Callable[[int], bool], most: int) -> int:
    """Return a size from 1 to most + 1 that is reached where the one before is not.

    The size most + 1 counts as reached: no selection is tried there.
    """
    low, high = 0, most + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if reached(middle) else (middle, high)
    return high


def _fingerprint(
    candidates: Candidates,
    config: SelectionConfig,
    quality: Doubles,
    groups: Groups,
    enough: int | None,
) -> str:
    """Digest what decides the selection.

    Args:
        candidates: The pool and its graph.
        config: The settings.
        quality: Quality (n,) by the scores.
        groups: Groups of the quotas.
        enough: The size that a probe chose, if one did.
    """
    # The name decides nothing, and the scorer decides by the values that it gave.
    settings = config.model_dump(mode="json", exclude={"name", "quality"})
    decisive: dict[str, Any] = {
        "selection": config.with_first_names(settings),
        "graph": candidates.config.model_dump(mode="json"),
        "pool": digest_all(chain(candidates.pool.iter_ids(), [candidates.mass.tobytes()])),
        "neighbours": candidates.graph.digest(),
        "strata": digest_all(candidates.strata),
        "groups": digest(*groups.names, groups.code.tobytes()),
        "quality": digest(quality.tobytes()),
    }
    if config.mix is None:
        # Selections from before there were mixes keep their identity.
        del decisive["selection"]["mix"]
    return fingerprint(decisive if enough is None else decisive | {"size": enough})
