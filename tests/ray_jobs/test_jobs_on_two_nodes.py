"""Jobs and commands on two nodes that share no disk, with data and runs in an object store.

The second node has mounts of its own: an empty folder lies over everything that the tests and the
first node write. Both have an address of their own, and the job server belongs to the first.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

import medsift as ms
from curation.phantoms import PhantomSet
from medsift.manifest import read
from medsift.storage.mirror import mirror_of
from medsift.storage.open_store import open_store
from medsift.storage.pointer import refresh
from tests.ray_jobs.test_jobs_on_a_cluster import (
    TOKEN,
    Head,
    environment,
    eventually,
    free_low_port,
    free_port,
    has_started,
    kill_head,
    start_head,
)
from tests.stores import new_bucket

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(1800)]
SECONDS = 1700
PATIENT = {
    "RAY_agent_register_timeout_ms": "300000",
    "RAY_health_check_failure_threshold": "60",
    "RAY_health_check_timeout_ms": "60000",
    "RAY_gcs_server_request_timeout_seconds": "300",
    "RAY_worker_register_timeout_seconds": "300",
}
"""A busy machine is no dead node."""
SETTINGS = ("images.burned_in_text=off", "compute.images_per_batch=32")
FATES = "SELECT row_id, sample_id, action, reason, witness FROM why ORDER BY row_id"
CHOSEN = "SELECT selection, rank, sample_id, weight FROM selections ORDER BY ALL"
OWN_MOUNTS = ("unshare", "--mount", "--propagation", "private")
HIDE = 'while [ "$1" != -- ]; do mount -t tmpfs none "$1" || exit 3; shift; done; shift; exec "$@"'
"""A shell's words: lay an empty folder over each of some, up to `--`, and run what follows."""


@dataclass(frozen=True)
class Cluster:
    """A head and a second node, the bucket that both reach, and where each keeps its copies."""

    head: Head
    server: int
    second: int
    bucket: str
    copies: Path

    def submit(self, *words: str | Path) -> None:
        """Submit a command as a job, and wait for its success."""
        done = self.head.run("submit", *words, "--python", sys.executable, seconds=SECONDS)
        _require_success(done)

    def command(self, *words: str | Path) -> None:
        """Run a command on the first node that joins the cluster, to its success."""
        joined = {"RAY_ADDRESS": f"127.0.0.1:{self.server}", "RAY_AUTH_MODE": "token"}
        done = subprocess.run(
            [sys.executable, "-m", "ray_jobs", *map(str, words)],
            env=environment() | joined | PATIENT | {"MEDSIFT_CACHE_DIR": str(self.copies)},
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        _require_success(done)

    def ask(self, place: str, sql: str) -> list[dict[str, Any]]:
        """Ask the manifest of a run in the bucket."""
        manifest = mirror_of(f"{self.bucket}/{place}") / "manifest.duckdb"
        refresh(manifest)
        return list(read(manifest, sql).to_pylist())

    def put(self, folder: Path, place: str) -> str:
        """Copy a folder into the bucket; return its URL."""
        store = open_store(f"{self.bucket}/{place}")
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            store.write(str(path.relative_to(folder)), path.read_bytes())
        return f"{self.bucket}/{place}"

    def parts(self) -> list[int]:
        """How many parts of tables the two nodes have each written to its own disk."""
        own = Path(f"/proc/{self.second}/root") / self.copies.relative_to("/")
        return [len(list(folder.rglob("part-*.parquet"))) for folder in (self.copies, own)]


def _require_success(done: subprocess.CompletedProcess[str]) -> None:
    said = [line[:300] for line in (done.stdout + done.stderr).splitlines()]
    assert done.returncode == 0, "\n".join([*said[:60], "…", *said[-60:]])


def join(server: int, folder: Path, more: Mapping[str, str], before: Sequence[str | Path]) -> int:
    """Start a node of one CPU that joins a head; return its process group."""
    command = [
        *map(str, before),
        *(str(Path(sys.executable).with_name("ray")), "start"),
        *("--address", f"127.0.0.1:{server}", "--node-ip-address", "127.0.0.2"),
        *("--num-cpus", "1", "--disable-usage-stats"),
        *("--dashboard-agent-listen-port", str(free_port())),
        *("--object-store-memory", str(100 * 1024**2)),
    ]
    # Ray gives up on a raylet that needs more than 30 seconds, as on a machine at its limit.
    for attempt in "abcde":
        with (folder / attempt).open("w") as said:
            starting = subprocess.Popen(
                command,
                env=environment() | {"RAY_AUTH_MODE": "token", "RAY_worker_niceness": "0", **more},
                stdout=said,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        if has_started(starting):
            return starting.pid
        kill_head(starting.pid, ())
    raise AssertionError((folder / attempt).read_text())


def first_of(group: int) -> int:
    """A process of a group, below which it sees its own mounts."""
    return min(one.pid for one in psutil.process_iter() if os.getpgid(one.pid) == group)


@contextmanager
def two_nodes(copies: Path, *hidden: Path) -> Iterator[tuple[Head, int, int]]:
    """Start a head and a node that has empty folders over those that are hidden from it.

    Without any, the two have one temporary folder. Yields the head, its port for other nodes, and
    a process of the second node.
    """
    groups = list[int]()
    with tempfile.TemporaryDirectory(prefix="ms", dir="/tmp", ignore_cleanup_errors=True) as place:
        more = {"MEDSIFT_CACHE_DIR": str(copies), **PATIENT}
        try:
            for attempt in "hijkl":
                folder = Path(place, attempt)
                folder.mkdir()
                port, server = free_port(), free_low_port()
                group, started = start_head(port, folder, cpus=1, server=server, more=more)
                groups.append(group)
                if started:
                    break
                kill_head(group, ())
            assert started, (folder / "said").read_text()
            apart = [*OWN_MOUNTS, "sh", "-c", HIDE, "sh", place, *hidden, "--"] if hidden else []
            groups.append(join(server, Path(place), more, apart))
            head = Head(port, group)
            eventually(head.answers, "the dashboard answers")
            yield head, server, first_of(groups[-1])
        finally:
            for group in groups:
                kill_head(group, ())


@pytest.fixture(scope="module")
def cluster(object_store: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    probe = [*OWN_MOUNTS, "mount", "-t", "tmpfs", "none", tmp_path_factory.mktemp("probe")]
    if shutil.which("unshare") is None or subprocess.run(probe, check=False).returncode != 0:
        pytest.skip("nodes with disks of their own need the right to mount")
    copies, client = tmp_path_factory.mktemp("copies"), tmp_path_factory.mktemp("client")
    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{object_store}")
        patch.setenv("MEDSIFT_CACHE_DIR", str(client))
        bucket = f"s3://{new_bucket(object_store)}"
        hidden = tmp_path_factory.getbasetemp()
        yield Cluster(*stack.enter_context(two_nodes(copies, hidden)), bucket=bucket, copies=copies)


def in_bucket(cluster: Cluster, recipe: Path, planted: PhantomSet) -> Path:
    """A recipe of the planted set, with its data and its cache in the bucket."""
    url = cluster.put(planted.root, "phantoms")
    settings = yaml.safe_load(recipe.read_text())
    [source] = settings["sources"]
    source["path"] = f"{url}/{planted.samples.relative_to(planted.root)}"
    source["image_root"] = f"{url}/{planted.images.relative_to(planted.root)}"
    settings |= {"cache": f"{cluster.bucket}/cache"}
    settings["compute"] = {"images_per_batch": 8, "rows_per_batch": 60}
    recipe.write_text(yaml.safe_dump(settings))
    return recipe


def local_run(recipe: str | Path, folder: Path, *changes: str) -> ms.Run:
    """The same curation in one process of one machine, in a folder."""
    return ms.curate(recipe, folder / "run", set=[*changes, f"cache={folder / 'c'}"], ray=False)


def require_equal(cluster: Cluster, place: str, local: ms.Run) -> None:
    """Fates, selections and the id of a run in the bucket are those of a run in a folder."""
    assert cluster.ask(place, FATES) == local.sql(FATES).to_pylist()
    assert cluster.ask(place, CHOSEN) == local.sql(CHOSEN).to_pylist()
    assert cluster.ask(place, "SELECT run_id FROM runs") == [{"run_id": local.run_id}]


def test_phantoms_have_the_ids_of_a_run_on_one_machine(
    cluster: Cluster, phantom_recipe: Callable[..., Path], planted: PhantomSet, tmp_path: Path
) -> None:
    recipe = in_bucket(cluster, phantom_recipe(), planted)
    cluster.submit("curate", recipe, "--run-dir", f"{cluster.bucket}/job", "--wait")
    first, second = cluster.parts()
    assert first > 0
    assert second > 0
    cluster.command("curate", recipe, "--run-dir", f"{cluster.bucket}/command")
    local = local_run(recipe, tmp_path)
    assert len(local.sql(FATES)) == planted.rows
    require_equal(cluster, "job", local)
    require_equal(cluster, "command", local)


@pytest.fixture(scope="module")
def curated(cluster: Cluster, vqa_rad: Path) -> str:
    """VQA-RAD, curated by a job from the bucket into the bucket."""
    cluster.put(vqa_rad, "data/vqa-rad")
    changes = [*SETTINGS, f"cache={cluster.bucket}/cache"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEDSIFT_DATA", f"{cluster.bucket}/data")
        words = [word for change in changes for word in ("--set", change)]
        cluster.submit("curate", "vqa_rad", "--run-dir", f"{cluster.bucket}/vqa_rad", *words)
    return "vqa_rad"


@pytest.mark.nightly
def test_vqa_rad_has_the_ids_of_a_run_on_one_machine(
    cluster: Cluster, curated: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEDSIFT_DATA", f"{cluster.bucket}/data")
    local = local_run("vqa_rad", tmp_path, *SETTINGS)
    assert len(local.sql(FATES)) == 2248
    require_equal(cluster, curated, local)


@pytest.mark.nightly
def test_a_selection_and_a_probe_are_added(cluster: Cluster, curated: str) -> None:
    run = f"{cluster.bucket}/{curated}"
    words = ["--name", "few", "--budget", "40", "--method", "random", "--set", "seed=3"]
    cluster.submit("select", run, *words)
    few = "SELECT count(*) AS n FROM selections WHERE selection = 'few'"
    assert cluster.ask(curated, few) == [{"n": 40}]
    changes = ("arms=[facility_location]", "budgets=[0.3]", "draws=4", "folds=2", "min_groups=3")
    cluster.submit("probe", run, *(word for one in changes for word in ("--set", one)))
    arms = {line["arm"] for line in cluster.ask(curated, "SELECT arm FROM probe_results")}
    assert "facility_location" in arms


def test_nodes_with_one_temporary_folder_are_refused_in_one_line(
    object_store: str,
    phantom_recipe: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ray removes the folder of the job's code when the second node unpacks it."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{object_store}")
    bucket = f"s3://{new_bucket(object_store)}"
    with two_nodes(tmp_path / "copies") as (head, _, _):
        words = ["submit", "curate", phantom_recipe(cache=f"{bucket}/cache"), "--wait"]
        done = head.run(*words, "--run-dir", f"{bucket}/run", "--python", sys.executable)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "error[working_folder_removed]: " in done.stdout
    assert TOKEN not in done.stdout + done.stderr
