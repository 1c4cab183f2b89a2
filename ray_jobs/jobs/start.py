"""Submit a job, unless the same one runs already."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml

from medsift.errors import UsageError
from medsift.yaml_text import read_yaml
from ray_jobs.cluster import SETUP_HOOK
from ray_jobs.jobs.pack import pack
from ray_jobs.jobs.spec import FINGERPRINT, JobSpec, entrypoint

if TYPE_CHECKING:
    from ray.job_submission import JobDetails

    from ray_jobs.jobs.server import JobServer

OWN_KEYS: Final = ("working_dir", SETUP_HOOK)
"""Keys of a runtime environment that MedSift sets itself."""
ATTEMPTS: Final = 5
"""Submissions with a number that others may take at the same moment."""


def running_job(server: JobServer, spec: JobSpec) -> JobDetails | None:
    """Return a job of the same fingerprint that has not ended; None where there is none."""
    for job in server.jobs():
        same = (job.metadata or {}).get(FINGERPRINT) == spec.fingerprint
        if same and not job.status.is_terminal():
            return job
    return None


def already_running(job: str, address: str) -> UsageError:
    """Return the error of a submission that would do a second time what a job does now."""
    return UsageError(
        f"job {job} does this already: follow it with `medsift attach {job} --address {address}`, "
        "or give --new to submit another",
        code="job_already_running",
        job=job,
        address=address,
    )


def submit(
    server: JobServer,
    spec: JobSpec,
    *,
    python: str = "python",
    log_json: bool = False,
    runtime_env: Mapping[str, Any] | None = None,
    new: bool = False,
) -> str:
    """Pack a job, submit it, and return its id.

    Args:
        server: the job server of the cluster.
        spec: the job; its paths are absolute.
        python: the interpreter on the head.
        log_json: whether the job reports progress as JSON lines.
        runtime_env: the user's wishes for Ray's runtime environment.
        new: whether to submit although the same job was submitted at the same moment.

    Raises:
        UsageError: the server refuses, or somebody submits the same job at the same moment.
    """
    with tempfile.TemporaryDirectory(prefix="medsift-job-") as folder:
        pack(spec.settings, Path(folder))
        line = entrypoint(python, spec, log_json=log_json)
        for _ in range(ATTEMPTS):
            job = server.submit(Path(folder), line, spec, runtime_env)
            if job is not None:
                return job
            other = None if new else running_job(server, spec)
            if other is not None:
                raise already_running(other.submission_id or "", server.address)
    raise UsageError(
        f"others submit the same job again and again at {server.address}: look at `medsift jobs`",
        code="job_refused",
        address=server.address,
    )


def read_runtime_env(path: Path | None) -> dict[str, Any]:
    """Return the runtime environment of a YAML file; an empty one without a file.

    Its values may be secrets: they go to the cluster, and into no message. Raises UsageError.
    """
    if path is None:
        return {}
    try:
        loaded = read_yaml(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise _env_error(path, f"cannot be read ({type(error).__name__})") from error
    except yaml.YAMLError as error:
        # The error quotes the line, which may have a secret.
        raise _env_error(path, "is not YAML") from error
    if not isinstance(loaded, dict) or not all(isinstance(key, str) for key in loaded):
        raise _env_error(path, "is no mapping of names to values, as `env_vars: {A: b}`")
    for key in OWN_KEYS:
        if key in loaded:
            raise _env_error(path, f"sets {key}, and so does MedSift; leave that key out")
    return loaded


def _env_error(path: Path, problem: str) -> UsageError:
    message = f"--runtime-env {path} {problem}"
    return UsageError(message, code="runtime_env_invalid", path=str(path))
