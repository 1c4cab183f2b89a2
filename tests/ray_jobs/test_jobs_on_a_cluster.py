"""Jobs on one real head with a token: submitted, followed, left, come back to, and stopped."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import pytest

from medsift.manifest import read
from tests.ray_jobs.test_runs import selection

pytestmark = [pytest.mark.cluster, pytest.mark.slow]
TOKEN = "s3cret-not-for-eyes-0123456789abcdef"
START_SECONDS = 180
WAIT_SECONDS = 120


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def free_low_port() -> int:
    """A port below those that Ray gives to workers."""
    for port in range(5000 + os.getpid() % 4000, 10000):
        with socket.socket() as one:
            if one.connect_ex(("127.0.0.1", port)) != 0:
                return port
    raise AssertionError("no free port")


def environment(token: str | None = TOKEN) -> dict[str, str]:
    """What a user's shell has, without the settings of this test session's Ray."""
    bare = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    bare["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{bare['PATH']}"
    bare["HOME"] = "/nonexistent"
    return bare if token is None else {**bare, "RAY_AUTH_TOKEN": token}


def eventually(check: Callable[[], object], what: str, seconds: float = WAIT_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if check():
            return
        time.sleep(0.2)
    raise AssertionError(f"not within {seconds} s: {what}")


@dataclass(frozen=True)
class Head:
    """A head of this file's own, with the port of its dashboard."""

    port: int
    group: int
    restarted: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def answers(self) -> bool:
        with socket.socket() as one:
            return one.connect_ex(("127.0.0.1", self.port)) == 0

    def dashboard(self) -> int:
        """The process that serves the dashboard."""
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                words = (folder / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if f"--port={self.port}".encode() in words and b"dashboard.py" in b" ".join(words):
                return int(folder.name)
        raise AssertionError("no dashboard")

    def restart_dashboard(self, away: float) -> None:
        """Kill the dashboard, and start it again as it was after so many seconds."""
        process = Path("/proc", str(self.dashboard()))
        command = process.joinpath("cmdline").read_bytes().split(b"\0")[:-1]
        pairs = process.joinpath("environ").read_bytes().split(b"\0")
        values = dict(pair.split(b"=", 1) for pair in pairs if b"=" in pair)
        os.kill(int(process.name), signal.SIGKILL)
        time.sleep(away)
        nowhere = subprocess.DEVNULL
        self.restarted.append(subprocess.Popen(command, env=values, stdout=nowhere, stderr=nowhere))
        eventually(self.answers, "the dashboard is back")

    def command(self, *words: str | Path, token: str | None = TOKEN) -> list[str]:
        return [sys.executable, "-m", "ray_jobs", *map(str, words), "--address", self.address]

    def run(
        self, *words: str | Path, token: str | None = TOKEN, seconds: float = 280
    ) -> subprocess.CompletedProcess[str]:
        """Run one command line as a user's shell would."""
        return subprocess.run(
            self.command(*words),
            env=environment(token),
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )


def start_head(
    port: int,
    folder: Path,
    cpus: int = 2,
    server: int | None = None,
    more: Mapping[str, str] = MappingProxyType({}),
) -> tuple[int, bool]:
    """Start a head; return its process group, and whether it started.

    Other nodes join at the port `server`; `more` is added to its environment.
    """
    command = [
        *(str(Path(sys.executable).with_name("ray")), "start", "--head"),
        *("--port", str(server or free_low_port()), "--dashboard-port", str(port)),
        *("--temp-dir", str(folder), "--num-cpus", str(cpus), "--disable-usage-stats"),
        # The default may belong to another Ray on this machine, the test session's own.
        *("--dashboard-agent-listen-port", str(free_port())),
        *("--ray-client-server-port", str(free_port())),
        *("--object-store-memory", str(100 * 1024**2)),
    ]
    # Without --block, which would end the head as soon as its dashboard dies.
    with (folder / "said").open("w") as said:
        starting = subprocess.Popen(
            command,
            # Workers yield to other programs by default, and here the tests wait for them.
            env=environment() | {"RAY_AUTH_MODE": "token", "RAY_worker_niceness": "0", **more},
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return starting.pid, has_started(starting)


def has_started(starting: subprocess.Popen[bytes]) -> bool:
    """Whether a command that starts a node does so in time."""
    with suppress(subprocess.TimeoutExpired):
        return starting.wait(START_SECONDS) == 0
    return False


def kill_head(group: int, restarted: Iterable[subprocess.Popen[bytes]]) -> None:
    """End a head's own processes at once; the group outlives the command that made it."""
    for dashboard in restarted:
        dashboard.kill()
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


@pytest.fixture(scope="module")
def head():
    """The real thing; only its own processes are ended."""
    made = None
    with tempfile.TemporaryDirectory(prefix="ms", dir="/tmp", ignore_cleanup_errors=True) as place:
        # Ray gives up on a raylet that needs more than 30 seconds, as on a machine at its limit.
        for attempt in ("a", "b", "c"):
            folder = Path(place, attempt)
            folder.mkdir()
            port = free_port()
            group, started = start_head(port, folder)
            try:
                if started:
                    made = Head(port, group)
                    eventually(made.answers, "the dashboard answers")
                    yield made
                    break
            finally:
                kill_head(group, made.restarted if made else ())
        assert made is not None, (folder / "said").read_text()


@dataclass(frozen=True)
class SlowJob:
    """An interpreter for a job that prints lines until it is let go."""

    python: Path
    gate: Path

    def let_go(self) -> None:
        self.gate.touch()


@pytest.fixture
def slow_job(tmp_path: Path) -> SlowJob:
    gate = tmp_path / "gate"
    script = tmp_path / "python"
    script.write_text(
        "#!/bin/sh\ntrap 'exit 9' TERM\ni=0\n"
        f"while [ ! -e {gate} ]; do i=$((i+1)); echo line $i; sleep 0.3; done\n"
        'echo "secret of ${#SECRET} characters"\nexit 7\n'
    )
    script.chmod(0o755)
    return SlowJob(script, gate)


def status(head: Head, job: str) -> dict[str, object]:
    return json.loads(head.run("status", job, "--format", "json").stdout)


def test_a_job_is_followed_through_a_restart_of_the_dashboard(head, slow_job, recipe, tmp_path):
    env = tmp_path / "env.yaml"
    env.write_text("env_vars: {SECRET: 'not-for-eyes'}\n")
    words = ["submit", "curate", recipe([]), "--python", slow_job.python, "--runtime-env", env]
    started = head.run(*words, "--no-wait")
    assert started.returncode == 0, started.stderr
    job = started.stdout.strip()

    out = (tmp_path / "out").open("w+")
    attached = subprocess.Popen(
        head.command("attach", job),
        env=environment(),
        stdout=out,
        stderr=subprocess.PIPE,
        text=True,
    )
    read_out = Path(out.name).read_text
    eventually(lambda: "line 3\n" in read_out(), "the log arrives")
    head.restart_dashboard(away=3)
    slow_job.let_go()
    _, notes = attached.communicate(timeout=WAIT_SECONDS)
    # The status of the job's command, not that of the connection.
    assert attached.returncode == 7, notes
    lines = [int(number) for number in re.findall(r"^line (\d+)$", read_out(), re.MULTILINE)]
    assert lines == list(range(1, len(lines) + 1))
    assert "secret of 12 characters" in read_out()
    assert head.run("logs", job).stdout == read_out()
    ended = head.run("status", job)
    assert ended.returncode == 7
    assert "FAILED" in ended.stdout
    listed = head.run("jobs")
    assert job in listed.stdout
    everything = notes + ended.stdout + listed.stdout + started.stderr
    assert "not-for-eyes" not in everything


def test_the_same_job_is_not_submitted_twice_and_ctrl_c_leaves_it_running(head, slow_job, recipe):
    path = recipe([], name="twice")
    words = ["submit", "curate", path, "--python", slow_job.python]
    first = head.run(*words, "--no-wait").stdout.strip()
    assert first.endswith("-1")

    refused = head.run(*words)
    assert refused.returncode == 2
    assert "error[job_already_running]: " in refused.stderr
    assert f"medsift attach {first} " in refused.stderr
    second = head.run(*words, "--new", "--no-wait").stdout.strip()
    assert second == first.removesuffix("1") + "2"
    stopped = head.run("stop", second, "--wait")
    assert stopped.stdout.split() == [second, "STOPPED"], stopped.stderr
    assert head.run("status", second).returncode == 130
    other = head.run(*words, "--set", "seed=1", "--no-wait")
    assert other.returncode == 0, other.stderr
    head.run("stop", other.stdout.strip())

    # On a terminal the running job is offered; an empty answer takes it.
    ours, theirs = pty.openpty()
    asked = subprocess.Popen(
        head.command(*words), env=environment(), stdin=theirs, stderr=theirs, stdout=subprocess.PIPE
    )
    os.write(ours, b"\n")
    assert asked.stdout is not None
    assert b"line 1\n" in b"".join(asked.stdout.readline() for _ in range(3))
    asked.send_signal(signal.SIGINT)
    assert asked.wait(WAIT_SECONDS) == 130
    said = os.read(ours, 10_000).decode()
    assert f"medsift attach {first} --address {head.address}" in said
    assert status(head, first)["status"] == "RUNNING"
    slow_job.let_go()
    assert head.run("attach", first).returncode == 7
    gone = head.run("stop", first, "--wait")
    assert (gone.returncode, gone.stdout.split()) == (0, [first, "FAILED"])


JOINS = """
from ray_jobs.cluster import connected, describe
with connected(1):
    print("inside", describe())
"""
FOLLOWED = """
import sys, tempfile
from pathlib import Path
from ray_jobs.jobs.follow import Follower
from ray_jobs.jobs.server import JobServer
from ray_jobs.jobs.pack import pack
from ray_jobs.jobs.spec import JobSpec
server = JobServer(sys.argv[1])
spec = JobSpec("curate", "joins", {}, Path("/nowhere"), ())
with tempfile.TemporaryDirectory() as folder:
    pack({}, Path(folder))
    Path(folder, "job.py").write_text(sys.argv[2])
    job = server.submit(Path(folder), "python job.py", spec)
print(Follower(server, job, sys.stdout.write, print).follow())
"""


def test_a_job_joins_the_cluster_it_runs_in(head):
    done = subprocess.run(
        [sys.executable, "-c", FOLLOWED, head.address, JOINS],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SUCCEEDED" in done.stdout
    # The head has two CPUs: the one that was asked for did not start another Ray.
    assert "inside a local Ray" not in done.stdout
    assert "2 CPUs" in done.stdout
    assert TOKEN not in done.stdout + done.stderr


@pytest.mark.parametrize(("token", "words"), [(None, "none was found"), ("x" * 36, "refuses")])
def test_a_missing_or_wrong_token_is_one_line_with_the_fix(head, token, words):
    done = head.run("jobs", token=token)
    assert done.returncode == 2
    assert done.stderr.startswith("error[cluster_token_refused]: ")
    assert done.stderr.count("\n") == 1
    assert words in done.stderr
    assert "RAY_AUTH_TOKEN" in done.stderr
    assert "x" * 36 not in done.stderr


def test_a_submitted_run_leaves_a_manifest_and_the_cluster_and_hands_its_status_on(
    head, phantom_recipe, planted, planted_run, tmp_path
):
    def submit(*settings: str) -> subprocess.CompletedProcess[str]:
        words = ["submit", "curate", str(phantom_recipe()), "--wait"]
        more = ["--run-dir", str(tmp_path / "run"), "--python", sys.executable]
        overrides = [word for setting in settings for word in ("--set", setting)]
        return head.run(*words, *more, *overrides)

    done = submit()
    assert done.returncode == 0, done.stdout + done.stderr
    manifest = tmp_path / "run" / "manifest.duckdb"
    fates = "SELECT count(*) AS rows FROM why"
    assert read(manifest, fates)["rows"].to_pylist() == [planted.rows]
    assert selection(tmp_path / "run") == selection(planted_run)
    # Without any cluster the run directory tells which job it was, and how that ended.
    asked = subprocess.run(
        [sys.executable, "-m", "ray_jobs", "status", str(tmp_path / "run"), "--format", "json"],
        env=environment(None),
        capture_output=True,
        text=True,
        check=True,
    )
    facts = json.loads(asked.stdout)
    assert (facts["status"], facts["command"], facts["stage"]) == ("finished", "curate", "select")
    assert re.search(rf"^job {facts['job']} runs", done.stderr, re.MULTILINE)
    of_job = status(head, facts["job"])
    assert (of_job["status"], of_job["stage"]) == ("SUCCEEDED", "select")
    assert of_job["last_sign"] == facts["last_sign"]
    # The cluster is there, and so are the stages; what changes is whether the run counts.
    failing = submit("failures.tolerance=0.0")
    assert failing.returncode == 4, failing.stdout + failing.stderr
    assert "rows failed" in failing.stdout
    assert re.search(r"^job \S+ FAILED: ", failing.stderr, re.MULTILINE)
    assert read(manifest, "SELECT status FROM runs WHERE status <> 'balanced'").num_rows == 1
    assert TOKEN not in done.stdout + done.stderr + failing.stdout + failing.stderr


def test_a_selection_is_added_by_a_job(head, planted_run, tmp_path):
    import shutil

    run = tmp_path / "run"
    shutil.copytree(planted_run, run)
    words = ["submit", "select", run, "--name", "few", "--budget", "5", "--method", "random"]
    done = head.run(*words, "--set", "seed=3", "--python", sys.executable)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = "SELECT count(*) AS n FROM selections WHERE selection = 'few'"
    assert read(run / "manifest.duckdb", rows)["n"].to_pylist() == [5]


def test_a_job_under_an_interpreter_without_the_dependencies_ends_in_one_line(head, tmp_path):
    venv.create(tmp_path / "bare", with_pip=False)
    python = str(tmp_path / "bare" / "bin" / "python")
    words = ["submit", "curate", "vqa_rad", "--run-dir", str(tmp_path / "run")]
    done = head.run(*words, "--python", python)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    said = [line for line in done.stdout.splitlines() if "error[interpreter_unfit]: " in line]
    assert len(said) == 1
    assert f"{python} has no " in said[0]
    assert "typer" in said[0]


def test_a_job_that_the_cluster_does_not_know_is_one_line(head):
    for words in (["attach", "none"], ["status", "none"], ["logs", "none"], ["stop", "none"]):
        done = head.run(*words)
        assert done.returncode == 2
        assert done.stderr.startswith("error[job_unknown]: "), done.stderr


def test_an_address_where_nothing_listens_is_one_line():
    done = Head(free_port(), 0).run("jobs")
    assert done.returncode == 2
    assert done.stderr.startswith("error[cluster_unreachable]: nothing answers at http://127.0.0.1")
    assert done.stderr.count("\n") == 1


def test_after_a_lost_head_the_run_directory_tells(head, phantom_recipe, tmp_path):
    """The last of this file: it ends the head."""
    run = tmp_path / "run"
    words = ["submit", "curate", phantom_recipe(seed=9), "--run-dir", run, "--no-wait"]
    started = head.run(*words, "--python", sys.executable)
    assert started.returncode == 0, started.stderr
    job = started.stdout.strip()
    asked = [sys.executable, "-m", "ray_jobs", "status", str(run), "--format", "json"]

    def facts() -> dict[str, object]:
        said = subprocess.run(asked, capture_output=True, text=True, check=False)
        return json.loads(said.stdout or "{}") | {"code": said.returncode}

    eventually((run / "heartbeats" / "curate.json").is_file, "the job works")
    before = facts()
    assert (before["status"], before["job"], before["code"]) == ("running", job, 0)
    kill_head(head.group, head.restarted)
    eventually(lambda: facts()["status"] != "running", "the job's process is gone with its head")
    after = facts()
    # Killed, asked to end, or refused by Ray: it depends on what ends first.
    assert after["status"] in ("stale", "interrupted", "failed")
    assert after["code"] != 0
    assert after["job"] == job
    lost = head.run("attach", job)
    assert lost.returncode == 2
    assert lost.stderr.startswith("error[cluster_unreachable]: ")
