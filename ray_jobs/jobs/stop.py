"""Stop a job, and wait until it has ended."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from medsift.errors import UsageError
from ray_jobs.jobs.server import POLL_SECONDS, ServerLostError

if TYPE_CHECKING:
    from ray.job_submission import JobDetails

    from ray_jobs.jobs.server import JobServer

STOP_SECONDS: Final = 120.0
"""Ray ends a job that ignores SIGTERM after seconds; longer than this, something is wrong."""


def wait_for_end(server: JobServer, job: str, seconds: float = STOP_SECONDS) -> JobDetails:
    """Return what is known of a job once it has ended, through silence of the job server.

    Raises:
        UsageError: it has not ended in time, or the cluster does not know it.
    """
    deadline = time.monotonic() + seconds
    last = "no answer"
    while time.monotonic() < deadline:
        try:
            details = server.details(job)
        except ServerLostError as lost:
            last = f"no answer ({lost})"
        else:
            if details.status.is_terminal():
                return details
            last = str(details.status)
        time.sleep(POLL_SECONDS)
    raise UsageError(
        f"job {job} has not ended after {seconds:.0f} s, its status: {last}; look at its log with "
        f"`medsift logs {job}`",
        code="job_not_stopped",
        job=job,
        status=last,
    )
