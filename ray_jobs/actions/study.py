"""Run a study as the command line starts it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ray_jobs.progress_views import announced

if TYPE_CHECKING:
    from ray_jobs.study.recipe import StudyRecipe
    from ray_jobs.study.study import StudyResult


def conduct_and_report(recipe: StudyRecipe, *, ray: bool | None, log_json: bool) -> StudyResult:
    """Conduct a study, and show the progress. Raises MedSiftError as `conduct` does."""
    from medsift.progress import StudyFinished
    from ray_jobs.study.study import conduct

    with announced(log_json) as listener:
        result = conduct(recipe, recipe.compute.ray if ray is None else ray, listener)
        listener(
            StudyFinished(
                study_id=result.study_id,
                run_id=result.run_id,
                manifest=result.manifest,
                page=result.page,
                trials=len(result.trials),
                failed=len(result.failed),
            )
        )
    return result
