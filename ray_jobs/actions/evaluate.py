"""Run an evaluation as the command line starts it: from a recipe or options, with its page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from medsift.progress import Listener
from ray_jobs.actions.curate import executor
from ray_jobs.heartbeat import beating
from ray_jobs.progress_views import announced

if TYPE_CHECKING:
    from evaluation.evaluate import EvaluationResult
    from evaluation.recipe import EvaluationRecipe

PAGE: Final = "evaluation.html"
BASELINES: Final = ("majority", "prior")


def evaluation_recipe(
    named: str | None, options: Mapping[str, Any], overrides: Sequence[str]
) -> EvaluationRecipe:
    """Return the recipe of a command line: a file, changed by options, or options alone.

    Raises UsageError or RecipeError.
    """
    from evaluation.recipe import EvaluationRecipe
    from medsift import recipe_yaml
    from medsift.errors import UsageError
    from ray_jobs.cli_args import recipe_path

    settings = _settings(options)
    if named is not None:
        loaded = recipe_yaml.load(EvaluationRecipe, recipe_path(named), overrides)
        return recipe_yaml.validated(EvaluationRecipe, loaded.model_dump(mode="json") | settings)
    if "models" not in settings or "benchmarks" not in settings:
        raise UsageError(
            "name a RECIPE, or at least one --model and one --benchmark", code="command_invalid"
        )
    name = "-".join(["eval", *(benchmark["kind"] for benchmark in settings["benchmarks"])])
    return recipe_yaml.validated(EvaluationRecipe, {"name": name} | settings, overrides)


def evaluate_and_report(
    recipe: EvaluationRecipe, *, ray: bool | None, log_json: bool
) -> EvaluationResult:
    """Evaluate, write the page, and show the progress. Raises MedSiftError as `evaluate` does."""
    with announced(log_json) as listener:
        return evaluate_quietly(recipe, recipe.compute.ray if ray is None else ray, listener)


def evaluate_quietly(recipe: EvaluationRecipe, ray: bool, listener: Listener) -> EvaluationResult:
    """Evaluate, write the page, and report to the listener alone. Raises as `evaluate` does."""
    from evaluation.evaluate import evaluate

    with (
        beating(recipe.run_dir, "evaluate", listener) as beats,
        executor(ray, recipe.compute.workers) as engine,
    ):
        if ray:
            from ray_jobs.sharing import check_nodes

            shared = recipe.compute.shared_disk
            check_nodes((recipe.run_dir, recipe.cache_dir), shared=shared)
        result = evaluate(recipe, engine, beats)
        write_page(result.manifest, result.run_id)
    return result


def write_page(manifest: Path, run_id: str) -> Path:
    """Write the page about all evaluations of a run next to its manifest, and return its path."""
    from evaluation.report import write_evaluation_page

    return write_evaluation_page(manifest, manifest.with_name(PAGE), run_id)


def _settings(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the recipe settings of the options that were given. Raises UsageError."""
    from medsift.errors import UsageError

    adapter, models = options["adapter"], options["models"]
    if adapter is not None and len(models or ()) != 1:
        raise UsageError("--adapter needs exactly one --model", code="command_invalid")
    settings: dict[str, Any] = {
        "models": [_model(name, adapter) for name in models or ()],
        "benchmarks": [_benchmark(name) for name in options["benchmarks"] or ()],
        "variants": options["variants"],
        "protocol": options["protocol"],
        "run": options["run"] and str(options["run"]),
    }
    return {key: value for key, value in settings.items() if value}


def _model(name: str, adapter: Path | None) -> dict[str, Any]:
    """Return the settings of a model as the command line names it."""
    if name in BASELINES:
        return {"kind": name}
    more = {"adapter": str(adapter)} if adapter is not None else {}
    if name == "embedded":
        return {"kind": "causal", "model": {"kind": "embedded"}, **more}
    if name == "embedded_vlm":
        return {"kind": "image_text", "model": {"kind": "embedded_vlm"}, **more}
    if name.startswith(("http://", "https://")):
        url, _, model = name.partition("#")
        return {"kind": "endpoint", "url": url, "model": model}
    return {"kind": "image_text", "model": {"model": name}, **more}


def _benchmark(named: str) -> dict[str, Any]:
    """Return the settings of a benchmark named as KIND or KIND=PATH."""
    kind, _, path = named.partition("=")
    return {"kind": kind, "path": path} if path else {"kind": kind}
