"""Train a learner on selections and ask it about samples: the probe, or any other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from curation.improve.curve_quotas import CellErrors
from curation.improve.parts import Material
from curation.improve.settings import CurvesConfig
from curation.probe.answers import answer_classes
from curation.probe.space import probe_space
from curation.probe.subsets import draw_random
from curation.probe.trainings import ProbeTrainer, Trainings
from curation.selection.quotas import Groups
from medsift.arrays import Doubles, Flags, Indices
from medsift.errors import UsageError
from medsift.execution import Executor


class Learner(Protocol):
    """Learns from a selection of some material, and answers questions about it."""

    @property
    def askable(self) -> Flags:
        """Whether each sample (n,) of the material can be asked about."""

    def wrong(self, selection: str, rows: Indices, asked: Indices) -> Doubles:
        """Return how wrong each asked sample (m,) is answered after training on `rows`.

        Args:
            selection: name of the selection in the manifest.
            rows: its places in the material.
            asked: places (m,) of samples that can be asked about.
        """


class ProbeLearner:
    """The probe of `medsift probe` on frozen vectors: a closed form, without a seed of its own."""

    def __init__(self, material: Material, min_groups: int, seed: int) -> None:
        pool = material.pool
        self.answers = answer_classes(pool.samples, material.group, min_groups)
        self.usable = self.answers.label >= 0
        self.trainer = ProbeTrainer(probe_space(pool.vectors, seed), self.answers, material.group)

    @property
    def askable(self) -> Flags:
        """Whether each sample (n,) has an answer that enough groups give."""
        return self.usable

    def wrong(self, selection: str, rows: Indices, asked: Indices) -> Doubles:
        """Return 1.0 for each asked sample (m,) that is answered wrongly, else 0.0."""
        return np.asarray(1.0 - self.trainer(self._training(selection, [rows], asked))[0])

    def errors(
        self,
        train: Indices,
        asked: Indices,
        cells: Groups,
        asked_cell: Indices,
        config: CurvesConfig,
        seed: int,
        executor: Executor,
    ) -> CellErrors:
        """Train on random subsets of growing size, and return the errors by cell.

        Args:
            train: Places (n,) of the candidates.
            asked: Places (m,) of the samples asked about.
            cells: Cells of the candidates.
            asked_cell: Cell (m,) of each sample asked about.
            config: Sizes and draws.
            seed: Of the draws.
            executor: Where trainings run.
        """
        trainings, sizes, learned = [], [], []
        none = np.zeros(len(asked))
        for budget in config.budgets:
            size = max(2, round(budget * len(train)))
            # Everything can be drawn in one way only.
            draws = 1 if size == len(train) else config.draws
            places = [
                draw_random(np.arange(len(train)), size, (seed, size, draw))
                for draw in range(draws)
            ]
            counts = [np.bincount(cells.code[own], minlength=len(cells.names)) for own in places]
            sizes.append(np.mean(counts, axis=0))
            # A small subset may have no answer that the probe knows: then it answers nothing.
            known = [train[own] for own in places if self.usable[train[own]].any()]
            learned.append(len(known) / draws)
            if known:
                trainings.append(self._training("random", known, asked))
        correct = iter(executor.run(self.trainer, trainings))
        right = [share * next(correct).mean(axis=0) if share else none for share in learned]
        wrong = 1.0 - np.stack(right)
        groups = np.unique(self.trainer.group[asked], return_inverse=True)[1].astype(np.int64)
        return CellErrors(np.maximum(np.stack(sizes, axis=1), 0.5), wrong, asked_cell, groups)

    def _training(self, name: str, subsets: Sequence[Indices], asked: Indices) -> Trainings:
        """Return trainings on the samples of subsets that have a class. Raises UsageError."""
        usable = [rows[self.usable[rows]] for rows in subsets]
        if min(len(rows) for rows in usable) < 1:
            raise UsageError(
                f"a selection of {len(subsets[0])} samples has none whose answer the probe knows; "
                "select more, lower min_groups, or set trainer: lora",
                code="improve_nothing_to_learn",
                selection=name,
            )
        return Trainings(name, 0.0, 0, usable, asked)
