"""Define `medsift submit`, which runs a command as a job on a Ray cluster."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ray_jobs.commands.options import Address, LogJson, Overrides, RecipeFile, RunDir

if TYPE_CHECKING:
    from ray_jobs.jobs.spec import JobSpec


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
RuntimeEnv = Annotated[
    Path | None,
    typer.Option(
        "--runtime-env",
        metavar="FILE",
        help="YAML file with a runtime environment of Ray (env_vars, pip, …) for the job.",
        show_default=False,
    ),
]
New = Annotated[
    bool,
    typer.Option("--new", help="Submit even where a job with the same settings runs already."),
]
FarRun = Annotated[
    Path,
    typer.Argument(metavar="RUN_DIR", help="A run directory, as the cluster's nodes see it."),
]
Changes = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="A setting, as the command itself takes it; repeatable.",
        show_default=False,
    ),
]


@dataclass(frozen=True, slots=True)
class Order:
    """How a job is submitted: the options that all of them share."""

    address: str
    wait: bool
    python: str
    runtime_env: Path | None
    new: bool
    log_json: bool = False


def curate(
    recipe: RecipeFile,
    address: Address,
    overrides: Overrides = None,
    run_dir: RunDir = None,
    wait: Wait = True,
    log_json: LogJson = False,
    python: Python = "python",
    runtime_env: RuntimeEnv = None,
    new: New = False,
) -> None:
    """Curate as a Ray job. Code and recipe are sent (under 5 MiB); data stays where it is.

    Variables and relative paths of the recipe, and --run-dir, are resolved against the current
    directory, and must name the same files on the cluster's nodes. The token is taken from
    RAY_AUTH_TOKEN, the file of RAY_AUTH_TOKEN_PATH, or ~/.ray/auth_token.

    Where a job with the same command, settings and run directory runs already, it is offered to
    follow that one. Exit codes: that of the command in the job, 130 after Ctrl-C (the job
    continues) or where the job was stopped.
    """
    from ray_jobs.jobs.verbs import curate_job

    job = curate_job(recipe, overrides or (), run_dir)
    _submit(job, Order(address, wait, python, runtime_env, new, log_json))


def train(
    recipe: RecipeFile,
    address: Address,
    overrides: Overrides = None,
    run_dir: RunDir = None,
    wait: Wait = True,
    log_json: LogJson = False,
    python: Python = "python",
    runtime_env: RuntimeEnv = None,
    new: New = False,
) -> None:
    """Train as a Ray job, on a run that the cluster's nodes can read; see `submit curate`."""
    from ray_jobs.jobs.verbs import train_job

    job = train_job(recipe, overrides or (), run_dir)
    _submit(job, Order(address, wait, python, runtime_env, new, log_json))


def evaluate(
    recipe: RecipeFile,
    address: Address,
    overrides: Overrides = None,
    run_dir: RunDir = None,
    wait: Wait = True,
    log_json: LogJson = False,
    python: Python = "python",
    runtime_env: RuntimeEnv = None,
    new: New = False,
) -> None:
    """Evaluate as a Ray job, on Ray, as `medsift evaluate RECIPE` does; see `submit curate`."""
    from ray_jobs.jobs.verbs import evaluate_job

    job = evaluate_job(recipe, overrides or (), run_dir)
    _submit(job, Order(address, wait, python, runtime_env, new, log_json))


def study(
    recipe: RecipeFile,
    address: Address,
    overrides: Overrides = None,
    run_dir: RunDir = None,
    wait: Wait = True,
    log_json: LogJson = False,
    python: Python = "python",
    runtime_env: RuntimeEnv = None,
    new: New = False,
) -> None:
    """Run a study as a Ray job, its trials as tasks on Ray; see `submit curate`."""
    from ray_jobs.jobs.verbs import study_job

    job = study_job(recipe, overrides or (), run_dir)
    _submit(job, Order(address, wait, python, runtime_env, new, log_json))


def construct(
    recipe: RecipeFile,
    address: Address,
    overrides: Overrides = None,
    run_dir: RunDir = None,
    wait: Wait = True,
    log_json: LogJson = False,
    python: Python = "python",
    runtime_env: RuntimeEnv = None,
    new: New = False,
) -> None:
    """Ask a teacher for reasoning as a Ray job, which needs its key there; see `submit curate`."""
    from ray_jobs.jobs.verbs import construct_job

    job = construct_job(recipe, overrides or (), run_dir)
    _submit(job, Order(address, wait, python, runtime_env, new, log_json))


def probe(
    run_dir: FarRun,
    address: Address,
    settings: Annotated[
        str | None,
        typer.Option(
            "--settings",
            help="YAML file with the settings of the probe, or the name of a shipped one.",
            show_default="the usual ones",
        ),
    ] = None,
    overrides: Changes = None,
    wait: Wait = True,
    log_json: LogJson = False,
    python: Python = "python",
    runtime_env: RuntimeEnv = None,
    new: New = False,
) -> None:
    """Probe a run as a Ray job, its trainings as tasks on Ray; see `submit curate`."""
    from ray_jobs.jobs.verbs import probe_job

    job = probe_job(run_dir, settings, overrides or ())
    _submit(job, Order(address, wait, python, runtime_env, new, log_json))


def select(
    run_dir: FarRun,
    address: Address,
    name: Annotated[
        str, typer.Option("--name", help="Name of the new selection.", show_default=False)
    ],
    budget: Annotated[
        str,
        typer.Option(
            "--budget", help="Size, as `medsift select` takes it: 500, 20%, …", show_default=False
        ),
    ],
    method: Annotated[
        str, typer.Option("--method", help="Method, as `medsift select` takes it.")
    ] = "facility_location",
    overrides: Changes = None,
    seed: Annotated[
        int | None,
        typer.Option("--seed", min=0, help="Seed of the method.", show_default="the run's"),
    ] = None,
    quality: Annotated[
        str | None,
        typer.Option(
            "--quality", help="Scorer that measures quality.", show_default="the combined one"
        ),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace the selection of this name.")
    ] = False,
    wait: Wait = True,
    python: Python = "python",
    runtime_env: RuntimeEnv = None,
    new: New = False,
) -> None:
    """Add a selection to a run as a Ray job; see `submit curate`."""
    from ray_jobs.jobs.verbs import select_job

    options = {"name": name, "budget": budget, "method": method, "quality": quality}
    options["seed"] = None if seed is None else str(seed)
    job = select_job(run_dir, options, overrides or (), replace)
    _submit(job, Order(address, wait, python, runtime_env, new))


SUBMITTED: dict[Callable[..., Any], str] = {
    curate: "submit curate recipe.yaml --address http://head:8265 --no-wait",
    select: "submit select /data/runs/a --name small --budget 20% --address http://head:8265",
    probe: "submit probe /data/runs/a --address http://head:8265",
    train: "submit train recipe.yaml --address http://head:8265",
    evaluate: "submit evaluate recipe.yaml --address http://head:8265",
    construct: "submit construct recipe.yaml --address http://head:8265 --runtime-env env.yaml",
    study: "submit study study.yaml --address http://head:8265 --runtime-env env.yaml",
}
"""Every command that can be submitted, with an example: another is one function and one line."""


def _submit(spec: JobSpec, order: Order) -> None:
    """Submit a job, or attach to the same one that runs; follow it, or print how to.

    Raises:
        typer.Exit: with the job's exit status, where it is followed.
        UsageError: the server refuses, or the same job runs and nobody can be asked about it.
    """
    from ray_jobs.jobs.attach import again, attach_to, note
    from ray_jobs.jobs.server import JobServer
    from ray_jobs.jobs.spec import place
    from ray_jobs.jobs.start import already_running, read_runtime_env, running_job, submit

    runtime_env = read_runtime_env(order.runtime_env)
    server = JobServer(order.address)
    running = None if order.new else running_job(server, spec)
    if running is not None:
        job = running.submission_id or ""
        if not _attaches_instead(job):
            raise already_running(job, server.address)
        attach_to(server, job)
    job = submit(
        server,
        spec,
        python=order.python,
        log_json=order.log_json,
        runtime_env=runtime_env,
        new=order.new,
    )
    note(f"job {job} runs at {server.address}; its run directory there is {place(spec.run_dir)}")
    if order.wait:
        attach_to(server, job)
    typer.echo(job)
    note(f"follow it: {again('attach', job, server)}")


def _attaches_instead(job: str) -> bool:
    """Ask whether to follow a job that does the same; False where nobody can answer."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    return typer.confirm(f"job {job} does this already; attach to it?", default=True, err=True)
