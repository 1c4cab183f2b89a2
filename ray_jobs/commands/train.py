"""`medsift train`: a selection becomes an adapter, with its lineage in the manifest."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ray_jobs.commands.options import LogJson, Overrides
from ray_jobs.interrupt import resumable

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
            help="Run whose manifest holds the selection, and takes the training.",
            show_default="as the recipe says",
        ),
    ] = None,
    base: Annotated[
        str | None,
        typer.Option(
            "--base",
            help="embedded, embedded_vlm, or a folder or hub name of a transformers model.",
            show_default="as the recipe says",
        ),
    ] = None,
    overrides: Overrides = None,
    log_json: LogJson = False,
    ray: Annotated[
        bool,
        typer.Option(
            "--ray/--local",
            help="Train on Ray Train (RAY_ADDRESS, or a Ray of its own), or in this process.",
        ),
    ] = True,
) -> None:
    """Fine-tune a model on a selection, straight from the manifest.

    The same command again goes on from the newest checkpoint, or reuses a finished result. Exit
    codes: 0 done, 2 bad usage or recipe, 3 data or model not to be had, 4 the selection may hold
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
    """Print what came out, where everything is, and what comes next."""
    from ray_jobs.console import closed_pipe_is_fine, shown
    from training.lineage import read_lineage

    training, told = trained.training, read_lineage(trained.training.result)
    with closed_pipe_is_fine():
        for name, value in (
            ("training", f"{training.training_id}{' (finished before)' if trained.reused else ''}"),
            ("outcome", _outcome(told)),
            ("result", shown(training.result)),
            ("manifest", shown(training.manifest)),
            ("leaks", _leaks(told)),
            ("next", _next(told, training.result, training.manifest)),
        ):
            typer.echo(f"{name:<10}{value}")


def _outcome(told: Mapping[str, Any]) -> str:
    state, held = told["state"], told["held_out_loss"]
    parts = [
        f"{told['status']} after {told['steps']:,} steps, {state['seconds']:.1f} s",
        f"loss {state['loss']:.4f}",
    ]
    if held is not None:
        parts.append(f"held-out loss {held:.4f} at step {told['result_step']:,}")
    return "; ".join(parts)


def _leaks(told: Mapping[str, Any]) -> str:
    names = ", ".join(told["benchmarks"])
    if not names:
        return "unchecked: held against no benchmark, since the recipe names none"
    if told["contaminated"]:
        return f"CONTAMINATED, which every later result says: {'; '.join(told['reasons'])}"
    return f"none known into {names}"


def _next(told: Mapping[str, Any], result: Path, manifest: Path) -> str:
    from ray_jobs.console import shown

    base, where = told["base"]["settings"], shlex.quote(shown(result))
    named = shlex.quote(base["model"]) if "model" in base else base["kind"]
    full = told["recipe"]["lora"]["full"]
    model = f"--model {where}" if full else f"--model {named} --adapter {where}"
    run = shlex.quote(shown(manifest.parent))
    return f"medsift evaluate {model} --benchmark KIND=PATH --run-dir {run}"
