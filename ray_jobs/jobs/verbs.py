"""Make the job of each command that can be submitted, from what the command itself takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ray_jobs.cli_args import recipe_path
from ray_jobs.jobs.pack import SETTINGS
from ray_jobs.jobs.spec import JobSpec, place

if TYPE_CHECKING:
    from curation.selection.config import SelectionConfig


def curate_job(recipe: str, overrides: Sequence[str], run_dir: Path | None) -> JobSpec:
    """Return the job of a curation. Raises RecipeError."""
    from curation.recipe import load_recipe
    from ray_jobs.absolute_paths import with_absolute_paths

    loaded = with_absolute_paths(load_recipe(recipe_path(recipe), overrides), Path.cwd())
    target = (run_dir or loaded.run_dir).absolute()
    words = ("curate", SETTINGS, "--run-dir", place(target))
    return JobSpec("curate", loaded.name, loaded.resolved(), target, words)


def train_job(recipe: str, overrides: Sequence[str], run_dir: Path | None) -> JobSpec:
    """Return the job of a training. Raises RecipeError."""
    from ray_jobs.absolute_paths import training_with_absolute_paths
    from training.recipe import load_training

    loaded = training_with_absolute_paths(load_training(recipe_path(recipe), overrides), Path.cwd())
    target = (run_dir or loaded.run).absolute()
    words = ("train", "--ray", SETTINGS, "--run-dir", place(target))
    return JobSpec("train", loaded.name, loaded.resolved(), target, words)


def evaluate_job(recipe: str, overrides: Sequence[str], run_dir: Path | None) -> JobSpec:
    """Return the job of an evaluation. Raises RecipeError."""
    from evaluation.recipe import EvaluationRecipe
    from medsift import recipe_yaml
    from ray_jobs.absolute_paths import evaluation_with_absolute_paths

    loaded = recipe_yaml.load(EvaluationRecipe, recipe_path(recipe), overrides)
    loaded = evaluation_with_absolute_paths(loaded, Path.cwd())
    target = (run_dir or loaded.run_dir).absolute()
    words = ("evaluate", "--ray", SETTINGS, "--run-dir", place(target))
    return JobSpec("evaluate", loaded.name, loaded.model_dump(mode="json"), target, words)


def study_job(recipe: str, overrides: Sequence[str], run_dir: Path | None) -> JobSpec:
    """Return the job of a study. Raises RecipeError."""
    from medsift import recipe_yaml
    from ray_jobs.absolute_paths import study_with_absolute_paths
    from ray_jobs.study.recipe import StudyRecipe

    loaded = recipe_yaml.load(StudyRecipe, recipe_path(recipe), overrides)
    if run_dir is not None:
        loaded = loaded.model_copy(update={"run": run_dir})
    loaded = study_with_absolute_paths(loaded, Path.cwd())
    words = ("study", "--ray", SETTINGS)
    return JobSpec("study", loaded.name, loaded.resolved(), loaded.run, words)


def construct_job(recipe: str, overrides: Sequence[str], run_dir: Path | None) -> JobSpec:
    """Return the job of a construction. Raises RecipeError."""
    from curation.construct.settings import ConstructRecipe
    from medsift import recipe_yaml
    from ray_jobs.absolute_paths import construct_with_absolute_paths

    loaded = recipe_yaml.load(ConstructRecipe, recipe_path(recipe), overrides)
    if run_dir is not None:
        loaded = loaded.model_copy(update={"run": run_dir})
    loaded = construct_with_absolute_paths(loaded, Path.cwd())
    words = ("construct", SETTINGS)
    return JobSpec("construct", loaded.name, loaded.resolved(), loaded.run, words)


def probe_job(run_dir: Path, settings: str | None, overrides: Sequence[str]) -> JobSpec:
    """Return the job of a probe; without settings it has the usual ones. Raises RecipeError."""
    from curation.probe.settings import load_probe_settings

    file = None if settings is None else recipe_path(settings)
    loaded = load_probe_settings(file, overrides=overrides)
    target = run_dir.absolute()
    words = ("probe", place(target), "--ray", "--settings", SETTINGS)
    return JobSpec("probe", target.name, loaded.model_dump(mode="json"), target, words)


def select_job(
    run_dir: Path, options: Mapping[str, str | None], overrides: Sequence[str], replace: bool
) -> JobSpec:
    """Return the job of a selection. Raises UsageError.

    Args:
        run_dir: the finished run.
        options: values of options of `medsift select`, by name; those that are None are left out.
        overrides: settings of the method or the selection, as `key=value`.
        replace: whether a selection of the same name is replaced.
    """
    given = {name: value for name, value in options.items() if value is not None}
    checked = _checked_selection(given, overrides)
    target = run_dir.absolute()
    words = ["select", place(target), "--ray"]
    words += [word for name, value in given.items() for word in (f"--{name}", value)]
    words += [word for override in overrides for word in ("--set", override)]
    words += ["--replace"] if replace else []
    return JobSpec("select", checked.name, {}, target, tuple(words))


def _checked_selection(given: Mapping[str, Any], overrides: Sequence[str]) -> SelectionConfig:
    """Return the selection that the options ask for: refused here, before anything is sent."""
    from curation.add_selection import parse_selection

    method = given.get("method")
    return parse_selection(
        {**given, "method": None if method is None else {"kind": method}}, overrides
    )
