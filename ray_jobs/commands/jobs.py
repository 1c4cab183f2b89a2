"""Define `medsift jobs`, `status`, `logs`, `stop` and `attach`, which look after submitted jobs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ray_jobs.commands.options import Address, MaybeAddress, TableOrJson, invalid
from ray_jobs.console import ignore_broken_pipe

if TYPE_CHECKING:
    from ray_jobs.jobs.server import JobServer

Job = Annotated[str, typer.Argument(metavar="JOB", help="A job's id, as `medsift jobs` lists it.")]
Format = Annotated[TableOrJson, typer.Option("--format", help="Format of the answer.")]


def jobs(
    address: Address,
    everyone: Annotated[
        bool, typer.Option("--all", help="List jobs of other programs as well.")
    ] = False,
    style: Format = TableOrJson.table,
) -> None:
    """List the jobs that a cluster knows, the newest first."""
    from ray_jobs.jobs.server import JobServer
    from ray_jobs.jobs.show import job_facts, job_table
    from ray_jobs.jobs.spec import VERB

    listed = [
        job_facts(job)
        for job in JobServer(address).jobs()
        if everyone or VERB in (job.metadata or {})
    ]
    with ignore_broken_pipe():
        if style is TableOrJson.json:
            typer.echo(json.dumps(listed, indent=2, ensure_ascii=False))
        else:
            typer.echo(job_table(listed))


def status(
    what: Annotated[
        str,
        typer.Argument(
            metavar="JOB|RUN_DIR", help="A job's id, or a run directory, which needs no cluster."
        ),
    ],
    address: MaybeAddress = None,
    style: Format = TableOrJson.table,
) -> None:
    """Show how a job, or the work in a run directory, is doing.

    A run directory is asked for its heartbeats, which commands write while they work: that answers
    when the cluster is gone as well. Exit codes: 0 running or done, that of the command where it
    failed, 130 where it was stopped, 4 where a heartbeat ceased without an end.
    """
    from medsift.storage.local_paths import path_of, url_of
    from ray_jobs.jobs.show import facts_text

    if url_of(what) is not None or Path(what).is_dir():
        from ray_jobs.heartbeat import run_facts

        facts, code = run_facts(path_of(what))
    else:
        from ray_jobs.jobs.show import status_of

        facts, code = status_of(_server(address), what)
    with ignore_broken_pipe():
        if style is TableOrJson.json:
            typer.echo(json.dumps(facts, indent=2, ensure_ascii=False))
        else:
            typer.echo(facts_text(facts))
    raise typer.Exit(code)


def _server(address: str | None) -> JobServer:
    """Return the job server of an address. Raises UsageError where none was given."""
    from ray_jobs.jobs.server import JobServer

    if address is None:
        raise invalid("--address", "is missing: a job is asked of a cluster (http://HOST:8265)")
    return JobServer(address)


def logs(
    job: Job,
    address: Address,
    follow: Annotated[
        bool, typer.Option("--follow", help="Follow the log until the job ends, as `attach` does.")
    ] = False,
) -> None:
    """Print the log of a job. With --follow the exit code is the job's, as with `attach`."""
    from ray_jobs.jobs.attach import attach_to, write_out
    from ray_jobs.jobs.server import JobServer, answered

    server = JobServer(address)
    if follow:
        attach_to(server, job)
    with answered(server.address), ignore_broken_pipe():
        write_out(server.log(job))


def attach(job: Job, address: Address) -> None:
    """Follow a job: its log to stdout, its exit code at the end; Ctrl-C leaves it running.

    The job's status decides, not the log: a log that breaks off is read again, and a head that
    does not answer is waited for. Exit codes: that of the command in the job, 130 after Ctrl-C or
    where the job was stopped.
    """
    from ray_jobs.jobs.attach import attach_to
    from ray_jobs.jobs.server import JobServer

    attach_to(JobServer(address), job)


def stop(
    job: Job,
    address: Address,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Wait until the job has ended, or only ask.")
    ] = False,
) -> None:
    """Stop a job. What it finished stays: the same command again continues from there."""
    from ray_jobs.jobs.attach import again, note
    from ray_jobs.jobs.server import JobServer, answered
    from ray_jobs.jobs.stop import wait_for_end

    server = JobServer(address)
    with answered(server.address):
        ran = server.stop(job)
    if ran and not wait:
        note(f"job {job} is asked to stop; see {again('status', job, server)}")
        return
    ended = wait_for_end(server, job)
    typer.echo(f"{job} {ended.status}")
