"""The command `medsift curate` on a store: killed at the worst moments, and met by another."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable

import pytest
import yaml

from curation.run_dir import FinishedRun, open_run
from medsift.storage.mirror import mirror_of
from tests.curation.test_run_in_store import content, kept
from tests.stores import Answer, keys_in, proxy

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(900)]
PART_WRITTEN = re.compile(r"/stages/images-\w+/pass/finished/part-000001\.json$")
UPLOADED = re.compile(r"/manifest\.duckdb\.json$")
SECONDS = 300


@pytest.fixture
def start(phantom_recipe, bucket_url, tmp_path) -> Callable[..., subprocess.Popen[str]]:
    """Start the command on a machine that shares nothing with others but the store."""
    settings = phantom_recipe().resolved()
    settings |= {"runs": bucket_url, "cache": f"{bucket_url}/cache"}
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(yaml.safe_dump(settings))

    def started(machine: str, endpoint: str) -> subprocess.Popen[str]:
        words = ["curate", str(recipe), "--run-dir", f"{bucket_url}/run", "--local"]
        return subprocess.Popen(
            [sys.executable, "-m", "ray_jobs", *words],
            env=os.environ
            | {
                "AWS_ENDPOINT_URL": f"http://{endpoint}",
                "MEDSIFT_CACHE_DIR": str(tmp_path / machine),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return started


@pytest.fixture(scope="module")
def undisturbed(phantom_recipe, tmp_path_factory) -> FinishedRun:
    """The run of the same command in a folder, which nothing disturbs."""
    folder = tmp_path_factory.mktemp("undisturbed")
    settings = phantom_recipe().resolved() | {"cache": str(folder / "cache")}
    recipe = folder / "recipe.yaml"
    recipe.write_text(yaml.safe_dump(settings))
    words = ["curate", str(recipe), "--run-dir", str(folder / "run"), "--local"]
    subprocess.run([sys.executable, "-m", "ray_jobs", *words], check=True, capture_output=True)
    return open_run(folder / "run")


def killing(moment: re.Pattern[str], victim: list[int]) -> Answer:
    """Kill the process at its first request to write such a key, which the store never gets."""

    def answer(method: str, path: str, number: int) -> int | None:
        if method == "PUT" and moment.search(path) and victim:
            os.kill(victim.pop(), signal.SIGKILL)
            return 503
        return None

    return answer


@pytest.mark.parametrize("moment", [PART_WRITTEN, UPLOADED], ids=["part and marker", "swap"])
@pytest.mark.parametrize("machine", ["first", "second"])
def test_killed_and_started_again_it_leaves_the_run_of_one_that_was_not(
    moment, machine, start, undisturbed, object_store, bucket_url
):
    bucket = bucket_url.removeprefix("s3://")
    victim: list[int] = []
    with proxy(object_store, killing(moment, victim)) as through:
        killed = start("first", through)
        victim.append(killed.pid)
        _, said = killed.communicate(timeout=SECONDS)
    assert killed.returncode == -signal.SIGKILL, said
    left = keys_in(object_store, bucket)
    assert not any(moment.search(f"/{key}") for key in left)
    if moment is UPLOADED:
        assert any(re.search(r"manifest/[0-9a-f]{64}\.duckdb$", key) for key in left)
    else:
        assert any("pass/inspected/part-000001.parquet" in key for key in left)
    again = start(machine, object_store)
    _, said = again.communicate(timeout=SECONDS)
    assert again.returncode == 0, said
    run = open_run(mirror_of(f"{bucket_url}/run"))
    assert run.run_id == undisturbed.run_id
    assert content(run) == content(undisturbed)
    assert kept(run.manifest) == kept(undisturbed.manifest)


def test_a_second_writer_is_refused_with_its_code_and_the_first_is_not_disturbed(
    start, undisturbed, object_store, bucket_url
):
    working, go_on = threading.Event(), threading.Event()

    def waiting(method: str, path: str, number: int) -> int | None:
        if method == "PUT" and PART_WRITTEN.search(path):
            working.set()
            go_on.wait(SECONDS)
        return None

    with proxy(object_store, waiting) as through:
        first = start("first", through)
        try:
            assert working.wait(SECONDS)
            second = start("second", object_store)
            _, said = second.communicate(timeout=SECONDS)
        finally:
            go_on.set()
        assert second.returncode == 2, said
        assert "error[run_directory_busy]: " in said
        assert said.count("\n") == 1
        _, said = first.communicate(timeout=SECONDS)
    assert first.returncode == 0, said
    run = open_run(mirror_of(f"{bucket_url}/run"))
    assert content(run) == content(undisturbed)
