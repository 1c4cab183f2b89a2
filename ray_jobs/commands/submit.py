"""Define `medsift submit`, which runs a command as a job on a Ray cluster."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ray_jobs.commands.options import LogJson, Overrides, RecipeFile, RunDir
from ray_jobs.console import INTERRUPTED

if TYPE_CHECKING:
    from ray_jobs.submit import JobServer


Address = Annotated[
    str,
    typer.Option(
        "--address",
        metavar="URL",
        envvar="RAY_API_SERVER_ADDRESS",
        help="Dashboard of the head, for example http://HOST:8265.",
        show_default=False,
    ),
]
Wait = Annotated[
    bool,
    typer.Option(
        "--wait/--no-wait", help="Follow the log and exit with the job's status, or only start it."
    ),
]
Python = Annotated[
    str,
    typer.Option("--python", help="Python interpreter on the cluster that has the dependencies."),
]


def curate(
    recipe: RecipeFile,
    address: Address,
    overrides: Overrides = None,
    run_dir: RunDir = None,
    wait: Wait = True,
    log_json: LogJson = False,
    python: Python = "python",
) -> None:
    """Curate as a Ray job. Code and recipe are sent (under 5 MiB); data stays where it is.

    Variables and relative paths of the recipe, and --run-dir, are resolved against the current
    directory, and must name the same files on the cluster's nodes. The token is taken from
    RAY_AUTH_TOKEN, the file of RAY_AUTH_TOKEN_PATH, or ~/.ray/auth_token.
    """
    from curation.recipe import load_recipe
    from ray_jobs.absolute_paths import with_absolute_paths
    from ray_jobs.cli_args import recipe_path
    from ray_jobs.submit import JobServer, submit_run

    loaded = with_absolute_paths(load_recipe(recipe_path(recipe), overrides or ()), Path.cwd())
    server, target = JobServer(address), (run_dir or loaded.run_dir).absolute()
    job = submit_run(server, loaded, target, python=python, log_json=log_json)
    _follow_or_leave(server, job, target, wait)


def train(
    recipe: RecipeFile,
    address: Address,
    overrides: Overrides = None,
    run_dir: RunDir = None,
    wait: Wait = True,
    log_json: LogJson = False,
    python: Python = "python",
) -> None:
    """Train as a Ray job, on a run that the cluster's nodes can read; see `submit curate`."""
    from ray_jobs.absolute_paths import training_with_absolute_paths
    from ray_jobs.cli_args import recipe_path
    from ray_jobs.submit import JobServer, submit_run
    from training.recipe import load_training

    loaded = training_with_absolute_paths(
        load_training(recipe_path(recipe), overrides or ()), Path.cwd()
    )
    server, target = JobServer(address), (run_dir or loaded.run).absolute()
    words = ("train", "--ray")
    job = submit_run(server, loaded, target, python=python, log_json=log_json, command=words)
    _follow_or_leave(server, job, target, wait)


def _follow_or_leave(server: JobServer, job: str, target: Path, wait: bool) -> None:
    """Print where a job runs, then follow it, or print how to. Raises typer.Exit."""
    _note(f"job {job} runs at {server.address}; its run directory there is {target}")
    if not wait:
        typer.echo(job)
        _note(f"follow it: ray job logs --address {server.address} --follow {job}")
        return
    from ray_jobs.submit import write_out

    try:
        outcome = server.follow(job, write_out)
    except KeyboardInterrupt:
        _note(f"the job continues; stop it: ray job stop --address {server.address} {job}")
        raise typer.Exit(INTERRUPTED) from None
    if outcome.status != "SUCCEEDED":
        _note(f"job {job} {outcome.status}: {outcome.message}")
    raise typer.Exit(outcome.exit_code)


def _note(line: str) -> None:
    """Print a line on stderr."""
    sys.stderr.write(f"{line}\n")
