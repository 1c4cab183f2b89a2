"""Show jobs as facts for programs, and as text for people."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from medsift.storage.heartbeat import read_heartbeats
from medsift.storage.local_paths import path_of
from medsift.text import escaped
from ray_jobs.jobs.follow import outcome
from ray_jobs.jobs.server import answered
from ray_jobs.jobs.spec import RECIPE, RUN_DIR, VERB

if TYPE_CHECKING:
    from ray.job_submission import JobDetails

    from ray_jobs.jobs.server import JobServer

COLUMNS: Final = ("job", "status", "command", "recipe", "started", "seconds")
NO_JOBS: Final = "no jobs"


def job_facts(job: JobDetails) -> dict[str, Any]:
    """Return what is known of a job, as JSON-able values; its environment stays out."""
    known = job.metadata or {}
    end = job.end_time or int(time.time() * 1000)
    return {
        "job": job.submission_id or job.job_id or "",
        "status": str(job.status),
        "command": known.get(VERB, ""),
        "recipe": known.get(RECIPE, known.get("job_name", "")),
        "run_dir": known.get(RUN_DIR, ""),
        "started": None if job.start_time is None else _moment(job.start_time),
        "seconds": None if job.start_time is None else round((end - job.start_time) / 1000, 1),
        "message": outcome(job).message,
    }


def status_of(server: JobServer, job: str) -> tuple[dict[str, Any], int]:
    """Return what is known of a job, and the exit status that says how it is doing.

    Raises:
        UsageError: the job server does not answer, or does not know the job.
    """
    with answered(server.address):
        details = server.details(job)
    facts = job_facts(details)
    facts |= _stage_of(facts["run_dir"], facts["job"])
    return facts, outcome(details).exit_code if details.status.is_terminal() else 0


def _stage_of(run_dir: str, job: str) -> dict[str, Any]:
    """Return how far a job is by its heartbeat, where this machine sees its run directory."""
    for beat in read_heartbeats(path_of(run_dir)) if run_dir else ():
        if beat.job == job:
            last_sign = beat.time.isoformat(timespec="seconds")
            return {"stage": beat.stage, "done": beat.done, "last_sign": last_sign}
    return {}


def job_table(jobs: Sequence[Mapping[str, Any]]) -> str:
    """Return one line for each job."""
    if not jobs:
        return NO_JOBS
    rows = [COLUMNS, *(tuple(_cell(job[column]) for column in COLUMNS) for job in jobs)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    lines = (
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True))
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)


def facts_text(facts: Mapping[str, Any]) -> str:
    """Return one line for each fact that has a value."""
    return "\n".join(
        f"{name.replace('_', ' '):<12}{_cell(value)}"
        for name, value in facts.items()
        if value not in (None, "")
    )


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.1f}"
    return "" if value is None else escaped(str(value))


def _moment(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="seconds")
