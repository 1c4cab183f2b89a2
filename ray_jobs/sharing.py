"""Check before a run that all nodes of a cluster share its folders and see its data.

A run's workers write parts where the machine that started it reads them, and read the files that it
listed. Every node is asked to read a token in each folder and to write an answer next to it, and to
report the size of a few of the data's files.
"""

from __future__ import annotations

import glob
import os
import socket
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from medsift.errors import StorageError
from medsift.storage.locations import is_remote, local_path
from ray_jobs.absolute_paths import LOCAL_DIR, SOURCE_PATH_KEYS

if TYPE_CHECKING:
    from curation.recipe import Recipe

FILES_PER_SOURCE: Final = 3
"""Files of each source or image root that every node is asked about."""
MAX_LISTED: Final = 3
"""Problems that an error message lists."""
ANSWER_SECONDS: Final = 120.0


@dataclass(frozen=True, slots=True)
class Probe:
    """A question to a node: is `token` in each of `folders`, do `files` have these sizes?"""

    token: str
    folders: tuple[Path, ...]
    files: tuple[tuple[str, int], ...] = ()

    def mark(self, folder: Path) -> Path:
        """Return the file in a folder that has the token."""
        return folder / f".node-check-{self.token}"

    def answer(self, folder: Path, node: str) -> Path:
        """Return the file in which a node answers."""
        return folder / f".node-check-{self.token}-{node}"


@contextmanager
def tokens_in(folders: Iterable[Path], files: Iterable[tuple[str, int]] = ()) -> Iterator[Probe]:
    """Write a token into every folder, made if need be; remove it and the answers at the end.

    Raises:
        StorageError: a folder cannot be written to.
    """
    unique = tuple(dict.fromkeys(folder.absolute() for folder in folders))
    probe = Probe(uuid4().hex, unique, tuple(files))
    try:
        for folder in unique:
            try:
                folder.mkdir(parents=True, exist_ok=True)
                probe.mark(folder).write_text(probe.token, encoding="ascii")
            except OSError as error:
                raise StorageError(
                    f"cannot write to {folder}: {error}; free some space or choose another folder",
                    code="path_unwritable",
                    path=str(folder),
                ) from error
        yield probe
    finally:
        for folder in unique:
            for left in folder.glob(f".node-check-{probe.token}*"):
                with suppress(OSError):
                    left.unlink()


def check_from_node(probe: Probe, node: str) -> list[str]:
    """Return what is wrong on this machine, which answers as `node` where it can write."""
    problems = []
    for folder in probe.folders:
        try:
            if probe.mark(folder).read_text(encoding="ascii") != probe.token:
                problems.append(f"finds another file in {folder}")
            probe.answer(folder, node).write_text(probe.token, encoding="ascii")
        except FileNotFoundError:
            problems.append(f"does not see what was just written in {folder}")
        except OSError as error:
            problems.append(f"cannot write to {folder} ({error.strerror or error})")
    for name, size in probe.files:
        try:
            there = Path(name).stat().st_size
        except OSError:
            problems.append(f"does not see {name}")
            continue
        if there != size:
            problems.append(f"sees {there} bytes instead of {size} in {name}")
    return problems


def missing_answers(probe: Probe, nodes: Iterable[str]) -> list[tuple[str, str]]:
    """Return (node, what is wrong) for each answer that did not arrive on this machine."""
    return [
        (node, f"writes to a {folder} of its own")
        for node in nodes
        for folder in probe.folders
        if not probe.answer(folder, node).exists()
    ]


def refuse_problems(problems: Sequence[tuple[str, str]]) -> None:
    """Raise StorageError naming nodes and folders, if there is a problem."""
    if not problems:
        return
    listed = "; ".join(f"node {node} {what}" for node, what in problems[:MAX_LISTED])
    more = f"; and {len(problems) - MAX_LISTED} more" if len(problems) > MAX_LISTED else ""
    raise StorageError(
        f"the nodes do not share a disk: {listed}{more}. Put the run directory, the cache and the "
        "data on a disk that every node has under the same path, or run on one machine (--local)",
        code="nodes_share_no_disk",
        nodes=sorted({node for node, _ in problems}),
    )


def check_nodes(folders: Iterable[Path], files: Iterable[tuple[str, int]] = ()) -> int:
    """Ask every node with CPUs of the joined Ray; return how many were asked.

    A cluster of one node on this machine is not asked. Nodes that join later are not checked; they
    fail when they miss a file.

    Raises:
        StorageError: a node does not see what this machine does, or does not answer.
    """
    import ray

    # Nodes that are alive and have CPUs may get work: id → unique name.
    nodes = {
        node["NodeID"]: f"{node['NodeManagerHostname']}-{node['NodeID'][:6]}"
        for node in ray.nodes()  # type: ignore[no-untyped-call]
        if node["Alive"] and node["Resources"].get("CPU", 0) > 0
    }
    own_name = f"{socket.gethostname()}-{ray.get_runtime_context().get_node_id()[:6]}"
    if list(nodes.values()) == [own_name]:
        return 1
    with tokens_in(folders, files) as probe:
        replies = _ask(probe, nodes)
        problems = [(name, what) for name, reply in replies.items() for what in reply]
        content = [name for name, reply in replies.items() if not reply]
        refuse_problems([*problems, *missing_answers(probe, content)])
    return len(nodes)


def _ask(probe: Probe, nodes: dict[str, str]) -> dict[str, list[str]]:
    """Return the problems that each node reports, by its name; nodes are given as id → name."""
    import ray
    from ray.exceptions import GetTimeoutError, RayError
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    call: Any = ray.remote(check_from_node)
    asked = {
        name: call.options(
            num_cpus=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)
        ).remote(probe, name)
        for node, name in nodes.items()
    }
    problems = {}
    for name, reply in asked.items():
        try:
            problems[name] = ray.get(reply, timeout=ANSWER_SECONDS)
        except (GetTimeoutError, RayError) as error:
            words = " ".join(str(error).split()) or type(error).__name__
            raise StorageError(
                f"node {name} does not answer ({words[:200]}): restart it, or take it out of the "
                "cluster",
                code="node_silent",
                node=name,
            ) from error
    return problems


def sample_files(location: str) -> list[tuple[str, int]]:
    """Return a few files of a file, folder or glob with their sizes; none of a URL or hub name."""
    if is_remote(location):
        return []
    local = str(local_path(location))
    paths = [local]
    if glob.has_magic(local):
        paths = sorted(glob.glob(local, recursive=True))  # noqa: PTH207 - as the sources do
    return [(name, Path(name).stat().st_size) for name in islice(_files(paths), FILES_PER_SOURCE)]


def _files(paths: Iterable[str]) -> Iterator[str]:
    """Yield the regular files at or below the paths, folders in the order of names."""
    for path in paths:
        if Path(path).is_file():
            yield path
        for folder, inner, names in os.walk(path):
            inner.sort()
            inside = (Path(folder) / name for name in sorted(names))
            yield from (str(file) for file in inside if file.is_file())


def data_files(recipe: Recipe) -> list[tuple[str, int]]:
    """Return a few files of every source, image root and local model that workers read."""
    locations = []
    for source in recipe.sources:
        settings = source.model_dump()
        locations += [settings[key] for key in SOURCE_PATH_KEYS if settings.get(key)]
    model = recipe.encoder.model_dump().get("model") or ""
    if str(model).startswith(LOCAL_DIR):
        locations.append(str(model).removeprefix(LOCAL_DIR))
    files = (file for location in locations for file in sample_files(str(location)))
    return list(dict.fromkeys(files))
