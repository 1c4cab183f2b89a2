"""A job carries code and recipe, nothing else, and ends here as it ended on the cluster."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path
from types import SimpleNamespace

import pytest

import ray_jobs.submit as submit_module
from medsift.manifest import read
from ray_jobs import interpreter
from ray_jobs.submit import entrypoint, job_address, pack
from tests.expect import raises_code
from tests.ray_jobs.test_runs import selection

TOKEN = "s3cret-not-for-eyes-0123456789abcdef"
START_SECONDS = 180
RECIPE = SimpleNamespace(name="hello", resolved=lambda: {"name": "hello", "runs": "/data/läufe"})


def test_the_job_folder_holds_code_and_recipe_and_is_small(tmp_path):
    size = pack(RECIPE, tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    [info] = [name for name in names if name.endswith(".dist-info")]
    assert names == {*submit_module.PACKAGES, "recipe.yaml", info}
    assert not [path for path in tmp_path.rglob("*") if "__pycache__" in path.parts]
    assert size < submit_module.LIMIT_BYTES
    assert "läufe" in (tmp_path / "recipe.yaml").read_text(encoding="utf-8")


def test_the_job_folder_runs_on_its_own(tmp_path):
    pack(RECIPE, tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "ray_jobs", "--version"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("medsift 0")


@pytest.mark.parametrize("described", [True, False], ids=["packed", "bare"])
def test_an_interpreter_without_the_dependencies_is_one_line(tmp_path, described):
    """As of a job whose --python is the system's own."""
    folder = tmp_path / "job"
    folder.mkdir()
    pack(RECIPE, folder)
    if not described:
        shutil.rmtree(next(folder.glob("*.dist-info")))
    venv.create(tmp_path / "bare", with_pip=False)
    python = str(tmp_path / "bare" / "bin" / "python")
    line = entrypoint(python, tmp_path / "run", log_json=False)
    done = subprocess.run(
        line, shell=True, cwd=folder, capture_output=True, text=True, check=False, env={}
    )
    assert done.returncode == 2
    [said] = done.stderr.splitlines()
    assert said.startswith(f"error[interpreter_unfit]: {python} has no ")
    assert "typer" in said
    assert "--python" in said


def test_an_interpreter_that_is_too_old_is_one_line(monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 9, 18, "final", 0))
    assert "is Python 3.9, and 3.11 is needed" in (interpreter.complaint() or "")


def test_this_interpreter_has_all_that_is_needed():
    assert interpreter.complaint() is None


def test_a_folder_that_is_too_large_names_what_is(tmp_path, monkeypatch):
    monkeypatch.setattr(submit_module, "LIMIT_BYTES", 1000)
    with raises_code("job_too_large") as caught:
        pack(RECIPE, tmp_path)
    assert ".py (" in str(caught.value)


def test_the_entrypoint_survives_a_shell():
    line = entrypoint("python", Path("/data/my runs/$x"), log_json=True)
    assert shlex.split(line) == [
        *("python", "-m", "ray_jobs", "curate", "recipe.yaml"),
        *("--run-dir", "/data/my runs/$x", "--log-json"),
    ]


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("head:8265", "http://head:8265"),
        ("http://head:8265/", "http://head:8265"),
        ("https://head/ray", "https://head/ray"),
    ],
)
def test_an_address_is_a_dashboard(given, url):
    assert job_address(given) == url


@pytest.mark.parametrize("given", ["ray://head:10001", "ftp://head"])
def test_other_schemes_are_refused(given):
    with raises_code("job_address_invalid", address=given):
        job_address(given)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def bare_environment() -> dict[str, str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    return environment


@pytest.fixture(scope="module")
def head():
    """The dashboard of a real head that wants a token; only its own processes are ended."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="ms", dir="/tmp", ignore_cleanup_errors=True) as folder:
        command = [
            *(str(Path(sys.executable).with_name("ray")), "start", "--head", "--block"),
            *("--port", str(free_port()), "--dashboard-port", str(port)),
            *("--temp-dir", folder, "--num-cpus", "2", "--disable-usage-stats"),
            # The default may belong to another Ray on this machine, the test session's own.
            *("--dashboard-agent-listen-port", str(free_port())),
            *(
                "--object-store-memory",
                str(100 * 1024**2),
                "--ray-client-server-port",
                str(free_port()),
            ),
        ]
        with Path(folder, "said").open("wb") as said:
            process = subprocess.Popen(
                command,
                env={**bare_environment(), "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN},
                stdout=said,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            _wait_for(port, process, Path(folder, "said"))
            yield f"http://127.0.0.1:{port}"
        finally:
            # Asked to end, a head waits longer than all of its tests took.
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _wait_for(port: int, process: subprocess.Popen[bytes], said: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as one:
            if one.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    raise AssertionError(
        f"no Ray head within {START_SECONDS} s, exit {process.poll()}: {said.read_text()}"
    )


def submitted(script: str, address: str, token: str | None = TOKEN, **more: str):
    """Run a few lines against the job server in a fresh process, as a user's shell would."""
    environment = {**bare_environment(), "HOME": "/nonexistent", **more}
    if token is not None:
        environment["RAY_AUTH_TOKEN"] = token
    return subprocess.run(
        [sys.executable, "-c", script, address],
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
    )


FOLLOWED = """
import sys, tempfile, types
from pathlib import Path
from medsift.errors import MedSiftError
from ray_jobs.submit import JobServer, pack, write_out
recipe = types.SimpleNamespace(name="joins", resolved=lambda: {{}})
try:
    server = JobServer(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        pack(recipe, Path(folder))
        Path(folder, "job.py").write_text({program!r})
        job = server.submit(Path(folder), "python job.py", name=recipe.name)
    outcome = server.follow(job, write_out)
except MedSiftError as error:
    sys.exit("error: " + str(error))
print(outcome.status, server.client.get_job_info(job).metadata)
sys.exit(outcome.exit_code)
"""
JOINS = """
from ray_jobs.cluster import connected, describe
with connected(1):
    print("inside", describe())
"""


@pytest.mark.cluster
@pytest.mark.slow
def test_a_job_joins_the_cluster_it_runs_in(head):
    done = submitted(FOLLOWED.format(program=JOINS), head)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SUCCEEDED" in done.stdout
    # The head has two CPUs: the one that was asked for did not start another Ray.
    assert "inside a local Ray" not in done.stdout
    assert "2 CPUs" in done.stdout
    assert TOKEN not in done.stdout + done.stderr


@pytest.mark.cluster
@pytest.mark.parametrize(("token", "words"), [(None, "none was found"), ("x" * 36, "refuses")])
def test_a_missing_or_wrong_token_is_one_line_with_the_fix(head, token, words):
    done = submitted(FOLLOWED.format(program=""), head, token)
    assert done.returncode == 1
    assert done.stderr.count("error: ") == 1
    assert words in done.stderr
    assert "RAY_AUTH_TOKEN" in done.stderr
    assert "Traceback" not in done.stderr
    assert "x" * 36 not in done.stderr


@pytest.mark.cluster
@pytest.mark.slow
def test_a_submitted_run_leaves_a_manifest_and_the_cluster_and_hands_its_status_on(
    head, phantom_recipe, planted, planted_run, tmp_path
):
    def submit(*settings: str) -> subprocess.CompletedProcess[str]:
        words = ["submit", "curate", str(phantom_recipe()), "--address", head, "--wait"]
        more = ["--run-dir", str(tmp_path / "run"), "--python", sys.executable]
        overrides = [word for setting in settings for word in ("--set", setting)]
        return subprocess.run(
            [sys.executable, "-m", "ray_jobs", *words, *more, *overrides],
            env={**bare_environment(), "RAY_AUTH_TOKEN": TOKEN},
            capture_output=True,
            text=True,
            timeout=280,
        )

    done = submit()
    assert done.returncode == 0, done.stdout + done.stderr
    manifest = tmp_path / "run" / "manifest.duckdb"
    fates = "SELECT count(*) AS rows FROM why"
    assert read(manifest, fates)["rows"].to_pylist() == [planted.rows]
    assert selection(tmp_path / "run") == selection(planted_run)
    # The cluster is there, and so are the stages; what changes is whether the run counts.
    failing = submit("failures.tolerance=0.0")
    assert failing.returncode == 4, failing.stdout + failing.stderr
    assert "rows failed" in failing.stdout
    assert re.search(r"^job \S+ FAILED: ", failing.stderr, re.MULTILINE)
    assert read(manifest, "SELECT status FROM runs WHERE status <> 'balanced'").num_rows == 1
    assert TOKEN not in done.stdout + done.stderr + failing.stdout + failing.stderr


@pytest.mark.cluster
@pytest.mark.slow
def test_a_job_under_an_interpreter_without_the_dependencies_ends_in_one_line(head, tmp_path):
    venv.create(tmp_path / "bare", with_pip=False)
    python = str(tmp_path / "bare" / "bin" / "python")
    words = ["submit", "curate", "vqa_rad", "--address", head, "--run-dir", str(tmp_path / "run")]
    done = subprocess.run(
        [sys.executable, "-m", "ray_jobs", *words, "--python", python],
        env={**bare_environment(), "RAY_AUTH_TOKEN": TOKEN},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    said = [line for line in done.stdout.splitlines() if "error[interpreter_unfit]: " in line]
    assert len(said) == 1
    assert f"{python} has no " in said[0]
    assert "typer" in said[0]


def test_an_address_where_nothing_listens_is_one_line():
    done = submitted(FOLLOWED.format(program=""), f"http://127.0.0.1:{free_port()}")
    assert done.returncode == 1
    assert done.stderr.startswith("error: nothing answers at http://127.0.0.1:")
    assert done.stderr.count("\n") == 1
