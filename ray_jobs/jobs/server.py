"""Talk to the job server of a Ray head: each request has a time limit and errors of one line."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from medsift.errors import UsageError
from ray_jobs.cluster import require_reachable
from ray_jobs.console import one_line
from ray_jobs.ray_token import Token, offer_token

if TYPE_CHECKING:
    from ray.job_submission import JobDetails

    from ray_jobs.jobs.spec import JobSpec

POLL_SECONDS: Final = 0.5
REQUEST_SECONDS: Final = 60.0
"""How long one answer of the job server may take; Ray's own client would wait for ever."""
AGENT_SECONDS: Final = 60.0
"""How long to wait for the job agent of a head that has only just started."""
VERBOSE_LOGGERS: Final = (
    "ray.dashboard.modules.dashboard_sdk",
    "ray.dashboard.modules.job.sdk",
    "ray._private.runtime_env.packaging",
)


class ServerLostError(Exception):
    """The job server does not answer; the jobs may continue."""


def job_address(address: str) -> str:
    """Return the URL of the head's dashboard; `host:port` means http. Raises UsageError."""
    url = address if "://" in address else f"http://{address}"
    if not url.startswith(("http://", "https://")):
        raise UsageError(
            f"--address {address!r} is not the dashboard of a head; "
            "give http://HOST:8265, the address that `ray start --head` prints",
            code="job_address_invalid",
            address=address,
        )
    return url.rstrip("/")


def unknown_job(job: str, address: str) -> UsageError:
    """Return the error of a job that the cluster does not know, which may be a new cluster."""
    return UsageError(
        f"the cluster at {address} knows no job {job}: `medsift jobs` lists those it knows; after "
        "a lost head, `medsift status RUN_DIR` tells from the run directory",
        code="job_unknown",
        job=job,
        address=address,
    )


@contextmanager
def _admitted(address: str, token: Token | None) -> Iterator[None]:
    """Turn a token that is missing or refused into one line with the fix."""
    from ray.exceptions import AuthenticationError

    try:
        yield
    except AuthenticationError as error:
        problem = "wants a token and none was found"
        if token is not None:
            problem = f"refuses the token from {token.origin}"
        raise UsageError(
            f"the head at {address} {problem}: set RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH, or write "
            "it to ~/.ray/auth_token",
            code="cluster_token_refused",
            address=address,
        ) from error


@contextmanager
def _explained(address: str, token: Token | None) -> Iterator[None]:
    """Turn errors of Ray and HTTP into one line with the fix."""
    try:
        with _admitted(address, token):
            yield
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        raise UsageError(
            f"the job server at {address} cannot run this: {one_line(error)[:300]}; "
            "check that it is the dashboard of a running head (http://HOST:8265)",
            code="job_refused",
            address=address,
        ) from error


@contextmanager
def _or_lost(job: str, address: str, token: Token | None) -> Iterator[None]:
    """Raise ServerLostError for no answer, UsageError for a job that is not there."""
    import aiohttp

    try:
        with _admitted(address, token):
            yield
    except (OSError, aiohttp.ClientError) as error:
        raise ServerLostError(one_line(error)) from error
    except RuntimeError as error:
        if "status code 404" in str(error):
            raise unknown_job(job, address) from error
        raise ServerLostError(one_line(error)) from error


@contextmanager
def answered(address: str) -> Iterator[None]:
    """Turn ServerLostError into an error of one line, where nobody tries again."""
    try:
        yield
    except ServerLostError as error:
        raise UsageError(
            f"the job server at {address} does not answer: {error}; try again, or ask "
            "`medsift status RUN_DIR` about the run directory",
            code="job_server_lost",
            address=address,
        ) from error


class JobServer:
    """A connection to the job server of one head."""

    def __init__(self, address: str) -> None:
        """Connect. Raises UsageError when nothing answers, or the token is missing or refused."""
        self.address = job_address(address)
        scheme, _, host = self.address.partition("://")
        host = host.split("/", 1)[0]
        if not host.rpartition(":")[2].isdigit():
            host += ":443" if scheme == "https" else ":80"
        require_reachable(f"{scheme}://{host}")
        self.token = offer_token()
        # Only now: Ray reads whether it uses tokens when it is imported.
        from ray.job_submission import JobSubmissionClient

        class TimedClient(JobSubmissionClient):
            def _do_request(self, method: str, endpoint: str, **more: Any) -> Any:
                more.setdefault("timeout", REQUEST_SECONDS)
                return super()._do_request(method, endpoint, **more)

        for name in VERBOSE_LOGGERS:
            logging.getLogger(name).setLevel(logging.WARNING)
        # Ray prefers this variable and RAY_ADDRESS to an explicit address.
        os.environ["RAY_API_SERVER_ADDRESS"] = self.address
        headers = self.token.headers if self.token is not None else None
        with _explained(self.address, self.token):
            self.client = TimedClient(self.address, headers=headers)

    def submit(
        self,
        folder: Path,
        command: str,
        spec: JobSpec,
        runtime_env: Mapping[str, Any] | None = None,
    ) -> str | None:
        """Send `folder`, start `command` in it, and return the job's id. Raises UsageError.

        Returns None when somebody else's job took the id in the meantime.

        Args:
            folder: what the job carries.
            command: the line that runs in it.
            spec: the job, for its id and metadata.
            runtime_env: the user's wishes for Ray's runtime environment.
        """
        deadline = time.monotonic() + AGENT_SECONDS
        with _explained(self.address, self.token):
            job = spec.next_id(one.submission_id or "" for one in self.client.list_jobs())
            while True:
                try:
                    return str(
                        self.client.submit_job(
                            entrypoint=command,
                            submission_id=job,
                            runtime_env={**(runtime_env or {}), "working_dir": str(folder)},
                            metadata=spec.metadata,
                        )
                    )
                except RuntimeError as error:
                    if f"submission_id {job} already exists" in str(error):
                        return None
                    # A head that has only just started answers before it can run anything.
                    if "No available agent" not in str(error) or time.monotonic() > deadline:
                        raise
                time.sleep(POLL_SECONDS)

    def jobs(self) -> list[JobDetails]:
        """Return all jobs that the cluster knows, the newest first. Raises UsageError."""
        with _explained(self.address, self.token):
            return sorted(self.client.list_jobs(), key=lambda job: -(job.start_time or 0))

    def details(self, job: str) -> JobDetails:
        """Return what the cluster knows of a job. Raises ServerLostError, or UsageError."""
        with _or_lost(job, self.address, self.token):
            return self.client.get_job_info(job)

    def log(self, job: str) -> str:
        """Return a job's whole log. Raises ServerLostError, or UsageError for an unknown job."""
        with _or_lost(job, self.address, self.token):
            return self.client.get_job_logs(job)

    async def log_pieces(self, job: str) -> AsyncIterator[str]:
        """Yield a job's log from its beginning as it grows; the end of the stream means nothing.

        Raises ServerLostError when the stream breaks.
        """
        with _or_lost(job, self.address, self.token):
            async for piece in self.client.tail_job_logs(job):
                yield piece

    def stop(self, job: str) -> bool:
        """Ask a job to end; return whether it ran. Raises ServerLostError, or UsageError."""
        with _or_lost(job, self.address, self.token):
            return self.client.stop_job(job)
