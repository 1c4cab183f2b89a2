"""Define `medsift train`, which fine-tunes a model on a selection."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ray_jobs.commands.options import LogJson, Overrides
from ray_jobs.console import ignore_broken_pipe, resumable, shown

if TYPE_CHECKING:
    from training.run import Trained


def train(
    recipe: Annotated[
        str | None,
        typer.Argument(
            metavar="[RECIPE]",
            help="A YAML file, or a shipped one (train_phantoms, …); or use the options.",
            show_default=False,
        ),
    ] = None,
    selection: Annotated[
        str | None,
        typer.Option("--selection", help="Selection to train on.", show_default="the newest"),
    ] = None,
    run_dir: Annotated[
        Path | None,
        typer.Option(
            "--run-dir",
            metavar="RUN",
            help="Run directory that has the selection; the training is added to it.",
            show_default="as the recipe says",
        ),
    ] = None,
    base: Annotated[
        str | None,
        typer.Option(
            "--base",
            help="Base model: embedded, embedded_vlm, or the folder or hub name of another.",
            show_default="as the recipe says",
        ),
    ] = None,
    overrides: Overrides = None,
    log_json: LogJson = False,
    ray: Annotated[
        bool,
        typer.Option(
            "--ray/--local",
            help="Train on Ray Train (on RAY_ADDRESS, or a local Ray), or in this process.",
        ),
    ] = True,
) -> None:
    """Fine-tune a model on a selection, straight from the manifest.

    The same command again resumes from the newest checkpoint, or reuses a finished result. Exit
    codes: 0 done, 2 bad usage or recipe, 3 data or model unavailable, 4 the selection may contain
    a benchmark, 130 interrupted.
    """
    from ray_jobs.actions.train import train_and_report, training_recipe

    options = {"selection": selection, "run": run_dir, "base": base}
    loaded = training_recipe(recipe, options, overrides or ())
    with resumable():
        trained = train_and_report(loaded, ray=ray, log_json=log_json)
    if not log_json:
        show_trained(trained)


def show_trained(trained: Trained) -> None:
    """Print the outcome, where everything is, and the next command."""
    from training.results.lineage import read_lineage

    training, lineage = trained.training, read_lineage(trained.training.result)
    with ignore_broken_pipe():
        for name, value in (
            ("training", f"{training.training_id}{' (finished before)' if trained.reused else ''}"),
            ("outcome", outcome(lineage)),
            ("result", shown(training.result)),
            ("manifest", shown(training.manifest)),
            ("leaks", _leaks(lineage)),
            ("next", _next(lineage, training.result, training.manifest)),
        ):
            typer.echo(f"{name:<10}{value}")


def outcome(lineage: Mapping[str, Any]) -> str:
    """Return in one line how a training ended."""
    state, held_out_loss = lineage["state"], lineage["held_out_loss"]
    parts = [
        f"{lineage['status']} after {lineage['steps']:,} steps, {state['seconds']:.1f} s",
        f"loss {state['loss']:.4f}",
    ]
    if held_out_loss is not None:
        parts.append(f"held-out loss {held_out_loss:.4f} at step {lineage['result_step']:,}")
    if policy := lineage.get("policy"):
        parts.append(policy["verdict"])
    return "; ".join(parts)


def _leaks(lineage: Mapping[str, Any]) -> str:
    names = ", ".join(lineage["benchmarks"])
    if not names:
        return "unchecked: compared with no benchmark, since the recipe names none"
    if lineage["contaminated"]:
        return f"CONTAMINATED, as every later result states: {'; '.join(lineage['reasons'])}"
    return f"none known into {names}"


def _next(lineage: Mapping[str, Any], result: Path, manifest: Path) -> str:
    from training.results.lineage import has_all_weights

    base, folder = lineage["base"]["settings"], shlex.quote(shown(result))
    named = shlex.quote(base["model"]) if "model" in base else base["kind"]
    model = (
        f"--model {folder}" if has_all_weights(lineage) else f"--model {named} --adapter {folder}"
    )
    run = shlex.quote(shown(manifest.parent))
    return f"medsift evaluate {model} --benchmark KIND=PATH --run-dir {run}"
