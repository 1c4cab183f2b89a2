"""Connect to Ray: the cluster of the job, the one that the user names, or a local one."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from medsift import json_logs
from medsift.errors import UsageError
from medsift.own_packages import ROOMS, hidden_error, worker_hook
from ray_jobs.job_config import job_variables
from ray_jobs.ray_token import offer_token

logger = logging.getLogger(__name__)

ADDRESS = "RAY_ADDRESS"
SETUP_HOOK = "worker_process_setup_hook"
REACH_SECONDS = 10.0
ANSWER_SECONDS = 60.0
START_ATTEMPTS = 3


@contextmanager
def connected(workers: int | None = None) -> Iterator[None]:
    """Keep a connection to Ray while the block runs.

    Inside a Ray job, or with RAY_ADDRESS set, that is the user's cluster: it is joined and left,
    never started, resized or stopped, and `workers` has no effect. Where Ray is already
    initialised in this process, it is used and left unchanged. Otherwise a local Ray of `workers`
    CPUs (all of them when None) is started, and stopped after the block.

    On its workers, MedSift's packages win over modules of the same names in the current folder.

    Raises:
        UsageError: the named cluster does not answer or wants another token, or the workers of a
            Ray that was initialised before load another package in place of one of MedSift's; or a
            local Ray does not start.
    """
    offer_token()
    # Ray's C++ core writes internal notices to the terminal, marked as errors.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    import ray

    if ray.is_initialized():
        _refuse_hidden_packages()
        yield
        return
    logging.getLogger("ray").setLevel(logging.ERROR)
    # Ray puts the driver's folder in front of `sys.path` on every worker, after this hook, and it
    # hands no other folder on: a changed PYTHONPATH would come behind it.
    options: dict[str, Any] = {
        "runtime_env": {SETUP_HOOK: worker_hook()},
        "log_to_driver": False,
        "configure_logging": False,
    }
    # Ray refuses a variable that the job sets already, even to the same value.
    if json_logs.wanted() and json_logs.VARIABLE not in job_variables():
        options["runtime_env"]["env_vars"] = {json_logs.VARIABLE: "json"}
    address = os.environ.get(ADDRESS)
    if address:
        _join(address, options)
    else:
        _start_here(workers, options)
    try:
        yield
    finally:
        ray.shutdown()


def _start_here(workers: int | None, options: dict[str, Any]) -> None:
    import ray

    # Ray gives its own processes thirty seconds, and has no setting for more.
    reasons: list[str] = []
    while True:
        try:
            # "local" never joins another user's cluster that happens to run on this machine.
            ray.init(address="local", num_cpus=workers, include_dashboard=False, **options)
        except (TypeError, ValueError):
            raise  # an option that Ray refuses is refused again
        except Exception as error:  # Ray raises no narrower one where a process of its own is late
            ray.shutdown()
            reasons.append((" ".join(str(error).split()) or type(error).__name__)[:300])
            if len(reasons) < START_ATTEMPTS:
                logger.warning("Ray does not start, and is tried again: %s", reasons[-1])
                continue
            raise UsageError(
                f"Ray does not start on this machine: {'; then: '.join(dict.fromkeys(reasons))}; "
                "run the same command again when the machine is less busy, or work without Ray "
                "(--local)",
                code="ray_not_started",
            ) from error
        return


def _join(address: str, options: dict[str, Any]) -> None:
    import ray
    from ray.exceptions import RayError

    require_reachable(address)
    try:
        ray.init(address=address, **options)
    except (ConnectionError, RayError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())
        remedy = f"check the address and the token, or unset {ADDRESS} for a local Ray"
        # Ray lists both runtime environments, and ours has this one key.
        conflict = SETUP_HOOK in reason
        if conflict:
            reason = f"the job sets {SETUP_HOOK}, and so does MedSift"
            remedy = (
                "submit the job without that key and call your hook where your script starts, or "
                "set RAY_OVERRIDE_JOB_RUNTIME_ENV=1 to have only MedSift's"
            )
        raise UsageError(
            f"cannot join the Ray cluster of {ADDRESS}={address}: {reason}; {remedy}",
            code="cluster_join_failed",
            address=address,
            key=SETUP_HOOK if conflict else None,
        ) from error


def _refuse_hidden_packages() -> None:
    """Ask one worker whether MedSift's packages are found there under their names.

    Ray sets workers up by `ray.init` only, so that a Ray which somebody else initialised in this
    process stays as it is.

    Raises:
        UsageError: another module hides one of them.
    """
    import ray
    from ray.exceptions import GetTimeoutError, RayError

    rooms = ROOMS

    def other_packages() -> dict[str, str]:
        import importlib.util
        import os

        medsift = importlib.util.find_spec("medsift")
        if medsift is None or medsift.origin is None:
            return {}
        root = os.path.realpath(os.path.dirname(os.path.dirname(medsift.origin)))  # noqa: PTH120
        others = {}
        for name in rooms:
            spec = importlib.util.find_spec(name)
            folders = [] if spec is None else list(spec.submodule_search_locations or ())
            path = folders[0] if folders else None if spec is None else spec.origin
            if path is not None and os.path.realpath(path) != os.path.join(root, name):  # noqa: PTH118
                others[name] = path
        return others

    asked: Any = ray.remote(num_cpus=0)(other_packages)
    try:
        others = ray.get(asked.remote(), timeout=ANSWER_SECONDS)
    except (GetTimeoutError, RayError):
        return  # no answer about names; the run itself will report what is wrong
    for name, path in others.items():
        raise hidden_error(name, path, "is first on the workers of the Ray that is running here")


def require_reachable(address: str) -> None:
    """Open and close a TCP connection, because Ray itself waits minutes for an absent head.

    Addresses without a host and port ("auto") pass. Raises UsageError.
    """
    host, separator, port = address.rpartition("://")[2].rstrip("/").rpartition(":")
    if not separator or not port.isdigit():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), REACH_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise UsageError(
            f"nothing answers at {address} ({error}): start the head, or correct the address",
            code="cluster_unreachable",
            address=address,
        ) from error


def describe() -> str:
    """Return the name and resources of the Ray that `connected` uses, from inside its block."""
    import ray

    resources = ray.cluster_resources()  # type: ignore[no-untyped-call]
    alive = [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    cpus, gpus = int(resources.get("CPU", 0)), int(resources.get("GPU", 0))
    name = os.environ.get(ADDRESS, "a local Ray")
    return f"{name}: {len(alive)} node(s), {cpus} CPUs, {gpus} GPUs, Ray {ray.__version__}"
