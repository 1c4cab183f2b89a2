"""Compare a probe with a study of the same arms at the same budgets: do they rank alike?"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, Final

import numpy as np
from pydantic import ValidationError

from curation.probe.probe import ProbeResult
from curation.probe.settings import DEDUP_RANDOM, ArmConfig
from evaluation.study_scores import FULL, RANDOM, UNTRAINED, Trial, line_up, scored_cells
from medsift.errors import ManifestError, UsageError
from medsift.manifest import read
from medsift.manifest.evaluation_queries import read_evaluation
from medsift.manifest.study_queries import FINISHED, KNOWN
from medsift.statistics import Resampling, difference
from medsift.statistics.difference import Difference
from medsift.statistics.rank_agreement import (
    LEAST_CELLS,
    RankAgreement,
    ScoredCells,
    rank_agreement,
)
from medsift.statistics.seeds import seeded_interval
from medsift.validation_errors import explain
from ray_jobs.study.recipe import StudyRecipe

IN_PROBE: Final = {RANDOM: DEDUP_RANDOM}
"""A study draws its random sets from the pool; `random` of a probe draws from copies too."""
OVERALL: Final = "all"
WITHIN: Final = "within budgets"


@dataclass(frozen=True, slots=True)
class StudyCell:
    """An arm at a budget: as the study writes it, and the probe's name and share for it."""

    arm: str
    budget: str
    probe_arm: str
    share: float


@dataclass(frozen=True, slots=True)
class StoredStudy:
    """A study of a run, as the manifest has it."""

    study_id: str
    run_id: str
    recipe: StudyRecipe
    cells: Sequence[StudyCell]
    trials: Sequence[Trial]

    @property
    def probe_settings(self) -> dict[str, Any]:
        """Arms and budgets of the probe that asks the same question."""
        arms = [
            ArmConfig(name=name, method=arm.method, quotas=arm.quotas, quality=arm.quality)
            for name, arm in self.recipe.all_arms.items()
            if name != RANDOM
        ]
        shares = sorted({cell.share for cell in self.cells})
        return {"arms": [arm.model_dump(mode="json") for arm in arms], "budgets": shares}


def read_study(manifest: Path, named: str) -> StoredStudy:
    """Return a study by its name (the newest) or id, with the predictions of its finished trials.

    Raises:
        ManifestError: there is no such study.
        UsageError: it has too few finished trials, or its recipe is of another version.
    """
    known = read(manifest, KNOWN).to_pylist()
    found = [line for line in known if named in (line["study_id"], line["name"])]
    if not found:
        raise ManifestError(
            f"the manifest has no study {named!r}; it has "
            f"{', '.join(line['study_id'] for line in known) or 'none'}: make one with "
            "'medsift study RECIPE'",
            code="study_unknown",
            study=named,
            known=[line["study_id"] for line in known],
        )
    study_id, run_id = found[0]["study_id"], found[0]["run_id"]
    recipe = _stored_recipe(study_id, found[0]["recipe"])
    lines = read(manifest, FINISHED, {"run": run_id, "study": study_id}).to_pylist()
    pool = next((line["samples"] for line in lines if line["arm"] == FULL), 0)
    done = [line for line in lines if line["arm"] not in (FULL, UNTRAINED)]
    if len({(line["arm"], line["budget"]) for line in done}) < LEAST_CELLS or not pool:
        raise UsageError(
            f"study {study_id} has too few finished trials to rank: it needs {LEAST_CELLS} arms at "
            "budgets and the training on all data; run `medsift study` again, which resumes it",
            code="study_trials_unfit",
            study=study_id,
        )
    cells = {
        (line["arm"], line["budget"]): StudyCell(
            line["arm"],
            line["budget"],
            IN_PROBE.get(line["arm"], line["arm"]),
            _share(recipe, line["budget"], pool),
        )
        for line in done
    }
    trials = [
        Trial(
            line["arm"],
            line["budget"],
            line["samples"],
            line["seed"],
            read_evaluation(manifest, run_id, line["evaluation_id"], "predictions"),
        )
        for line in done
    ]
    return StoredStudy(study_id, run_id, recipe, list(cells.values()), trials)


def _stored_recipe(study_id: str, stored: str) -> StudyRecipe:
    try:
        return StudyRecipe.from_stored(json.loads(stored))
    except ValidationError as error:
        raise UsageError(
            f"the recipe of study {study_id} is of another version: {explain(error, StudyRecipe)}; "
            "run the study again",
            code="study_trials_unfit",
            study=study_id,
        ) from error


def _share(recipe: StudyRecipe, written: str, pool: int) -> float:
    """Return a budget of the study as a share of the pool."""
    budget = next(one for one in recipe.budgets if str(one) == written)
    return budget.fraction if budget.fraction is not None else (budget.count or 0) / pool


@dataclass(frozen=True, slots=True)
class CellScores:
    """What probe and fine-tuning say of one arm at one budget: accuracies with 95% intervals."""

    arm: str
    budget: str
    probe: float | None
    probe_low: float | None
    probe_high: float | None
    tuned: float | None
    tuned_low: float | None
    tuned_high: float | None


@dataclass(frozen=True, slots=True)
class OrderedPair:
    """Two arms at one budget that fine-tuning tells apart, and whether the probe agrees.

    `difference` is the accuracy of `better` less that of `worse`, of fine-tuning and of the probe.
    """

    budget: str
    better: str
    worse: str
    tuned: float
    probe: float
    probe_low: float
    probe_high: float


@dataclass(frozen=True, slots=True)
class Agreement:
    """Whether a probe and a study on one benchmark put arms and budgets in the same order.

    `ranks` has an entry for all cells, one for pairs within a budget alone, and one for each
    budget of at least three arms. `pairs` are those that fine-tuning tells apart.
    """

    study_id: str
    benchmark: str
    cells: Sequence[CellScores]
    ranks: dict[str, RankAgreement]
    pairs: Sequence[OrderedPair]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON takes it."""
        return asdict(self)


def compare_with_study(result: ProbeResult, study: StoredStudy) -> list[Agreement]:
    """Compare a probe with a study, on each of its benchmarks.

    Raises:
        UsageError: the probe lacks an arm or budget of the study, or the study has no trials.
    """
    lined = line_up(study.trials)
    own = {(cell.arm, round(cell.budget, 9)): cell.correct for cell in result.answers.cells}
    keys = [(cell.probe_arm, round(cell.share, 9)) for cell in study.cells]
    missing = [f"{arm} at {share:g}" for arm, share in keys if (arm, share) not in own]
    if missing:
        raise UsageError(
            f"the probe has no {', '.join(missing)}, which study {study.study_id} has; leave out "
            "--methods, --settings and budgets, so that they are the study's; budgets that come to "
            "one size in a small pool cannot be compared",
            code="study_trials_unfit",
            missing=missing,
        )
    probe = ScoredCells([own[key] for key in keys], result.answers.cluster)
    wanted = [(cell.arm, cell.budget) for cell in study.cells]
    return [
        _agreement(study, name, probe, scored_cells(lined, at, wanted))
        for name, at in lined.benchmarks()
    ]


def _agreement(
    study: StoredStudy, benchmark: str, probe: ScoredCells, tuned: ScoredCells
) -> Agreement:
    budgets = [cell.budget for cell in study.cells]
    ranks = {
        OVERALL: rank_agreement(probe, tuned),
        WITHIN: rank_agreement(probe, tuned, budgets),
    }
    for budget in dict.fromkeys(budgets):
        at = [place for place, written in enumerate(budgets) if written == budget]
        if len(at) >= LEAST_CELLS:
            ranks[budget] = rank_agreement(_part(probe, at), _part(tuned, at))
    cells = [
        CellScores(cell.arm, cell.budget, *_scores(probe, place), *_scores(tuned, place))
        for place, cell in enumerate(study.cells)
    ]
    pairs = list(_pairs(study, probe, tuned))
    return Agreement(study.study_id, benchmark, cells, ranks, pairs)


def _part(side: ScoredCells, places: Sequence[int]) -> ScoredCells:
    return ScoredCells([side.cells[place] for place in places], side.clusters)


def _scores(side: ScoredCells, place: int) -> tuple[float | None, float | None, float | None]:
    found = seeded_interval(side.cells[place], side.clusters)
    return found.value, found.low, found.high


def _pairs(study: StoredStudy, probe: ScoredCells, tuned: ScoredCells) -> Iterator[OrderedPair]:
    """Yield the pairs of arms at one budget whose difference after fine-tuning excludes zero."""
    for first, second in combinations(range(len(study.cells)), 2):
        one, other = study.cells[first], study.cells[second]
        if one.budget != other.budget:
            continue
        apart = _difference(tuned, first, second)
        if apart.value is None or apart.low is None or apart.high is None:
            continue
        if apart.low <= 0.0 <= apart.high:
            continue
        better, worse = (first, second) if apart.value > 0 else (second, first)
        seen = _difference(probe, better, worse)
        yield OrderedPair(
            budget=one.budget,
            better=study.cells[better].arm,
            worse=study.cells[worse].arm,
            tuned=abs(apart.value),
            probe=float(seen.value or 0.0),
            probe_low=float(seen.low or 0.0),
            probe_high=float(seen.high or 0.0),
        )


def _difference(side: ScoredCells, first: int, second: int) -> Difference:
    scores = [np.asarray(side.cells[place]) for place in (first, second)]
    return difference(scores[0], scores[1], side.clusters, Resampling())
