"""Run the arms: proportional, stratified, one-shot by learning curves, and the loop's rounds."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from curation.improve.choosing import Chooser, Chosen
from curation.improve.curve_quotas import CurveQuotas, curve_quotas
from curation.improve.learner import Learner, ProbeLearner
from curation.improve.moving_quotas import bounded_counts, excess, move_quotas, shrink_errors
from curation.improve.parts import TRAIN, VALIDATION, Material, refuse_test_data
from curation.improve.settings import ImproveConfig
from curation.selection.quotas import QuotasConfig
from medsift.arrays import Doubles, Indices
from medsift.errors import UsageError
from medsift.statistics.multiple import holm, paired_p

PROPORTIONAL: Final = "proportional"
STRATIFIED: Final = "stratified"
ONE_SHOT: Final = "one_shot"
LOOP: Final = "loop"
MOST: Final = 1.5
"""Standard deviations at which a cell's excess error is cut."""


@dataclass(frozen=True, slots=True)
class Round:
    """A selection of one arm and what it taught.

    `parent` is the selection whose failures and errors led to it. `counts` (g,) are its samples by
    cell, `wrong` (m,) how wrong each validation sample is answered, `errors` and `shrunk` (g,) the
    errors by cell before and after shrinking, `excess` (g,) what moves the next quotas. `change`
    (g,) is the fall of the error against proportional quotas; in the loop `p` (g,) is its p and
    `adjusted` (g,) that after Holm over rounds and cells. NaN where there is no such figure.
    """

    arm: str
    number: int
    parent: str | None
    chosen: Chosen
    counts: Indices
    wrong: Doubles
    errors: Doubles
    shrunk: Doubles
    excess: Doubles
    change: Doubles
    p: Doubles
    adjusted: Doubles

    @property
    def selection(self) -> str:
        """Name of its selection."""
        return self.chosen.selection.config.name


@dataclass(frozen=True, slots=True)
class Rounds:
    """All rounds, on training and validation data alone.

    `asked` (m,) are places of the validation samples asked about; `asked_by_cell` and
    `importance` (g,) are of the `cells`.
    """

    rounds: tuple[Round, ...]
    curves: CurveQuotas
    cells: tuple[str, ...]
    have: Indices
    asked: Indices
    asked_by_cell: Indices
    importance: Doubles

    def last(self, arm: str) -> Round:
        """Return the last round of an arm."""
        return [each for each in self.rounds if each.arm == arm][-1]


def run_rounds(
    material: Material,
    chooser: Chooser,
    probe: ProbeLearner,
    learner: Learner,
    test_ids: list[str],
    prefix: str,
    keep: Callable[[Chosen], None],
) -> Rounds:
    """Select, train and judge each arm; the loop moves its quotas after every round.

    Args:
        material: training part and validation data; test data are not in it.
        chooser: chooses from the training part.
        probe: whose curves on random subsets the one-shot arm follows.
        learner: what is trained on each selection.
        test_ids: sample ids that must be neither selected nor asked about.
        prefix: beginning of the selections' names.
        keep: stores a selection before it is trained on.

    Raises:
        UsageError: a cell in `importance` that there is not, or nothing that can be asked about.
        LedgerError: test data in a selection or in the validation data.
    """
    config, cells = chooser.config, chooser.candidates.strata
    train, validation = material.rows(TRAIN), material.rows(VALIDATION)
    refuse_test_data(material.ids(VALIDATION), test_ids, "validation")
    asked = validation[learner.askable[validation]]
    cell = _cells_of(material, asked, cells.names)
    # A sample of a cell that cannot be selected from moves no quota.
    asked, cell = asked[cell >= 0], cell[cell >= 0]
    if not len(asked):
        raise UsageError(
            "no validation sample has an answer that the learner can be asked about; lower "
            "min_groups, or raise the share of validation",
            code="probe_nothing_to_ask",
        )
    by_cell = np.bincount(cell, minlength=len(cells.names))
    importance = _importance(config, cells.names, by_cell)
    budget = _budget(config, len(train))
    usual = QuotasConfig().counts(cells, budget)

    def judge(arm: str, number: int, parent: str | None, chosen: Chosen) -> Round:
        order = chosen.selection.order
        ids = chooser.candidates.sample_ids
        refuse_test_data((ids[row] for row in order.tolist()), test_ids, "a selection")
        keep(chosen)
        wrong = learner.wrong(chosen.selection.config.name, train[order], asked)
        errors, shrunk, _ = shrink_errors(wrong, cell, len(cells.names))
        counts = np.bincount(cells.code[order], minlength=len(cells.names))
        z = excess(shrunk, importance, MOST)
        none = np.full(len(cells.names), np.nan)
        parts = (wrong, errors, shrunk, z, none, none, none)
        return Round(arm, number, parent, chosen, counts, *parts)

    first = judge(PROPORTIONAL, 0, None, chooser.by_counts(f"{prefix}.{PROPORTIONAL}", usual))
    rounds = [first]
    equal = QuotasConfig(kind="equal").counts(cells, budget)
    rounds.append(judge(STRATIFIED, 0, None, chooser.by_counts(f"{prefix}.{STRATIFIED}", equal)))
    curves = _curves(material, chooser, probe, cell, asked, importance, usual)
    one_shot = chooser.by_counts(f"{prefix}.{ONE_SHOT}", curves.advised)
    rounds.append(judge(ONE_SHOT, 0, None, one_shot))
    prior = usual / usual.sum()
    quota, before = prior, first
    for number in range(1, config.rounds + 1):
        quota = move_quotas(quota, prior, before.excess, config.step, config.prior)
        counts = bounded_counts(quota, cells.sizes, usual, config.floor, config.cap)
        quota = counts / counts.sum()
        failures = asked[before.wrong >= 0.5]
        chosen = chooser.by_failures(f"{prefix}.{LOOP}{number}", counts, failures)
        before = judge(LOOP, number, before.selection, chosen)
        rounds.append(before)
    return Rounds(
        _tested(rounds, cell, material.group[asked], len(cells.names)),
        curves,
        cells.names,
        cells.sizes,
        asked,
        by_cell,
        importance,
    )


def _cells_of(material: Material, rows: Indices, names: tuple[str, ...]) -> Indices:
    place = {name: number for number, name in enumerate(names)}
    return np.array([place.get(material.pool.strata[row], -1) for row in rows.tolist()], np.int64)


def _importance(config: ImproveConfig, names: tuple[str, ...], asked: Indices) -> Doubles:
    if not config.importance:
        return np.asarray(asked / asked.sum(), np.float64)
    for name in config.importance:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1, cutoff=0.0)
            message = f"importance names cell {name!r}, which the pool lacks; "
            message += f"did you mean {near[0]!r}?"
            raise UsageError(message, code="quota_stratum_unknown", stratum=name, nearest=near)
    weights = np.array([config.importance.get(name, 0.0) for name in names])
    return np.asarray(weights / weights.sum(), np.float64)


def _budget(config: ImproveConfig, pool: int) -> int:
    size = config.budget.size(pool)
    assert size is not None, "a count or a share has a size"
    if size >= pool:
        raise UsageError(
            f"a budget of {size:,} leaves nothing to choose in a training part of {pool:,} "
            "samples; ask for fewer",
            code="budget_invalid",
            budget=size,
            pool=pool,
        )
    return size


def _curves(
    material: Material,
    chooser: Chooser,
    probe: ProbeLearner,
    cell: Indices,
    asked: Indices,
    importance: Doubles,
    usual: Indices,
) -> CurveQuotas:
    config, cells = chooser.config, chooser.candidates.strata
    known = probe.askable[asked]
    errors = probe.errors(
        material.rows(TRAIN),
        asked[known],
        cells,
        cell[known],
        config.curves,
        chooser.seed,
        chooser.executor,
    )
    floor = int(np.ceil(config.floor * usual.sum() - 1e-9))
    return curve_quotas(
        errors, importance, cells.sizes, usual, floor, chooser.seed, config.curves.resamples
    )


def _tested(rounds: list[Round], cell: Indices, group: Indices, cells: int) -> tuple[Round, ...]:
    """Compare each selection with the first by cell; the loop's are tested, adjusted together."""
    first, *later = rounds
    shape = (len(later), cells)
    change, p, adjusted = (np.full(shape, np.nan) for _ in range(3))
    for row, each in enumerate(later):
        for number in np.unique(cell).tolist():
            own = cell == number
            change[row, number] = first.wrong[own].mean() - each.wrong[own].mean()
            # Other arms are judged on the test data alone: more tests would only blunt these.
            if each.arm == LOOP:
                p[row, number] = paired_p(first.wrong[own], each.wrong[own], group[own].tolist())
    known = ~np.isnan(p)
    adjusted[known] = holm(p[known])
    parts = zip(later, change, p, adjusted, strict=True)
    return (
        first,
        *(replace(each, change=fall, p=own, adjusted=after) for each, fall, own, after in parts),
    )
