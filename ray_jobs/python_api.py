"""Curate, withdraw, train, evaluate, improve, construct and check from Python, as commands do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medsift import recipe_yaml
from medsift.extras import names_missing_extra
from medsift.progress import Listener, silent
from medsift.recipe_yaml import Model

if TYPE_CHECKING:
    from curation.construct.construct import ConstructResult
    from curation.construct.settings import ConstructRecipe
    from curation.improve.improve import ImproveResult
    from curation.recipe import Recipe
    from curation.run import Run
    from curation.withdraw.finish import Removed
    from evaluation.evaluate import EvaluationResult
    from evaluation.recipe import EvaluationRecipe
    from ray_jobs.actions.stages import Staged
    from ray_jobs.check.plan import Plan
    from ray_jobs.improve.recipe import ImproveRecipe
    from ray_jobs.stages.recipe import StagesRecipe
    from training.recipe import TrainingRecipe
    from training.run import Trained


@names_missing_extra
def curate(
    recipe: str | Path | Mapping[str, Any] | Recipe,
    run_dir: str | Path | None = None,
    *,
    set: Sequence[str] = (),
    ray: bool | None = None,
    retry: str | None = None,
    listener: Listener = silent,
) -> Run:
    """Run a recipe and return the run; finished stages are reused.

    With new files in a source, or a new source, only what is new is read, encoded and compared;
    `before.diff(after)` says which rows have another fate.

    Args:
        recipe: A YAML file, the name of a shipped recipe, an `ms.Recipe`, or its settings.
        run_dir: Folder of the run, or a URL such as ``s3://bucket/run``; the one that the recipe
            names when not given.
        set: Changes of single settings, each ``"a.b=value"``.
        ray: Run on Ray, or in this process; as the recipe says when not given.
        retry: ``"failed"`` tries again what failed in the newest run of the directory,
            ``"failed:REASON"`` what failed for that reason.
        listener: Called with every event of the run.

    Raises:
        MedSiftError: as `medsift curate`; its `code` says what went wrong.
    """
    from curation.recipe import Recipe
    from curation.retry import asked_reason, retry_failed
    from curation.run import Run
    from medsift.storage.local_paths import path_of
    from ray_jobs.actions.curate import curate_quietly

    loaded = _loaded(Recipe, recipe, set)
    target = path_of(run_dir) if run_dir is not None else loaded.run_dir
    on_ray = loaded.compute.ray if ray is None else ray
    if retry is not None:
        retry_failed(target, asked_reason(retry))
    result = curate_quietly(loaded, target, on_ray, listener)
    return Run(result.manifest, result.run_id)


@names_missing_extra
def remove(
    run: Run | str | Path,
    *,
    rows: Sequence[str] | None = None,
    sql: str | None = None,
    source: str | None = None,
    ray: bool | None = None,
    listener: Listener = silent,
) -> Removed | None:
    """Withdraw rows for good: the run is then as if it had never had them; print what was done.

    Older runs of the directory are removed, as they have the rows too. Without a way to name rows,
    a withdrawal that was interrupted is finished.

    Args:
        run: A run, or its directory; rows leave the newest run there.
        rows: Row ids.
        sql: A condition over the columns of the tables rows and samples.
        source: Every row of this source.
        ray: Run on Ray, or in this process; as the recipe of the run says when not given.
        listener: Called with every event of the run that is made again.

    Returns:
        What was done; None where there was no row to withdraw.

    Raises:
        MedSiftError: as `medsift remove`.
    """
    from curation.run import Run
    from medsift.storage.local_paths import path_of
    from ray_jobs.actions.remove import remove_quietly

    folder = run.manifest.parent if isinstance(run, Run) else path_of(run)
    return remove_quietly(folder, listener, rows=rows, sql=sql, source=source, ray=ray)


@names_missing_extra
def train(
    recipe: str | Path | Mapping[str, Any] | TrainingRecipe,
    *,
    set: Sequence[str] = (),
    ray: bool = True,
    listener: Listener = silent,
) -> Trained:
    """Fine-tune a model on a selection and return the adapter's place and lineage.

    Args:
        recipe: A YAML file, the name of a shipped recipe, a `TrainingRecipe`, or its settings, for
            example ``{"name": "small", "run": "medsift-runs/vqa_rad", …}``.
        set: Changes of single settings, each ``"a.b=value"``.
        ray: Train on Ray Train, or in this process.
        listener: Called with every event of the training.

    Raises:
        MedSiftError: as `medsift train`.
    """
    from ray_jobs.actions.train import train_quietly
    from training.recipe import TrainingRecipe

    loaded = _loaded(TrainingRecipe, recipe, set)
    return train_quietly(loaded, ray, listener)


@names_missing_extra
def evaluate(
    recipe: str | Path | Mapping[str, Any] | EvaluationRecipe,
    *,
    set: Sequence[str] = (),
    ray: bool | None = None,
    listener: Listener = silent,
) -> EvaluationResult:
    """Ask models about benchmarks, score the replies, and return the metrics and their manifest.

    Args:
        recipe: A YAML file, the name of a shipped recipe, an `EvaluationRecipe`, or its settings.
        set: Changes of single settings, each ``"a.b=value"``.
        ray: Ask on Ray, or in this process; as the recipe says when not given.
        listener: Called with every event of the evaluation.

    Raises:
        MedSiftError: as `medsift evaluate`.
    """
    from evaluation.recipe import EvaluationRecipe
    from ray_jobs.actions.evaluate import evaluate_quietly

    loaded = _loaded(EvaluationRecipe, recipe, set)
    return evaluate_quietly(loaded, loaded.compute.ray if ray is None else ray, listener)


@names_missing_extra
def improve(
    recipe: str | Path | Mapping[str, Any] | ImproveRecipe,
    *,
    rounds: int | None = None,
    set: Sequence[str] = (),
    ray: bool = False,
    listener: Listener = silent,
) -> ImproveResult:
    """Move quotas by what a learner gets wrong, round by round; print the result for its verdict.

    Args:
        recipe: A YAML file, the name of a shipped recipe, an `ImproveRecipe`, or its settings.
        rounds: Rounds of the loop; as the recipe says when not given.
        set: Changes of single settings, each ``"a.b=value"``.
        ray: Train on Ray, or in this process.
        listener: Called with every event.

    Raises:
        MedSiftError: as `medsift improve`.
    """
    from ray_jobs.improve.improve import improve as run_improve
    from ray_jobs.improve.recipe import ImproveRecipe

    changes = [*set, *([] if rounds is None else [f"rounds={rounds}"])]
    return run_improve(_loaded(ImproveRecipe, recipe, changes), ray, listener)


@names_missing_extra
def construct(
    recipe: str | Path | Mapping[str, Any] | ConstructRecipe,
    *,
    set: Sequence[str] = (),
    dry_run: bool = False,
    listener: Listener = silent,
) -> ConstructResult:
    """Ask a teacher for reasoning behind a selection's answers, and keep what is verified.

    Args:
        recipe: A YAML file, the name of a shipped recipe, a `ConstructRecipe`, or its settings.
        set: Changes of single settings, each ``"a.b=value"``.
        dry_run: Ask nothing: the result has the projection of calls and cost alone.
        listener: Called with every event.

    Raises:
        MedSiftError: as `medsift construct`.
    """
    from curation.construct.settings import ConstructRecipe
    from ray_jobs.actions.construct import construct_quietly

    loaded = _loaded(ConstructRecipe, recipe, set)
    return construct_quietly(loaded, listener, dry_run=dry_run, announce=lambda projection: None)


def check(
    recipe: str | Path, *, set: Sequence[str] = (), gpu: str = "h100", rows: int | None = None
) -> Plan:
    """Return what a recipe of any kind would do and cost, and what is missing; run nothing.

    Args:
        recipe: A YAML file, or the name of a shipped recipe.
        set: Changes of single settings, each ``"a.b=value"``.
        gpu: Device that hours are estimated for.
        rows: Samples that are assumed where data are not there.

    Raises:
        MedSiftError: as `medsift check`, for a recipe that is not valid.
    """
    from ray_jobs.check.check import check_recipe

    return check_recipe(str(recipe), set, gpu=gpu, rows=rows)


def stages(
    recipe: str | Path | Mapping[str, Any] | StagesRecipe,
    *,
    set: Sequence[str] = (),
    ray: bool = False,
    listener: Listener = silent,
) -> Staged:
    """Curate, then train in stages, each from the last one's result; finished ones are reused.

    Args:
        recipe: A YAML file, the name of a shipped recipe, a `StagesRecipe`, or its settings.
        set: Changes of single settings, each ``"a.b=value"``.
        ray: Run on Ray, or in this process.
        listener: Called with every event.

    Raises:
        MedSiftError: as `medsift stages`.
    """
    from ray_jobs.actions.stages import run_stages
    from ray_jobs.stages.recipe import StagesRecipe

    return run_stages(_loaded(StagesRecipe, recipe, set), ray, listener)


def _loaded(kind: type[Model], recipe: Any, changes: Sequence[str]) -> Model:
    """Return a recipe of a kind from a file, a shipped name, settings or itself, with changes.

    Raises:
        RecipeError: there is no such recipe, or it is not valid.
    """
    from ray_jobs.cli_args import recipe_path

    if isinstance(recipe, (str, Path)):
        return recipe_yaml.load(kind, recipe_path(str(recipe)), changes)
    if isinstance(recipe, kind) and not changes:
        return recipe
    settings = dict(recipe) if isinstance(recipe, Mapping) else recipe.model_dump(mode="json")
    return recipe_yaml.validated(kind, settings, changes)
