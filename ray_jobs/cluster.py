"""Which Ray a run uses: the one it is in, the one the user names, or its own for the duration."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from medsift.errors import UsageError
from ray_jobs.ray_token import offer_token

ADDRESS = "RAY_ADDRESS"
REACH_SECONDS = 10.0


@contextmanager
def connected(workers: int | None = None) -> Iterator[None]:
    """Hold a connection to Ray.

    Inside a Ray job, or with RAY_ADDRESS set, that is the user's cluster: it is joined and left,
    never started, resized or stopped, and `workers` is not looked at. Where Ray is already
    initialised in this process, it is used and left as it is. Otherwise a local Ray of `workers`
    CPUs (all of them when None) lives as long as the context.

    Raises UsageError when the named cluster does not answer or wants another token.
    """
    offer_token()
    # Ray's C++ core writes notices about its own workings to the terminal, marked as errors.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    import ray

    if ray.is_initialized():
        yield
        return
    logging.getLogger("ray").setLevel(logging.ERROR)
    address = os.environ.get(ADDRESS)
    if address:
        _join(address)
    else:
        _start(workers)
    try:
        yield
    finally:
        ray.shutdown()


def _join(address: str) -> None:
    import ray
    from ray.exceptions import RayError

    require_reachable(address)
    try:
        ray.init(address=address, log_to_driver=False, configure_logging=False)
    except (ConnectionError, RayError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise UsageError(
            f"cannot join the Ray cluster of {ADDRESS}={address}: {reason}; "
            f"check the address and the token, or unset {ADDRESS} for a local Ray",
            code="cluster_join_failed",
            address=address,
        ) from error


def _start(workers: int | None) -> None:
    import ray

    # "local" never picks up somebody else's cluster that happens to run on this machine.
    ray.init(
        address="local",
        num_cpus=workers,
        include_dashboard=False,
        log_to_driver=False,
        configure_logging=False,
    )


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
    """Name the Ray that `connected` uses and its resources, from inside the context."""
    import ray

    resources = ray.cluster_resources()  # type: ignore[no-untyped-call]
    alive = [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    cpus, gpus = int(resources.get("CPU", 0)), int(resources.get("GPU", 0))
    place = os.environ.get(ADDRESS, "a local Ray")
    return f"{place}: {len(alive)} node(s), {cpus} CPUs, {gpus} GPUs, Ray {ray.__version__}"
