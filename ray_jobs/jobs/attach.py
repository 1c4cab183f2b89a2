"""Show a running job on the terminal until it ends, or until Ctrl-C leaves it running."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer

from ray_jobs.console import INTERRUPTED, ignore_broken_pipe
from ray_jobs.jobs.follow import Follower

if TYPE_CHECKING:
    from ray_jobs.jobs.server import JobServer


def attach_to(server: JobServer, job: str) -> None:
    """Write a job's log to stdout until it ends.

    Raises:
        typer.Exit: always; with the exit status of the job, or 130 where Ctrl-C detached.
        UsageError: the job server stays silent, or does not know the job.
    """
    code = INTERRUPTED
    with ignore_broken_pipe():
        try:
            ended = Follower(server, job, write_out, note).follow()
        except KeyboardInterrupt:
            note(
                f"detached; the job continues. Come back: {again('attach', job, server)}; "
                f"stop it: {again('stop', job, server)}"
            )
        else:
            code = ended.exit_code
            if ended.status != "SUCCEEDED":
                note(f"job {job} {ended.status}: {ended.message}")
    raise typer.Exit(code)


def again(command: str, job: str, server: JobServer) -> str:
    """Return the command line that does something with a job."""
    return f"medsift {command} {job} --address {server.address}"


def write_out(text: str) -> None:
    """Write a piece of a job's log to stdout at once."""
    sys.stdout.write(text)
    sys.stdout.flush()


def note(line: str) -> None:
    """Print a line on stderr."""
    sys.stderr.write(f"{line}\n")
