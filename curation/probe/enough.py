"""Find the smallest share of a pool that a probe shows to be enough: the budget `auto`."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from curation.probe.answers import answer_classes
from curation.probe.enough_text import why_enough, why_not_shown
from curation.probe.manifest_tables import ProbeTables, probe_tables
from curation.probe.run_probe import ProbeInputs, run_probe
from curation.probe.settings import BASELINES, FULL, ArmConfig, ProbeConfig
from curation.selection.config import SelectionConfig
from medsift.errors import UsageError
from medsift.execution import Executor
from medsift.records import digest, fingerprint

SHARES: Final = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
"""Sizes tried. They are fixed beforehand, and nothing is tried between them: a size chosen after
looking would be one more comparison, and the error of the sequence would no longer be that of
one."""
FOLDS: Final = 4
LEAST_ASKED: Final = 0.5
"""Share of the pool that must have an answer that a probe can ask about, to speak for the pool."""
REMEDY: Final = "give the budget as coverage:0.9 or as a share such as 20%"
CANNOT_ASK: Final = ("probe_pool_empty", "probe_nothing_to_ask", "probe_folds_invalid")


@dataclass(frozen=True, slots=True)
class Enough:
    """The share of the pool that is enough, why, and the probe that shows it."""

    share: float
    explanation: str
    probe: ProbeTables

    def size(self, pool: int) -> int:
        """Return the samples of a pool of `pool` that the share is, at least 1."""
        return max(1, int(self.share * pool + 0.5))


def probe_of(config: SelectionConfig) -> ProbeConfig:
    """Return the settings of the probe that decides a selection's budget `auto`.

    Its one arm is the selection with its own quotas and quality. Random subsets, which only show
    the selection's worth in the figure, are drawn once per fold: they cost most of the time.
    """
    # The names of the baselines are taken in every probe.
    name = f"{config.name}_selection" if config.name in BASELINES else config.name
    arm = ArmConfig(name=name, method=config.method, quotas=config.quotas, quality=config.quality)
    return ProbeConfig(
        arms=[arm],
        budgets=list(SHARES),
        draws=FOLDS,
        folds=FOLDS,
        margin=config.budget.auto or 0.0,
    )


def find_enough(
    inputs: ProbeInputs,
    config: SelectionConfig,
    seed: int,
    pool: str,
    executor: Executor,
    advance: Callable[[int], None] = lambda done: None,
) -> Enough:
    """Probe a selection at `SHARES`, and return the smallest that is enough.

    The share is of what a probe is trained on, three quarters of the pool in whole groups, and is
    taken of the whole pool: where copies make it redundant, that is more than is needed.

    Args:
        inputs: The run's samples, vectors, scores and settings.
        config: The selection, whose budget is `auto`.
        seed: Seed of folds, draws and of the method.
        pool: Digest of the pool.
        executor: Where trainings run; results do not depend on it.
        advance: Called with the number of cells finished so far, of at most
            `probe_of(config).cells`: in a small pool the smallest shares come to one size.

    Raises:
        UsageError: the probe cannot ask about enough of the pool, learns nothing from all of it,
            or shows no share to be enough.
    """
    started = time.perf_counter()
    settings = probe_of(config)
    _check_asked(inputs, config, settings)
    try:
        done = run_probe(inputs, settings, seed, executor, advance)
    except UsageError as error:
        if error.code not in CANNOT_ASK:
            raise
        message = f"selection {config.name!r}: the budget auto asks a probe; {error}; or {REMEDY}"
        raise UsageError(message, code="auto_budget_not_askable", **error.values) from error
    tables = probe_tables(
        done,
        settings,
        probe_id=_probe_id(inputs, settings, pool, seed),
        seed=seed,
        seconds=time.perf_counter() - started,
        created_at=None,
    )
    _check_share(config, settings, done.answers.asked.num_rows, int(inputs.heap.in_pool.sum()))
    _check_learned(config, tables)
    arm = settings.arms[0].name
    curve = [row for row in tables.overall if row["arm"] == arm]
    chosen = smallest_enough(curve)
    if chosen is None:
        raise UsageError(
            f"selection {config.name!r}: {why_not_shown(curve, settings.margin)}; allow more with "
            f"auto:0.05, or {REMEDY}",
            code="auto_budget_not_shown",
            selection=config.name,
            margin=settings.margin,
            **{name: max(curve, key=_size)[name] for name in ("budget", "full_low", "full_high")},
        )
    return Enough(chosen["budget"], why_enough(curve, chosen, settings.margin), tables)


def smallest_enough(curve: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """Return the smallest size that, like every larger one, is non-inferior to all rows.

    Sizes are tested from the largest to the smallest, each at the full level, until the first that
    is not shown to be non-inferior. Hypotheses tested in a fixed order need no correction: an
    error is made only if the first true one is rejected, whose chance is that of one test (Maurer,
    Hothorn and Lehmacher 1995, "Multiple comparisons in drug clinical trials and preclinical
    assays: a-priori ordered hypotheses"). Returns None where the largest fails.

    Args:
        curve: The results of one arm, with `budget` and `non_inferiority`, in any order.
    """
    chosen = None
    for row in sorted(curve, key=_size, reverse=True):
        if row["non_inferiority"] != "non-inferior":
            break
        chosen = row
    return chosen


def _probe_id(inputs: ProbeInputs, settings: ProbeConfig, pool: str, seed: int) -> str:
    """Return the id of a probe: the digest of all that decides its results."""
    decisive = [
        settings.model_dump(mode="json", exclude={"spread_above"}),
        inputs.graph.model_dump(mode="json"),
        inputs.neighbors.identity(),
        digest(*inputs.heap.samples.strata),
    ]
    return fingerprint(["auto", *decisive, pool, seed])[:12]


def _size(row: Mapping[str, Any]) -> float:
    return float(row["budget"])


def _check_asked(inputs: ProbeInputs, config: SelectionConfig, settings: ProbeConfig) -> None:
    """Refuse a pool most of whose samples the probe would leave out."""
    heap = inputs.heap
    answers = answer_classes(heap.samples.samples, heap.group, settings.min_groups)
    askable = int(heap.in_pool[answers.usable].sum())
    _check_share(config, settings, askable, int(heap.in_pool.sum()))


def _check_share(config: SelectionConfig, settings: ProbeConfig, asked: int, pool: int) -> None:
    """Refuse a size that would rest on less than half of the pool's samples."""
    if asked < LEAST_ASKED * pool:
        raise UsageError(
            f"selection {config.name!r}: the budget auto asks a probe, which can ask about "
            f"{asked:,} of the pool's {pool:,} samples, those with an answer that "
            f"{settings.min_groups} groups of pictures or patients give, and speaks for them "
            f"alone; {REMEDY}",
            code="auto_budget_not_askable",
            selection=config.name,
            asked=asked,
            pool=pool,
        )


def _check_learned(config: SelectionConfig, probe: ProbeTables) -> None:
    """Refuse a probe to which all rows teach nothing: any few would be as good as they are."""
    [full] = (row for row in probe.overall if row["arm"] == FULL)
    majority = probe.runs["majority"][0].as_py()
    if full["low"] is None or full["low"] <= majority:
        raise UsageError(
            f"selection {config.name!r}: the budget auto asks a probe, which learns nothing from "
            f"this pool: all rows give {full['accuracy']:.1%} right answers, and always giving the "
            f"commonest answer {majority:.1%}; {REMEDY}",
            code="auto_budget_not_learned",
            selection=config.name,
            low=full["low"],
            majority=majority,
        )
