"""Submit a run as a Ray job: code and recipe are sent in a small folder, data never is."""

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
    from curation.recipe import Recipe
    from training.recipe import TrainingRecipe

PACKAGES: Final = ("medsift", "curation", "training", "evaluation", "ray_jobs")
RECIPE_NAME: Final = "recipe.yaml"
LIMIT_BYTES: Final = 5 * 1024**2
POLL_SECONDS: Final = 0.5
AGENT_SECONDS: Final = 60.0
"""How long to wait for the job agent of a head that has only just started."""
VERBOSE_LOGGERS: Final = (
    "ray.dashboard.modules.dashboard_sdk",
    "ray.dashboard.modules.job.sdk",
    "ray._private.runtime_env.packaging",
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of a job: Ray's status, its message, and the exit status of the command."""

    status: str
    message: str
    exit_code: int


def pack(recipe: Recipe | TrainingRecipe, folder: Path) -> int:
    """Fill `folder` with MedSift's packages and the recipe; return its size in bytes.

    Raises UsageError when that is more than `LIMIT_BYTES`, naming the largest files.
    """
    for package in PACKAGES:
        spec = importlib.util.find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            raise UsageError(
                f"the package {package!r} is not installed: reinstall medsift",
                code="package_missing",
                package=package,
            )
        unneeded = shutil.ignore_patterns("__pycache__", "*.pyc", ".*")
        shutil.copytree(spec.submodule_search_locations[0], folder / package, ignore=unneeded)
    try:
        installed = distribution("medsift")
    except PackageNotFoundError as error:
        raise UsageError(
            "medsift is not installed here: pip install it, then submit",
            code="package_missing",
            package="medsift",
        ) from error
    # With its metadata the version is known where MedSift is not installed on the cluster.
    info = folder / f"medsift-{installed.version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(installed.read_text("METADATA") or "", encoding="utf-8")
    settings = yaml.safe_dump(recipe.resolved(), sort_keys=False, allow_unicode=True)
    (folder / RECIPE_NAME).write_text(settings, encoding="utf-8")
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
    """Return the shell line that the cluster's head runs in the packed folder.

    Args:
        python: the interpreter on the head.
        run_dir: the run directory, as the head sees it.
        log_json: whether the job reports progress as JSON lines.
        command: words of the command line that come before the recipe.
    """
    words = [python, "-m", "ray_jobs", *command, RECIPE_NAME, "--run-dir", str(run_dir)]
    return shlex.join([*words, *(["--log-json"] if log_json else [])])


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


@contextmanager
def _explained(address: str, token: Token | None) -> Iterator[None]:
    """Turn errors of Ray and HTTP into one line with the fix."""
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
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        raise UsageError(
            f"the job server at {address} cannot run this: {one_line(error)[:300]}; "
            "check that it is the dashboard of a running head (http://HOST:8265)",
            code="job_refused",
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

        for name in VERBOSE_LOGGERS:
            logging.getLogger(name).setLevel(logging.WARNING)
        # Ray prefers this variable and RAY_ADDRESS to an explicit address.
        os.environ["RAY_API_SERVER_ADDRESS"] = self.address
        headers = self.token.headers if self.token is not None else None
        with _explained(self.address, self.token):
            self.client = JobSubmissionClient(self.address, headers=headers)

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
        """Write the job's log until it ends. Raises UsageError when the head is lost."""

        async def tail() -> None:
            async for lines in self.client.tail_job_logs(job):
                write(lines)

        with _explained(self.address, self.token):
            asyncio.run(tail())
            # The final status comes a little after the end of the log.
            while not (info := self.client.get_job_info(job)).status.is_terminal():
                time.sleep(POLL_SECONDS)
        driver_code = info.driver_exit_code if info.driver_exit_code is not None else 1
        code = 0 if str(info.status) == "SUCCEEDED" else driver_code or 1
        # Ray appends the log to the message, and the log is shown already.
        message = (info.message or "").partition(", last available logs")[0]
        return Outcome(str(info.status), " ".join(message.split()), code)


def submit_run(
    server: JobServer,
    recipe: Recipe | TrainingRecipe,
    run_dir: Path,
    *,
    python: str = "python",
    log_json: bool,
    command: Sequence[str] = ("curate",),
) -> str:
    """Pack a recipe, submit a command on it, and return the job's id.

    Args:
        server: the job server of the cluster.
        recipe: its paths are absolute.
        run_dir: the run directory, as the head sees it.
        python: the interpreter on the head.
        log_json: whether the job reports progress as JSON lines.
        command: words of the command line that come before the recipe.
    """
    with tempfile.TemporaryDirectory(prefix="medsift-job-") as folder:
        pack(recipe, Path(folder))
        line = entrypoint(python, run_dir, log_json=log_json, command=command)
        return server.submit(Path(folder), line, name=recipe.name)


def write_out(text: str) -> None:
    """Write a piece of a job's log to stdout at once."""
    sys.stdout.write(text)
    sys.stdout.flush()
