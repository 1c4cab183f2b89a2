"""A run as a Ray job: code and recipe travel in a small folder, data never does."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import os
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import TYPE_CHECKING, Final

import yaml

from medsift.errors import UsageError
from ray_jobs.cluster import require_reachable
from ray_jobs.console import one_line
from ray_jobs.ray_token import Token, offer_token

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

    from curation.recipe import Recipe
    from training.recipe import TrainingRecipe

PACKAGES: Final = ("medsift", "curation", "training", "evaluation", "ray_jobs")
RECIPE_NAME: Final = "recipe.yaml"
LIMIT_BYTES: Final = 5 * 1024**2
POLL_SECONDS: Final = 0.5
AGENT_SECONDS: Final = 60.0
CHATTY: Final = (
    "ray.dashboard.modules.dashboard_sdk",
    "ray.dashboard.modules.job.sdk",
    "ray._private.runtime_env.packaging",
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a job ended: Ray's status, its message, and the exit status to hand on."""

    status: str
    message: str
    exit_code: int


def pack(recipe: Recipe | TrainingRecipe, folder: Path) -> int:
    """Fill `folder` with our packages' files and the recipe; return its size in bytes.

    Raises UsageError when that is more than `LIMIT_BYTES`, naming the largest files.
    """
    for package in PACKAGES:
        shutil.copytree(
            _package_folder(package),
            folder / package,
            ignore=shutil.ignore_patterns("__pycache__", "*.pyc", ".*"),
        )
    _pack_version(folder)
    settings = yaml.safe_dump(recipe.resolved(), sort_keys=False, allow_unicode=True)
    (folder / RECIPE_NAME).write_text(settings, encoding="utf-8")
    return _checked_size(folder)


def _pack_version(folder: Path) -> None:
    """Let the job know which MedSift it is, though it is not installed on the cluster."""
    try:
        installed = distribution("medsift")
    except PackageNotFoundError as error:
        raise UsageError(
            "medsift is not installed here: pip install it, then submit",
            code="package_missing",
            package="medsift",
        ) from error
    info = folder / f"medsift-{installed.version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(installed.read_text("METADATA") or "", encoding="utf-8")


def _package_folder(package: str) -> Path:
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise UsageError(
            f"the package {package!r} is not installed: reinstall medsift",
            code="package_missing",
            package=package,
        )
    return Path(found.submodule_search_locations[0])


def _checked_size(folder: Path) -> int:
    sizes = {
        path.relative_to(folder): path.stat().st_size
        for path in folder.rglob("*")
        if path.is_file()
    }
    total = sum(sizes.values())
    if total > LIMIT_BYTES:
        largest = sorted(sizes.items(), key=lambda item: (-item[1], item[0]))[:3]
        names = ", ".join(f"{path} ({size / 1024**2:.1f} MiB)" for path, size in largest)
        raise UsageError(
            f"code and recipe are {total / 1024**2:.1f} MiB, a job may carry "
            f"{LIMIT_BYTES / 1024**2:.0f} MiB: remove data from the packages; largest: {names}",
            code="job_too_large",
            bytes=total,
        )
    return total


def entrypoint(
    python: str, run_dir: Path, *, log_json: bool, command: Sequence[str] = ("curate",)
) -> str:
    """The shell line that the cluster's head runs in the packed folder."""
    words = [python, "-m", "ray_jobs", *command, RECIPE_NAME, "--run-dir", str(run_dir)]
    return shlex.join([*words, *(["--log-json"] if log_json else [])])


def job_address(address: str) -> str:
    """The head's dashboard URL: `host:port` means http. Raises UsageError for other schemes."""
    url = address if "://" in address else f"http://{address}"
    if not url.startswith(("http://", "https://")):
        raise UsageError(
            f"--address {address!r} is not the dashboard of a head; "
            "give http://HOST:8265, the address that `ray start --head` prints",
            code="job_address_invalid",
            address=address,
        )
    return url.rstrip("/")


@contextmanager
def _explained(address: str, token: Token | None) -> Iterator[None]:
    """Turn what Ray and HTTP raise into one line with the mend."""
    from ray.exceptions import AuthenticationError

    try:
        yield
    except AuthenticationError as error:
        raise UsageError(
            _unauthorised(address, token), code="cluster_token_refused", address=address
        ) from error
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        raise UsageError(
            f"the job server at {address} cannot serve this: {one_line(error)[:300]}; "
            "check that it is the dashboard of a running head (http://HOST:8265)",
            code="job_refused",
            address=address,
        ) from error


def _unauthorised(address: str, token: Token | None) -> str:
    mend = "set RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH, or put it in ~/.ray/auth_token"
    if token is None:
        return f"the head at {address} wants a token and none was found: {mend}"
    return f"the head at {address} refuses the token from {token.origin}: {mend}"


class JobServer:
    """The job server of one head."""

    def __init__(self, address: str) -> None:
        """Connect. Raises UsageError when nothing answers, or the token is missing or refused."""
        self.address = job_address(address)
        require_reachable(_with_port(self.address))
        self.token = offer_token()
        self.client = self._connect()

    def _connect(self) -> JobSubmissionClient:
        from ray.job_submission import JobSubmissionClient

        for name in CHATTY:
            logging.getLogger(name).setLevel(logging.WARNING)
        # Ray lets this variable and RAY_ADDRESS overrule an explicit address.
        os.environ["RAY_API_SERVER_ADDRESS"] = self.address
        headers = self.token.headers if self.token is not None else None
        with _explained(self.address, self.token):
            return JobSubmissionClient(self.address, headers=headers)

    def submit(self, folder: Path, command: str, *, name: str) -> str:
        """Send `folder`, start `command` in it, and return the job's id. Raises UsageError."""
        deadline = time.monotonic() + AGENT_SECONDS
        with _explained(self.address, self.token):
            while True:
                try:
                    return str(
                        self.client.submit_job(
                            entrypoint=command,
                            runtime_env={"working_dir": str(folder)},
                            metadata={"job_name": f"medsift {name}"},
                        )
                    )
                except RuntimeError as error:
                    # A head that has only just started answers before it can run anything.
                    if "No available agent" not in str(error) or time.monotonic() > deadline:
                        raise
                time.sleep(POLL_SECONDS)

    def follow(self, job: str, write: Callable[[str], object]) -> Outcome:
        """Pass the job's log on until it ends. Raises UsageError when the head is lost."""
        with _explained(self.address, self.token):
            asyncio.run(self._tail(job, write))
            return self._ended(job)

    async def _tail(self, job: str, write: Callable[[str], object]) -> None:
        async for lines in self.client.tail_job_logs(job):
            write(lines)

    def _ended(self, job: str) -> Outcome:
        """Wait for the final status, which trails the end of the log a little."""
        while True:
            info = self.client.get_job_info(job)
            if info.status.is_terminal():
                break
            time.sleep(POLL_SECONDS)
        known = info.driver_exit_code if info.driver_exit_code is not None else 1
        code = 0 if str(info.status) == "SUCCEEDED" else known or 1
        # Ray appends the log to the message, and the log has been shown already.
        message = (info.message or "").partition(", last available logs")[0]
        return Outcome(str(info.status), " ".join(message.split()), code)


def _with_port(url: str) -> str:
    """The URL with the port that its scheme implies."""
    scheme, _, rest = url.partition("://")
    host = rest.split("/", 1)[0]
    if host.rpartition(":")[2].isdigit():
        return f"{scheme}://{host}"
    return f"{scheme}://{host}:{443 if scheme == 'https' else 80}"


def submit_run(
    server: JobServer,
    recipe: Recipe | TrainingRecipe,
    run_dir: Path,
    *,
    python: str = "python",
    log_json: bool,
    command: Sequence[str] = ("curate",),
) -> str:
    """Pack a recipe whose paths are absolute, submit `command` on it, and return the job's id."""
    with tempfile.TemporaryDirectory(prefix="medsift-job-") as folder:
        pack(recipe, Path(folder))
        line = entrypoint(python, run_dir, log_json=log_json, command=command)
        return server.submit(Path(folder), line, name=recipe.name)


def write_out(text: str) -> None:
    """Write a piece of a job's log to stdout at once."""
    sys.stdout.write(text)
    sys.stdout.flush()
