"""Find the processes of Ray that a soak kills, and keep the clusters that it kills them in."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

import psutil

TITLE: Final = "ray::"
WORDS: Final = {"actor": "MapWorker", "train worker": "RayTrainWorker"}
"""What the titles of processes contain that a target names."""
NODES: Final = {"worker": 2, "actor": 2, "node of 2": 2, "node of 4": 4, "head": 2}
"""Nodes of the cluster that a target needs, besides the head."""
MOST_FAILURES: Final = 5
PATIENCE: Final = {
    "RAY_agent_register_timeout_ms": "300000",
    "RAY_health_check_failure_threshold": "10",
    "RAY_health_check_timeout_ms": "60000",
    "RAY_gcs_server_request_timeout_seconds": "300",
    "RAY_worker_register_timeout_seconds": "300",
}
"""A busy machine is no dead node."""
OTHERS: Final = ("Agent", "StatsActor", "Tracker", "Manager", "Controller", "Event", "Autoscal")
"""Words in the titles of processes that are Ray's own and run none of the work."""


def title(process: psutil.Process) -> str:
    """Return what Ray calls a process; empty for other processes, and those that ended."""
    try:
        words = process.cmdline()
    except psutil.Error:
        return ""
    return words[0] if words and words[0].startswith(TITLE) else ""


def is_idle(process: psutil.Process) -> bool:
    """Return whether a process of Ray has no task."""
    return "IDLE" in title(process)


def work_processes(parents: Sequence[int], target: str) -> list[psutil.Process]:
    """Return the processes of Ray below some others that a kill of `target` may choose from."""
    below: list[psutil.Process] = []
    for parent in parents:
        with suppress(psutil.NoSuchProcess):
            below += psutil.Process(parent).children(recursive=True)
    titles = {process: title(process) for process in sorted(below, key=lambda one: one.pid)}
    if target in WORDS:
        return [process for process, name in titles.items() if WORDS[target] in name]
    others = (*WORDS.values(), *OTHERS)
    tasks = {
        process: name
        for process, name in titles.items()
        if name and not any(word in name for word in others)
    }
    return [process for process, name in tasks.items() if "IDLE" not in name] or list(tasks)


class Nodes:
    """A test cluster of a head without CPUs and `count` nodes of one CPU each.

    Made in a process of its own, by `Cluster`: Ray reads how it is authenticated once in the
    life of a process. Its files are in a folder of their own right below the temporary folder: the
    sockets of Ray need a path of at most 107 bytes.
    """

    def __init__(self, count: int, variables: Mapping[str, str]) -> None:
        os.environ.update(variables)
        from ray import cluster_utils

        self.count = count
        for attempt in range(MOST_FAILURES):
            self.folder = Path(tempfile.mkdtemp(prefix="soak-"))
            try:
                self.cluster: Any = cluster_utils.Cluster(
                    initialize_head=True, head_node_args=self._node(0)
                )
                break
            except Exception:  # Ray raises no narrower one, after 30 seconds
                self._end_started()
                if attempt == MOST_FAILURES - 1:
                    raise
        self.nodes: list[Any] = []
        self.fill_up()

    def _node(self, cpus: int) -> dict[str, Any]:
        memory = 100 * 1024**2
        return {
            "num_cpus": cpus,
            "object_store_memory": memory,
            "include_dashboard": False,
            "temp_dir": str(self.folder),
        }

    def address(self) -> str:
        """Return the address of the head, as RAY_ADDRESS has it."""
        return str(self.cluster.address)

    def raylets(self) -> list[int]:
        """Return the processes whose children are the workers of the nodes."""
        return [node.all_processes["raylet"][0].process.pid for node in self.nodes]

    def kill_node(self, place: int) -> None:
        """Kill every process of a node by SIGKILL."""
        node = self.nodes.pop(place % len(self.nodes))
        self.cluster.remove_node(node, allow_graceful=False)

    def kill_head(self) -> None:
        """Kill every process of the head by SIGKILL."""
        self.cluster.head_node.kill_all_processes(
            check_alive=False, allow_graceful=False, wait=True
        )

    def fill_up(self) -> None:
        """Start a node for each that was killed; one that is too slow to start is tried again."""
        failures = 0
        while len(self.nodes) < self.count:
            try:
                self.nodes.append(self.cluster.add_node(**self._node(1)))
            except Exception:  # Ray raises no narrower one, after 30 seconds
                failures += 1
                if failures > MOST_FAILURES:
                    raise

    def _end_started(self) -> None:
        """End the processes of a head that did not start in time, and remove its folder."""
        for process in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):
                if any(str(self.folder) in word for word in process.cmdline()):
                    process.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def end(self) -> None:
        """End all nodes."""
        for node in [*self.nodes, self.cluster.head_node]:
            node.kill_all_processes(check_alive=False, allow_graceful=False, wait=True)
        shutil.rmtree(self.folder, ignore_errors=True)


class Cluster:
    """A cluster in a process of its own, in whose main thread Ray sets its signals.

    `variables` are what it and the commands that join it need, with a new token.
    """

    def __init__(self, count: int) -> None:
        self.variables = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(24)}
        self.variables |= PATIENCE
        self._process = ProcessPoolExecutor(1, get_context("spawn"))
        self._process.submit(_begin, count, self.variables).result()

    def call(self, method: str, *arguments: int) -> Any:
        """Call a method of the `Nodes` there; return what it returns."""
        return self._process.submit(_call, method, arguments).result()

    def end(self) -> None:
        """End all nodes, and the process that has them."""
        self.call("end")
        self._process.shutdown()


_NODES: list[Nodes] = []


def _begin(count: int, variables: Mapping[str, str]) -> None:
    _NODES.append(Nodes(count, variables))


def _call(method: str, arguments: Sequence[int]) -> Any:
    return getattr(_NODES[0], method)(*arguments)


def end_group(group: int) -> None:
    """End what a killed driver left in its process group and below its former children."""
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def folder_bytes(folder: Path) -> int:
    """Return the bytes that the files of a folder occupy on the disk; they may come and go."""
    occupied = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                occupied += Path(place, name).stat().st_blocks * 512
    return occupied
