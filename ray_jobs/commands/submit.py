"""`medsift submit`: the same command as a job on a cluster that the user started."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ray_jobs.commands.options import LogJson, Overrides, RecipeFile, RunDir

if TYPE_CHECKING:
    from ray_jobs.submit import JobServer


Address = Annotated[
    str,
    typer.Option(
        "--address",
        metavar="URL",
        envvar="RAY_API_SERVER_ADDRESS",
        help="The head's dashboard, for example http://HOST:8265.",
        show_default=False,
    ),
]
Wait = Annotated[
    bool,
    typer.Option(
        "--wait/--no-wait", help="Follow the log and exit as the job does, or only start it."
    ),
]
Python = Annotated[
    str,
    typer.Option("--python", help="The interpreter on the cluster that has the dependencies."),
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
    """Curate as a Ray job. Code and recipe travel (under 5 MiB); data stays where it is.

    Variables and relative paths of the recipe, and --run-dir, are resolved here, against this
    directory, and must mean the same on the cluster's nodes. The token is taken from
    RAY_AUTH_TOKEN, the file of RAY_AUTH_TOKEN_PATH, or ~/.ray/auth_token.
    """
    from curation.recipe import load_recipe
    from ray_jobs.absolute_paths import anchored
    from ray_jobs.cli_args import recipe_path
    from ray_jobs.submit import JobServer, submit_run

    loaded = anchored(load_recipe(recipe_path(recipe), overrides or ()), Path.cwd())
    target = (run_dir if run_dir is not None else loaded.run_dir).absolute()
    server = JobServer(address)
    job = submit_run(server, loaded, target, python=python, log_json=log_json)
    _told(server, job, target, wait)


def train(
    recipe: RecipeFile,
    address: Address,
    overrides: Overrides = None,
    run_dir: RunDir = None,
    wait: Wait = True,
    log_json: LogJson = False,
    python: Python = "python",
) -> None:
    """Train as a Ray job, on a run that the cluster's nodes can reach; see `submit curate`."""
    from ray_jobs.absolute_paths import anchored_training
    from ray_jobs.cli_args import recipe_path
    from ray_jobs.submit import JobServer, submit_run
    from training.recipe import load_training

    loaded = anchored_training(load_training(recipe_path(recipe), overrides or ()), Path.cwd())
    target = (run_dir if run_dir is not None else loaded.run).absolute()
    server = JobServer(address)
    words = ("train", "--ray")
    job = submit_run(server, loaded, target, python=python, log_json=log_json, command=words)
    _told(server, job, target, wait)


def _told(server: JobServer, job: str, target: Path, wait: bool) -> None:
    """Say where a job runs, then follow it or say how to."""
    _say(f"job {job} runs at {server.address}; its run directory there is {target}")
    if not wait:
        typer.echo(job)
        _say(f"follow it: ray job logs --address {server.address} --follow {job}")
        return
    raise typer.Exit(_follow(server, job))


def _follow(server: JobServer, job: str) -> int:
    from ray_jobs.submit import write_out

    try:
        outcome = server.follow(job, write_out)
    except KeyboardInterrupt:
        _say(f"the job goes on; stop it: ray job stop --address {server.address} {job}")
        return 130
    if outcome.status != "SUCCEEDED":
        _say(f"job {job} {outcome.status}: {outcome.message}")
    return outcome.exit_code


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
