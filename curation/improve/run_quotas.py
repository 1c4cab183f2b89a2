"""Fit the learning curves of a whole run's cells, and say which quotas follow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from curation.add_selection import check_selected
from curation.improve.curve_quotas import CellErrors, CurveQuotas, curve_quotas
from curation.improve.learner import ProbeLearner
from curation.improve.parts import TRAIN, Material
from curation.improve.settings import CurvesConfig
from curation.pool import load_pool
from curation.probe.subsets import cut_folds
from curation.run_dir import open_run
from curation.selection.budget import BudgetConfig
from curation.selection.quotas import Groups, QuotasConfig
from medsift.errors import UsageError
from medsift.execution import Executor, LocalExecutor
from medsift.leakage_groups import components


@dataclass(frozen=True, slots=True)
class RunQuotas:
    """The quotas that the learning curves of a run's cells advise for a budget."""

    cells: tuple[str, ...]
    tags: tuple[str, ...]
    have: tuple[int, ...]
    asked: int
    curves: CurveQuotas

    @property
    def verdict(self) -> str:
        """Whether the quotas are worth it, in one sentence."""
        made = self.curves
        gain = f"{100 * made.gain:+.1f} points ({100 * made.low:+.1f} to {100 * made.high:+.1f})"
        if made.worthwhile:
            return f"Quotas by learning curves are predicted to lower the error by {gain}."
        return (
            f"Learning curves predict no sure gain over proportional quotas ({gain}): keep "
            "proportional quotas."
        )

    def quotas(self) -> dict[str, Any]:
        """Return the settings `quotas` of a selection."""
        if not self.curves.worthwhile:
            return {"kind": "proportional"}
        counts = self.curves.advised.tolist()
        return {"kind": "weights", "weights": dict(zip(self.cells, counts, strict=True))}


def run_quotas(
    run_dir: Path,
    budget: BudgetConfig,
    *,
    cells: Sequence[str] | None = None,
    config: CurvesConfig = CurvesConfig(),  # noqa: B008 - frozen
    folds: int = 4,
    min_groups: int = 5,
    floor: float = 0.01,
    executor: Executor = LocalExecutor(),  # noqa: B008 - frozen
) -> RunQuotas:
    """Train probes on random subsets of a run's pool, and divide a budget by the cells' curves.

    Each sample of the pool is asked about by probes that never saw its picture or patient. Cells
    weigh as much as they are asked about.

    Args:
        run_dir: a finished run.
        budget: size of the selection that the quotas are for.
        cells: tags whose values together name a cell; the run's strata when not given.
        config: sizes, draws and resamples.
        folds: parts of the pool, each asked about by probes trained on the others.
        min_groups: groups that must give an answer for it to be asked about.
        floor: share of the budget that each cell gets at least.
        executor: where trainings run.

    Raises:
        UsageError: a budget that is no count or share below everything, or nothing to ask about.
        MedSiftError: as `open_run`.
    """
    run = open_run(run_dir)
    check_selected(run)
    seed, tags = run.recipe.seed, tuple(cells or run.recipe.strata)
    pool = load_pool(run.upstream, tags, shared_space=False)
    size = budget.size(len(pool))
    if size is None or size >= len(pool):
        raise UsageError(
            f"quotas are for a count or a share below the pool's {len(pool):,} samples, not for "
            f"{budget}",
            code="budget_invalid",
            budget=str(budget),
            pool=len(pool),
        )
    group = components(pool.samples, pool.images.select(["image_id", "group_id"]), "patient")
    probe = ProbeLearner(Material(pool, group, [TRAIN] * len(pool)), min_groups, seed)
    fold = cut_folds(pool, group, folds, seed)
    strata, parts, asked = Groups.of(pool.strata), [], []
    for number in range(folds):
        own = np.flatnonzero((fold == number) & probe.askable)
        if not len(own):
            continue
        train = np.flatnonzero(fold != number)
        inside = Groups(strata.names, strata.code[train])
        parts.append(probe.errors(train, own, inside, strata.code[own], config, seed, executor))
        asked.append(own)
    if not parts:
        raise UsageError(
            "no sample of the pool has an answer that enough groups give; curate more samples, or "
            "judge by fine-tuning",
            code="probe_nothing_to_ask",
        )
    rows = np.concatenate(asked)
    errors = CellErrors(
        np.mean([part.sizes for part in parts], axis=0),
        np.concatenate([part.wrong for part in parts], axis=1),
        strata.code[rows],
        np.unique(group[rows], return_inverse=True)[1].astype(np.int64),
    )
    share = np.bincount(errors.cell, minlength=len(strata.names)) / len(rows)
    usual = QuotasConfig().counts(strata, size)
    least = int(np.ceil(floor * size - 1e-9))
    made = curve_quotas(errors, share, strata.sizes, usual, least, seed, config.resamples)
    return RunQuotas(strata.names, tags, tuple(strata.sizes.tolist()), len(rows), made)
