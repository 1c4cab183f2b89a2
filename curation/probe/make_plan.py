"""Decide whom a probe can ask about, and refuse a pool that it cannot say anything of."""

from __future__ import annotations

from collections import Counter

import numpy as np

from curation.probe.answers import NO_CLASS, Answers, answer_classes
from curation.probe.heap import Heap
from curation.probe.plan import SMALLEST, Plan
from curation.probe.settings import ProbeConfig
from curation.probe.subsets import cut_folds
from medsift.arrays import Flags
from medsift.errors import UsageError


def make_plan(heap: Heap, config: ProbeConfig, seed: int) -> Plan:
    """Cut the samples of a heap that can be asked about into folds.

    Raises:
        UsageError: no sample to train on, no two answers common enough to be asked about, too few
            groups for the folds, or a target that is no sample of the pool.
    """
    if not heap.in_pool.any():
        raise UsageError(
            "the run has no sample that may be trained on (split `train`, or none); see the view "
            "`funnel`",
            code="probe_pool_empty",
        )
    _check_targets(heap, config)
    answers = answer_classes(heap.samples.samples, heap.group, config.min_groups)
    answers = _without_vectors(answers, heap)
    part, usable = heap.take(answers.usable), answers.take(answers.usable)
    _check_answers(usable, config)
    groups = len(np.unique(part.group))
    if groups < config.folds:
        raise _too_few(groups, config)
    fold = cut_folds(part.samples, part.group, config.folds, seed)
    plan = Plan(part, usable, fold, config, {})
    if min(len(plan.trained_on(number)) for number in range(config.folds)) < SMALLEST:
        raise _too_few(groups, config)
    if not len(plan.all_asked):
        raise _nothing_to_ask(config, "no answer is given in two of the folds")
    return Plan(part, usable, fold, config, _left_out(answers, heap, plan))


def _check_targets(heap: Heap, config: ProbeConfig) -> None:
    pool = heap.take(np.flatnonzero(heap.in_pool)).samples.sample_ids
    for arm in config.arms:
        if arm.method.within(pool) != arm.method:
            raise UsageError(
                f"arm {arm.name!r} names samples that the pool lacks: name ids of kept samples "
                "that may be trained on",
                code="target_invalid",
                arm=arm.name,
            )


def _without_vectors(answers: Answers, heap: Heap) -> Answers:
    """Leave out samples of which the probe would see nothing: no picture and no question."""
    vectors = heap.samples.vectors
    seen: Flags = np.logical_or(vectors.image.any(axis=1), vectors.question.any(axis=1))
    if vectors.question_letters is not None:
        seen |= vectors.question_letters.any(axis=1)
    label = np.where(seen, answers.label, NO_CLASS)
    reason = [
        "no vector" if not visible and not why else why
        for visible, why in zip(seen.tolist(), answers.reason, strict=True)
    ]
    return Answers(label, answers.classes, answers.offered, reason)


def _check_answers(usable: Answers, config: ProbeConfig) -> None:
    given = np.unique(usable.label)
    if not len(given):
        named = f"no answer is given by {config.min_groups} groups of pictures or patients"
        raise _nothing_to_ask(config, named)
    if len(given) == 1:
        only = usable.classes[int(given[0])]
        raise _nothing_to_ask(config, f"every sample that can be asked about is answered {only!r}")


def _nothing_to_ask(config: ProbeConfig, why: str) -> UsageError:
    return UsageError(
        f"{why}, so the probe has nothing to ask about; lower min_groups, or judge this pool by "
        "fine-tuning (`medsift study`)",
        code="probe_nothing_to_ask",
        min_groups=config.min_groups,
    )


def _too_few(groups: int, config: ProbeConfig) -> UsageError:
    return UsageError(
        f"the samples that can be asked about are of {groups:,} groups of pictures or patients, "
        f"too few for {config.folds} folds that each leave samples to train on; lower folds (2 at "
        "least), or curate more pictures",
        code="probe_folds_invalid",
        groups=groups,
        folds=config.folds,
    )


def _left_out(answers: Answers, heap: Heap, plan: Plan) -> dict[str, int]:
    """Count the pool's samples that nobody is asked about, by reason."""
    counts = Counter(
        reason
        for reason, kept in zip(answers.reason, heap.in_pool.tolist(), strict=True)
        if kept and reason
    )
    alone = int(plan.part.in_pool.sum()) - len(plan.all_asked)
    return dict(sorted({**counts, **({"answer of one fold": alone} if alone else {})}.items()))
