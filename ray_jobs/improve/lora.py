"""Fine-tune a model on each selection of an improvement, and ask it about the run's samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from curation.improve.parts import Material
from curation.run_dir import FinishedRun
from evaluation.evaluate import check_answered
from evaluation.evaluate_model import evaluate_model
from evaluation.open_benchmarks import OpenBenchmark, open_benchmarks
from evaluation.recipe import EvaluationRecipe
from medsift.arrays import Doubles, Flags, Indices
from medsift.execution import LocalExecutor
from medsift.manifest import append_tables
from medsift.progress import silent
from medsift.storage.run_lock import claimed
from ray_jobs.actions.train import train_quietly
from ray_jobs.evaluation_models import generator_settings, takes_images
from ray_jobs.improve.recipe import ImproveRecipe
from ray_jobs.study.recipe import StudyTraining


@dataclass(frozen=True)
class LoraLearner:
    """A model that is fine-tuned on a selection and then asked about one part of the material.

    A training or reply that exists already is reused, so that a killed improvement continues.
    """

    recipe: ImproveRecipe
    training: StudyTraining
    run: FinishedRun
    material: Material
    questions: dict[str, Any]
    """Settings of the benchmark that has the part's samples."""
    benchmarks: list[OpenBenchmark]
    askable: Flags
    """Whether each sample (n,) is a question that a model can be asked."""
    ray: bool

    def wrong(self, selection: str, rows: Indices, asked: Indices) -> Doubles:
        """Return 1 less the score (m,) of the model's answers to each asked sample."""
        trained = train_quietly(
            self.training.trial(
                name=selection,
                seed=self.recipe.seed,
                run=self.run.run_dir,
                run_id=self.run.run_id,
                selection=selection,
            ),
            self.ray,
            silent,
        )
        model = generator_settings(
            selection,
            self.training,
            self.recipe.evaluation,
            sees=takes_images(self.training.base),
            result=trained.training.result,
        )
        evaluation = _evaluation(self.recipe, self.run, self.questions, model)
        [generator] = evaluation.models
        evaluated = evaluate_model(evaluation, generator, self.benchmarks, LocalExecutor())
        with claimed(self.run.run_dir, wait=True):
            append_tables(self.run.manifest, self.run.run_id, evaluated.tables)
        check_answered([evaluated], evaluation.failures.tolerance)
        predictions = evaluated.predictions.select(["item_id", "score"]).to_pylist()
        score = {row["item_id"]: row["score"] for row in predictions}
        row_ids = self.material.pool.samples["row_id"].to_pylist()
        return np.array([1.0 - score[row_ids[row]] for row in asked.tolist()])


def lora_learner(
    recipe: ImproveRecipe, run: FinishedRun, material: Material, part: str, ray: bool
) -> LoraLearner:
    """Return the learner whose model is asked about one part of the material.

    Raises InputError or UsageError where the part's samples cannot be asked about.
    """
    assert recipe.training is not None, "checked where the recipe is made"
    questions = {
        "kind": "manifest",
        "path": str(run.manifest),
        "run_id": run.run_id,
        "label": f"{recipe.name}_{part}",
        "sample_ids": material.ids(part),
    }
    opened = open_benchmarks(_evaluation(recipe, run, questions, {"kind": "majority"}))
    known = set(opened[0].varied["item_id"].to_pylist())
    askable = np.array([row in known for row in material.pool.samples["row_id"].to_pylist()])
    return LoraLearner(recipe, recipe.training, run, material, questions, opened, askable, ray)


def _evaluation(
    recipe: ImproveRecipe, run: FinishedRun, questions: dict[str, Any], model: dict[str, Any]
) -> EvaluationRecipe:
    """Return the recipe that asks a model about the samples of a benchmark's settings."""
    return recipe.evaluation.trial(
        name=recipe.name,
        seed=recipe.seed,
        run=run.run_dir,
        cache=run.run_dir.parent / "cache",
        models=[model],
        benchmarks=[questions],
    )
