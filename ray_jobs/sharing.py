"""Check before a run that all nodes of a cluster reach its folders or stores, and see its data.

A run's workers write parts where the machine that started it reads them, and read the files that it
listed. On several nodes that is a store, or folders that are declared to be shared. Every node is
asked to read a token in each of them and to write an answer next to it, and to report the size of a
few of the data's files.
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

from medsift.errors import MedSiftError, StorageError, UsageError
from medsift.storage.locations import is_remote, local_path
from medsift.storage.mirror import is_mirrored, location
from medsift.storage.open_store import open_store
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
    """A question to a node: is `token` in each of `places`, do `files` have these sizes?

    A place is a folder or the URL of a store.
    """

    token: str
    places: tuple[str, ...]
    files: tuple[tuple[str, int], ...] = ()

    @property
    def mark(self) -> str:
        """The name of the file in a place that has the token."""
        return f"node-check-{self.token}"

    def answer(self, node: str) -> str:
        """Return the name of the file in which a node answers."""
        return f"node-check-{self.token}-{node}"


@contextmanager
def tokens_in(
    places: Iterable[str], nodes: Sequence[str] = (), files: Iterable[tuple[str, int]] = ()
) -> Iterator[Probe]:
    """Write a token into every folder or store; remove it and the nodes' answers at the end.

    Raises:
        StorageError: one cannot be written to.
    """
    probe = Probe(uuid4().hex, tuple(dict.fromkeys(places)), tuple(files))
    try:
        for place in probe.places:
            try:
                open_store(place).write(probe.mark, probe.token.encode())
            except StorageError as error:
                if error.code != "disk_refused":
                    raise
                raise StorageError(
                    f"cannot write to {place}: {error}", code="path_unwritable", path=place
                ) from error
        yield probe
    finally:
        for place in probe.places:
            with suppress(StorageError):
                open_store(place).remove([probe.mark, *map(probe.answer, nodes)])


def check_from_node(probe: Probe, node: str) -> list[str]:
    """Return what is wrong on this machine, which answers as `node` where it can write."""
    problems = []
    for place in probe.places:
        try:
            store = open_store(place)
            found = store.read(probe.mark)
            if found is None:
                problems.append(f"does not see what was just written in {place}")
                continue
            if found.data.decode() != probe.token:
                problems.append(f"finds another file in {place}")
            store.write(probe.answer(node), probe.token.encode())
        except MedSiftError as error:
            problems.append(f"cannot use {place} ({error})")
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
        (node, f"writes to a {place} of its own")
        for node in nodes
        for place in probe.places
        if open_store(place).size(probe.answer(node)) is None
    ]


def refuse_problems(problems: Sequence[tuple[str, str]]) -> None:
    """Raise StorageError naming nodes and folders, if there is a problem."""
    if not problems:
        return
    listed = "; ".join(f"node {node} {what}" for node, what in problems[:MAX_LISTED])
    more = f"; and {len(problems) - MAX_LISTED} more" if len(problems) > MAX_LISTED else ""
    raise StorageError(
        f"the nodes do not share what the run needs: {listed}{more}. Name a store that every node "
        "reaches for the run (s3://…) and have the data there, or use a disk that every node has "
        "under the same path, or run on one machine (--local)",
        code="nodes_share_no_disk",
        nodes=sorted({node for node, _ in problems}),
    )


def check_nodes(
    places: Iterable[Path], files: Iterable[tuple[str, int]] = (), *, shared: bool
) -> int:
    """Ask every node with CPUs of the joined Ray; return how many were asked.

    A cluster of one node on this machine is not asked. Nodes that join later are not checked; they
    fail when they miss a file.

    Args:
        places: Folders, or mirrors of stores, that workers write to.
        files: Files of the data and their sizes.
        shared: Whether the folders are declared to be on a disk that all nodes share.

    Raises:
        UsageError: there are several nodes, and a folder is not declared to be shared, or two nodes
            have one temporary folder, which cost this process its current one.
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
    listed = [place.absolute() for place in places]
    refuse_unshared([place for place in listed if not is_mirrored(place)], len(nodes), shared)
    names = list(nodes.values())
    with tokens_in(map(location, listed), names, files) as probe:
        replies = _ask(probe, nodes)
        require_working_folder()
        problems = [(name, what) for name, reply in replies.items() for what in reply]
        content = [name for name, reply in replies.items() if not reply]
        refuse_problems([*problems, *missing_answers(probe, content)])
    return len(nodes)


def require_working_folder() -> None:
    """Raise UsageError where the folder that this process was started in is gone.

    Ray unpacks a job's code for every node, and first removes what is there: of nodes that have one
    temporary folder the second removes the folder in which the first runs the job. MKL ends a
    process that has no current folder ("Cannot load libtorch_cpu.so"), whenever it comes to that.
    """
    try:
        Path.cwd()
    except FileNotFoundError as error:
        raise UsageError(
            "the folder in which this command runs was removed: where nodes of the cluster have "
            "one temporary folder, Ray removes a job's code for the first when it unpacks it for "
            "the second; start each node with a folder of its own (ray start --temp-dir)",
            code="working_folder_removed",
        ) from error


def refuse_unshared(folders: Sequence[Path], nodes: int, shared: bool) -> None:
    """Raise UsageError for folders of this machine that several nodes would have to write to."""
    if not folders or shared:
        return
    raise UsageError(
        f"{folders[0]} is a folder, and the work runs on {nodes} nodes, which may not share it: "
        "name a store (--run-dir s3://BUCKET/RUN), or where every node has it under this path set "
        "shared_disk: true under compute (in a training: under workers), or run with --local",
        code="run_directory_not_shared",
        path=str(folders[0]),
        nodes=nodes,
    )


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
