"""Define `medsift slurm`, which writes a batch script for a cluster that SLURM manages."""

from __future__ import annotations

import sys
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ray_jobs.commands.options import Overrides, RecipeFile, RunDir, invalid
from ray_jobs.console import ignore_broken_pipe, shown

if TYPE_CHECKING:
    from ray_jobs.jobs.spec import JobSpec


class Verb(StrEnum):
    """The commands with a recipe that a SLURM job can run."""

    curate = "curate"
    train = "train"
    evaluate = "evaluate"
    study = "study"


def slurm(
    recipe: RecipeFile,
    command: Annotated[
        Verb, typer.Option("--command", help="Command that the recipe is for.")
    ] = Verb.curate,
    overrides: Overrides = None,
    run_dir: RunDir = None,
    nodes: Annotated[int, typer.Option("--nodes", min=1, help="Nodes of the job.")] = 1,
    cpus: Annotated[int, typer.Option("--cpus", min=1, help="CPUs of each node.")] = 8,
    gpus: Annotated[int, typer.Option("--gpus", min=0, help="GPUs of each node.")] = 0,
    memory: Annotated[
        str | None,
        typer.Option("--memory", help="Memory of each node: 64G.", show_default="the partition's"),
    ] = None,
    time: Annotated[
        str, typer.Option("--time", help="Time limit: 04:00:00, 1-00:00:00.")
    ] = "04:00:00",
    partition: Annotated[
        str | None, typer.Option("--partition", help="Partition.", show_default="SLURM's")
    ] = None,
    account: Annotated[
        str | None, typer.Option("--account", help="Account.", show_default="SLURM's")
    ] = None,
    attempts: Annotated[
        int,
        typer.Option(
            "--attempts",
            min=1,
            help="Elements of a job array, one after another: each continues where the time limit "
            "cut off the last, and those after the end only find it done.",
        ),
    ] = 1,
    before: Annotated[
        list[str] | None,
        typer.Option(
            "--before",
            metavar="LINE",
            help="Line of shell that runs first, such as 'module load cuda'; repeatable.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", help="File to write.", show_default="standard output"),
    ] = None,
) -> None:
    """Write a script for `sbatch` that starts Ray on the nodes of its job and runs a command there.

    For clusters without an autoscaler of Ray's. The recipe, its data, the run directory and this
    Python environment must be on a disk that the nodes share. The recipe is checked now.
    """
    from pydantic import ValidationError

    from medsift.validation_errors import explain
    from ray_jobs.jobs.verbs import curate_job, evaluate_job, study_job, train_job
    from ray_jobs.slurm import SlurmJob, slurm_script

    makers: dict[Verb, Callable[..., JobSpec]] = {
        Verb.curate: curate_job,
        Verb.train: train_job,
        Verb.evaluate: evaluate_job,
        Verb.study: study_job,
    }
    spec = makers[command](recipe, overrides or (), run_dir)
    settings: dict[str, Any] = {
        "name": f"medsift-{spec.verb}-{spec.name}",
        "command": _words(command, recipe, overrides or [], spec),
        "folder": str(Path.cwd()),
        "binaries": str(Path(sys.executable).parent),
        "nodes": nodes,
        "cpus": cpus,
        "gpus": gpus,
        "memory": memory,
        "time": time,
        "partition": partition,
        "account": account,
        "attempts": attempts,
        "before": before or [],
    }
    try:
        text = slurm_script(SlurmJob.model_validate(settings))
    except ValidationError as error:
        raise invalid("slurm", explain(error, SlurmJob)) from error
    if output is None:
        with ignore_broken_pipe():
            typer.echo(text, nl=False)
        return
    from medsift.storage.atomic import atomic_file

    with atomic_file(output, "choose another --output", "path_unwritable") as partial:
        partial.write_text(text, encoding="utf-8")
    typer.echo(f"sbatch {shown(output)}")


def _words(verb: Verb, recipe: str, overrides: list[str], spec: JobSpec) -> list[str]:
    """Return the command line of the first node."""
    from ray_jobs.cli_args import shipped
    from ray_jobs.jobs.spec import place

    named = recipe if recipe in shipped() and not Path(recipe).exists() else Path(recipe).absolute()
    words = ["medsift", verb.value, str(named), "--ray"]
    # A study adds to the run that its recipe names.
    target = place(spec.run_dir)
    words += ["--set", f"run={target}"] if verb is Verb.study else ["--run-dir", target]
    return words + [word for override in overrides for word in ("--set", override)]
