"""Run an improvement from its recipe: with the probe, or with fine-tunings."""

from __future__ import annotations

from curation.improve.improve import ImproveResult
from curation.improve.improve import improve as improve_run
from curation.improve.parts import Material
from curation.run_dir import FinishedRun
from medsift.progress import Listener
from ray_jobs.actions.curate import executor
from ray_jobs.improve.lora import LoraLearner, lora_learner
from ray_jobs.improve.recipe import ImproveRecipe


def improve(recipe: ImproveRecipe, ray: bool, listener: Listener) -> ImproveResult:
    """Run all arms of an improvement and store them in the run's manifest.

    Args:
        recipe: run, budget, rounds and trainer.
        ray: train on Ray, or in this process.
        listener: called with every event.

    Raises:
        MedSiftError: as the improvement, trainings and evaluations do.
    """

    def make(run: FinishedRun, material: Material, part: str) -> LoraLearner:
        return lora_learner(recipe, run, material, part, ray)

    with executor(ray, None) as engine:
        return improve_run(
            recipe.rounds_alone(),
            make_learner=make if recipe.trainer == "lora" else None,
            learner=recipe.learner(),
            executor=engine,
            listener=listener,
        )
