"""Check that a cluster has room for what will be asked of it, before the first task waits for it.

A task that no node can take waits for ever without a word. Where the cluster may still grow, its
autoscaler is asked to, and waited for; nobody can ask Ray whether there is one.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from medsift.errors import UsageError
from ray_jobs.cluster import ADDRESS

logger = logging.getLogger(__name__)
GROW_VARIABLE: Final = "MEDSIFT_SCALE_UP_SECONDS"
GROW_SECONDS: Final = 600.0
"""How long a cluster may take to grow; a cloud starts a machine with a GPU in minutes."""
POLL_SECONDS: Final = 2.0
SPARE: Final = 1e-6
"""Ray counts in ten-thousandths, so sums of shares may be off by less."""

Node = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked: so many workers or tasks at once, each with CPUs and GPUs of one node."""

    what: str
    count: int = 1
    cpus: float = 1.0
    gpus: float = 0.0

    @property
    def bundle(self) -> dict[str, float]:
        """The resources of one, as Ray names them."""
        return {kind: amount for kind, amount in (("CPU", self.cpus), ("GPU", self.gpus)) if amount}

    def fits(self, nodes: Iterable[Node]) -> int:
        """Return how many of the requested fit at once on nodes that are otherwise idle."""
        return sum(self._on(node) for node in nodes)

    def _on(self, node: Node) -> int:
        shares = (int(node.get(kind, 0.0) / amount + SPARE) for kind, amount in self.bundle.items())
        return min(shares, default=self.count)

    def sentence(self, nodes: Sequence[Node]) -> str:
        """Return in words what is asked, and what is there."""
        asked = " and ".join(f"{amount:g} {kind}" for kind, amount in self.bundle.items())
        there = ", ".join(
            f"{node.get('CPU', 0.0):g} CPU and {node.get('GPU', 0.0):g} GPU" for node in nodes
        )
        return (
            f"{self.count} {self.what} with {asked} each on one node are asked, and "
            f"{self.fits(nodes)} fit on the cluster's {len(nodes)} node(s) ({there or 'none'})"
        )


def require_room(request: Request) -> None:
    """Wait until the cluster has room for a request, if it has not.

    Raises:
        UsageError: it has not grown in `MEDSIFT_SCALE_UP_SECONDS`; at once where this machine's own
            Ray is too small, which never grows.
    """
    nodes = live_nodes()
    if request.fits(nodes) >= request.count:
        return
    patience = _patience()
    if patience:
        logger.warning(
            "%s: waiting up to %.0f s for more nodes (%s)",
            request.sentence(nodes),
            patience,
            GROW_VARIABLE,
        )
        nodes = _grown(request, patience)
    if request.fits(nodes) < request.count:
        raise UsageError(
            f"{request.sentence(nodes)}: ask for less, or add nodes; a cluster that grows is "
            f"waited for as {GROW_VARIABLE} says",
            code="cluster_too_small",
            wanted=request.count,
            fits=request.fits(nodes),
            bundle=request.bundle,
        )


def live_nodes() -> list[Node]:
    """Return the resources of every live node of the Ray that this process is connected to."""
    import ray

    listed = ray.nodes()  # type: ignore[no-untyped-call]
    return [node["Resources"] for node in listed if node["Alive"]]


def _grown(request: Request, patience: float) -> list[Node]:
    """Ask the autoscaler for room, and return the nodes once there is, or patience is over."""
    from ray.autoscaler.sdk import request_resources

    deadline = time.monotonic() + patience
    nodes = live_nodes()
    request_resources(bundles=[request.bundle] * request.count)
    try:
        while request.fits(nodes) < request.count and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
            nodes = live_nodes()
    finally:
        # Such a wish lasts until the next one, and the work itself asks for what it needs.
        request_resources(bundles=[])
    return nodes


def _patience() -> float:
    """Return how long a cluster is waited for. Raises UsageError for a value that is no number."""
    text = os.environ.get(GROW_VARIABLE)
    if text is None:
        return GROW_SECONDS if os.environ.get(ADDRESS) else 0.0
    try:
        return max(0.0, float(text))
    except ValueError as error:
        raise UsageError(
            f"{GROW_VARIABLE}={text!r} is no number of seconds: give one such as 600, or 0 to "
            "refuse at once",
            code="option_invalid",
            option=GROW_VARIABLE,
        ) from error
