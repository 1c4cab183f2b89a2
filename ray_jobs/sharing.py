"""Whether the nodes of a cluster share what a run writes and see what it reads, asked beforehand.

A run's workers write parts where the machine that began it reads them, and read the files that it
listed. Every node is asked to read a token in each folder and to answer beside it, and to name the
size of a few of the data's files.
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

if TYPE_CHECKING:
    from curation.recipe import Recipe

WITNESSES: Final = 3
"""Files of a source or an image root that every node is asked about."""
LISTED: Final = 3
ANSWER_SECONDS: Final = 120.0
LOCAL_DIR: Final = "local-dir:"


@dataclass(frozen=True, slots=True)
class Probe:
    """What a node is asked: `token` stands in each of `folders`, `files` have these sizes."""

    token: str
    folders: tuple[Path, ...]
    files: tuple[tuple[str, int], ...] = ()

    def mark(self, folder: Path) -> Path:
        """The file in a folder that holds the token."""
        return folder / f".node-check-{self.token}"

    def answer(self, folder: Path, node: str) -> Path:
        """The file in which a node answers."""
        return folder / f".node-check-{self.token}-{node}"


@contextmanager
def laid_out(folders: Iterable[Path], files: Iterable[tuple[str, int]] = ()) -> Iterator[Probe]:
    """Put a token into every folder, made if need be, and take it and the answers away again.

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


def look(probe: Probe, node: str) -> list[str]:
    """What is wrong on the machine that this runs on, which answers as `node` where it can."""
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


def unanswered(probe: Probe, nodes: Iterable[str]) -> list[tuple[str, str]]:
    """(node, what is wrong) for answers that did not arrive on this machine."""
    return [
        (node, f"writes to a {folder} of its own")
        for node in nodes
        for folder in probe.folders
        if not probe.answer(folder, node).exists()
    ]


def require_agreement(problems: Sequence[tuple[str, str]]) -> None:
    """Raise StorageError naming nodes and places, where there is a problem."""
    if not problems:
        return
    listed = "; ".join(f"node {node} {what}" for node, what in problems[:LISTED])
    more = f"; and {len(problems) - LISTED} more" if len(problems) > LISTED else ""
    raise StorageError(
        f"the nodes do not share a disk: {listed}{more}. Put the run directory, the cache and the "
        "data on a disk that every node has under the same path, or run on one machine (--local)",
        code="nodes_share_no_disk",
        nodes=sorted({node for node, _ in problems}),
    )


def check_nodes(folders: Iterable[Path], files: Iterable[tuple[str, int]] = ()) -> int:
    """Ask every node of the joined Ray that can work; return how many were asked.

    A cluster of one node on this machine is not asked. Nodes that join later are not known yet;
    they are caught where they miss a file.

    Raises:
        StorageError: a node does not see what this machine does, or does not answer.
    """
    nodes = _working_nodes()
    if len(nodes) == 1 and next(iter(nodes.values())) == _this_node():
        return 1
    with laid_out(folders, files) as probe:
        found = _ask(probe, nodes)
        problems = [(name, what) for name, said in found.items() for what in said]
        silent = [name for name, said in found.items() if not said]
        require_agreement([*problems, *unanswered(probe, silent)])
    return len(nodes)


def _ask(probe: Probe, nodes: dict[str, str]) -> dict[str, list[str]]:
    """What each node, by its name, says; nodes are given as id → name."""
    import ray
    from ray.exceptions import GetTimeoutError, RayError
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    call: Any = ray.remote(look)
    asked = {
        name: call.options(
            num_cpus=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)
        ).remote(probe, name)
        for node, name in nodes.items()
    }
    found = {}
    for name, reply in asked.items():
        try:
            found[name] = ray.get(reply, timeout=ANSWER_SECONDS)
        except (GetTimeoutError, RayError) as error:
            words = " ".join(str(error).split()) or type(error).__name__
            raise StorageError(
                f"node {name} does not answer ({words[:200]}): restart it, or take it out of the "
                "cluster",
                code="node_silent",
                node=name,
            ) from error
    return found


def _working_nodes() -> dict[str, str]:
    """Id → name of the nodes that may get work: alive and with CPUs; names are unique."""
    import ray

    alive = [
        node
        for node in ray.nodes()  # type: ignore[no-untyped-call]
        if node["Alive"] and node["Resources"].get("CPU", 0) > 0
    ]
    return {node["NodeID"]: f"{node['NodeManagerHostname']}-{node['NodeID'][:6]}" for node in alive}


def _this_node() -> str:
    """The name of the node that this process is on."""
    import ray

    return f"{socket.gethostname()}-{ray.get_runtime_context().get_node_id()[:6]}"


def witnesses(place: str) -> list[tuple[str, int]]:
    """A few files of a place (file, folder, glob), with their sizes; none of a URL or hub name."""
    if is_remote(place):
        return []
    local = str(local_path(place))
    found = [local]
    if glob.has_magic(local):
        found = sorted(glob.glob(local, recursive=True))  # noqa: PTH207 - as the sources do
    return [(name, Path(name).stat().st_size) for name in islice(_files(found), WITNESSES)]


def _files(places: Iterable[str]) -> Iterator[str]:
    """Regular files at or below the places, folders walked in the order of names."""
    for place in places:
        if Path(place).is_file():
            yield place
        for folder, inner, names in os.walk(place):
            inner.sort()
            yield from (
                str(Path(folder) / name)
                for name in sorted(names)
                if (Path(folder) / name).is_file()
            )


def data_of(recipe: Recipe) -> list[tuple[str, int]]:
    """A few files of every source, image root and local model that the workers of a run read."""
    places = []
    for source in recipe.sources:
        given = source.model_dump()
        places += [given[key] for key in ("path", "image_root", "captions") if given.get(key)]
    model = recipe.encoder.model_dump().get("model") or ""
    if str(model).startswith(LOCAL_DIR):
        places.append(str(model).removeprefix(LOCAL_DIR))
    return list(dict.fromkeys(found for place in places for found in witnesses(str(place))))
