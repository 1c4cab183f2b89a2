"""Choose the samples of a round: within counts of each cell, some by what the last round missed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from curation.improve.settings import ImproveConfig
from curation.pool import GraphConfig, Pool
from curation.pool.graph import joint_vectors
from curation.selection.budget import BudgetConfig, estimate_tokens
from curation.selection.config import SelectionConfig
from curation.selection.coverage import distribute_mass, measure_curve
from curation.selection.method import Candidates, MethodConfig
from curation.selection.quality import Scores
from curation.selection.quantized_vectors import quantize
from curation.selection.quotas import QuotasConfig
from curation.selection.select import POINTS_OF_CURVE, Selection, select
from curation.selection.target import TargetConfig
from curation.selection.turns import Rankings, take_turns
from medsift.arrays import Doubles, Indices
from medsift.execution import Executor
from medsift.records import fingerprint

WITHOUT_ANSWER: Final = GraphConfig(answer=0.0)
"""Vectors by which failures are targets: picture and question."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """A selection from the training part, and why each of its m samples is in it.

    `target` (m,) is the place in the pool of the failure that a sample is one of the nearest to, -1
    where the method of all arms picked it; `similarity` (m,) is their cosine, NaN there.
    """

    selection: Selection
    target: Indices
    similarity: Doubles


@dataclass(frozen=True, slots=True)
class Chooser:
    """Chooses from the training part with the settings of all arms.

    `pool` has training part and validation data; `rows` (n,) are the places of the candidates.
    """

    pool: Pool
    rows: Indices
    candidates: Candidates
    scores: Scores
    config: ImproveConfig
    seed: int
    executor: Executor

    def by_counts(self, name: str, counts: Indices) -> Chosen:
        """Pick `counts` (g,) samples of each cell by the method of all arms."""
        config = self._settings(name, counts, self.config.method)
        made = select(self.candidates, self.scores, config, self.seed, self.executor)
        m = len(made.order)
        return Chosen(made, np.full(m, -1), np.full(m, np.nan))

    def by_failures(self, name: str, counts: Indices, failures: Indices) -> Chosen:
        """Pick `counts` (g,) samples of each cell, a share of them by its failures.

        In a cell with failures, the method of all arms picks first; the share `targeted` of the
        count then goes to the samples nearest to the failures, which take turns as in `target`
        (RDS+, arXiv 2503.01807). Nearness is of picture and question: no answer of a failure is
        looked at.

        Args:
            name: name of the selection.
            counts: samples of each cell.
            failures: places (f,) in the pool of the samples that the last round got wrong.
        """
        names = self.candidates.strata.names
        place = {cell: number for number, cell in enumerate(names)}
        # A failure of a cell without candidates has nothing that could be selected for it.
        strata = [self.pool.strata[row] for row in failures.tolist()]
        cell = np.array([place.get(name, -1) for name in strata], np.int64)
        missed = np.bincount(cell[cell >= 0], minlength=len(names)) > 0
        aimed = np.where(missed, np.rint(self.config.targeted * counts), 0).astype(np.int64)
        if not aimed.any():
            return self.by_counts(name, counts)
        first = np.zeros(0, np.int64)
        if (counts > aimed).any():
            first = self.by_counts(name, counts - aimed).selection.order
        rows, targets, similarity = self._nearest(aimed, failures, cell, first)
        order = np.concatenate([first, rows])
        ids = self.pool.sample_ids
        method = TargetConfig(
            sample_ids=tuple(ids[row] for row in failures.tolist()), max_targets=len(failures)
        )
        return Chosen(
            self._selection(self._settings(name, counts, method), order),
            np.concatenate([np.full(len(first), -1), targets]),
            np.concatenate([np.full(len(first), np.nan), similarity]),
        )

    def _nearest(
        self, aimed: Indices, failures: Indices, cell: Indices, taken: Indices
    ) -> tuple[Indices, Indices, Doubles]:
        """Return candidates, the failure that each is near to, and their cosines, cell by cell."""
        both = self.pool.vectors.take(np.concatenate([self.rows, failures]))
        vectors = quantize(joint_vectors(both, WITHOUT_ANSWER))
        n, code = len(self.candidates), self.candidates.strata.code
        free = np.ones(n, bool)
        free[taken] = False
        parts = []
        for number in np.flatnonzero(aimed).tolist():
            asking = np.flatnonzero(cell == number)
            # Group 0 is the cell's free candidates; of group 1, all others, none is taken.
            group = np.ones(len(vectors), np.int64)
            group[:n][free & (code == number)] = 0
            rows, takers = take_turns(
                Rankings(vectors, n + asking), group, np.array([aimed[number], 0])
            )
            parts.append(
                (rows, failures[asking[takers]], vectors.cosines(rows, n + asking[takers]))
            )
        rows, targets, cosines = (np.concatenate(column) for column in zip(*parts, strict=True))
        return rows, targets, np.asarray(cosines, np.float64)

    def _settings(self, name: str, counts: Indices, method: MethodConfig) -> SelectionConfig:
        names = self.candidates.strata.names
        weights = dict(zip(names, counts.astype(float).tolist(), strict=True))
        return SelectionConfig(
            name=name,
            method=method.model_dump(),
            budget=BudgetConfig(count=int(counts.sum())),
            quotas=QuotasConfig(kind="weights", weights=weights, min_per_stratum=0),
            seed=self.seed,
        )

    def _selection(self, config: SelectionConfig, order: Indices) -> Selection:
        ids = self.candidates.sample_ids
        sizes = np.unique(np.linspace(1, len(order), POINTS_OF_CURVE).round()).astype(np.int64)
        return Selection(
            config=config,
            fingerprint=fingerprint(
                [config.model_dump(mode="json"), [ids[row] for row in order.tolist()]]
            ),
            order=order,
            gain=np.full(len(order), np.nan),
            weight=distribute_mass(self.candidates, order),
            curve=measure_curve(self.candidates, order, sizes),
            tokens=estimate_tokens(self.candidates.pool.samples, config.image_tokens),
        )
