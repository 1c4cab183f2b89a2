"""Fixtures that every room shares."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

# Test processes share the cores, and steps this small wait for threads longer than they compute.
# Set before torch and FAISS are loaded; the commands that tests start inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")

REPOSITORY = Path(__file__).resolve().parent.parent
SCORING = "tests/curation/scoring/"
DATA = Path(os.environ.get("MEDSIFT_DATA", REPOSITORY.parent / "shared" / "data"))


@pytest.fixture(scope="session")
def vqa_rad() -> Path:
    """The real VQA-RAD folder; its tests skip where it is absent."""
    folder = DATA / "vqa-rad"
    if not folder.is_dir():
        pytest.skip(f"VQA-RAD is not at {folder}; set MEDSIFT_DATA to the folder that holds it")
    return folder


@pytest.fixture(scope="session")
def medical_text() -> Path:
    """The real PubMedQA and MedQuAD folder; its tests skip where it is absent."""
    folder = DATA / "medical-text"
    if not folder.is_dir():
        pytest.skip(
            f"medical-text is not at {folder}; set MEDSIFT_DATA to the folder that holds it"
        )
    return folder


@pytest.fixture(scope="session")
def chromium() -> str:
    """The headless browser; page tests skip where there is none."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        pytest.skip("no chromium on this machine: install Debian's package 'chromium'")
    return browser


@pytest.fixture(scope="session")
def browse(chromium: str) -> Callable[..., tuple[str, str]]:
    """Open a page: its DOM after its scripts ran, and what the browser logged."""

    def opened(page: Path, profile: Path, *more: str) -> tuple[str, str]:
        done = subprocess.run(
            [
                chromium,
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
                "--no-first-run",
                "--disable-background-networking",
                "--enable-logging=stderr",
                "--v=0",
                f"--user-data-dir={profile}",
                *more,
                "--virtual-time-budget=10000",
                "--dump-dom",
                page.as_uri(),
            ],
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
        return done.stdout, "\n".join(console)

    return opened


@pytest.fixture(scope="session")
def vectors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cache of whole runs in every test process: a picture is encoded once."""
    own = tmp_path_factory.getbasetemp()
    return (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "vectors"


@pytest.fixture(scope="session")
def object_store() -> Iterator[str]:
    """Host and port of an S3 server of the tests' own; the environment has keys for it."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "test")
        yield f"{host}:{port}"
    server.stop()


@pytest.fixture
def bucket_url(object_store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of a new bucket; this machine mirrors it in the test's own folder."""
    from tests.stores import new_bucket

    monkeypatch.setenv("MEDSIFT_CACHE_DIR", str(tmp_path / "machine"))
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{object_store}")
    return f"s3://{new_bucket(object_store)}"


@pytest.fixture(scope="session")
def ray_session(object_store: str) -> Iterator[None]:
    """One local Ray of two CPUs for the whole test session; its workers reach the object store."""
    import ray

    # Never a cluster that another process of this machine has started.
    ray.init(
        address="local",
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        configure_logging=False,
    )
    yield
    ray.shutdown()


@contextmanager
def cpus_taken(left: int) -> Iterator[None]:
    """All CPUs of the session's Ray but so many are somebody else's."""
    import ray
    from ray.util.placement_group import placement_group, remove_placement_group

    group = placement_group([{"CPU": ray.cluster_resources()["CPU"] - left}])
    try:
        ray.get(group.ready())
        yield
    finally:
        remove_placement_group(group)


@pytest.fixture
def one_worker(ray_session: None) -> Iterator[None]:
    """Ray with room for one worker, where a second would only load the same model again."""
    with cpus_taken(left=1):
        yield


@lru_cache
def _uses_ray(file: str) -> bool:
    """Whether a file's tests carry the marker `ray`.

    The process that distributes the work collects no test, so it looks for the marker in the file.
    """
    path = REPOSITORY / file
    return path.is_file() and "pytest.mark.ray\n" in path.read_text(encoding="utf-8")


def _scope(nodeid: str) -> str:
    """What one process runs as a whole: all files that use Ray, a room's, or one other file."""
    file = nodeid.partition("::")[0]
    if _uses_ray(file):
        return "ray"
    # The pools that scorers are tried on are made once.
    return SCORING if file.startswith(SCORING) else file


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Ray's tests come first: when several processes share the work they take longest."""
    items.sort(key=lambda item: _scope(item.nodeid) != "ray")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """After the last of Ray's tests Ray ends: idle, it takes a fourteenth of a core."""
    yield
    if _scope(item.nodeid) == "ray" and (nextitem is None or _scope(nextitem.nodeid) != "ray"):
        import ray

        ray.shutdown()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Share the work so that Ray is started once and a file's fixtures are made once.

    xdist's own `loadgroup` writes the group into an attribute that pytest 9 does not read.
    """
    from xdist.scheduler import LoadScopeScheduling

    class ByScope(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return _scope(nodeid)

    return ByScope(config, log)
