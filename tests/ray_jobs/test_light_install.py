"""The commands that need no extra work without torch, Ray and what comes with them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from medsift.extras import EXTRAS_OF

PROGRAM = """
import json, sys
from importlib.abc import MetaPathFinder

class Missing(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {absent}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Missing())
# `find_spec` of what is not installed returns None.
import importlib.util
look = importlib.util.find_spec
importlib.util.find_spec = lambda name, *more: None if name in {absent} else look(name, *more)
from ray_jobs.cli import run
print(json.dumps([run(command) for command in {commands}]), file=sys.stderr)
"""


@pytest.fixture(scope="module")
def light_run(planted_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the planted run that commands may add to."""
    return shutil.copytree(planted_run, tmp_path_factory.mktemp("light") / "run")


def run_light(*commands: list[str], folder: Path) -> tuple[list[int], list[str]]:
    """The exit statuses of commands where no extra is installed, and their lines on stderr."""
    absent = {*EXTRAS_OF, "pandas", "sklearn", "timm"}
    code = PROGRAM.format(absent=absent, commands=list(commands))
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=folder
    )
    *lines, statuses = done.stderr.splitlines()
    return json.loads(statuses), lines


def test_a_finished_run_is_queried_reported_probed_and_selected_from(light_run, tmp_path):
    run = str(light_run)
    few = ["--set", "budgets=[0.3]", "--set", "draws=2", "--set", "min_groups=2"]
    statuses, lines = run_light(
        ["query", run, "FROM funnel"],
        ["report", run],
        ["select", run, "--name", "light", "--method", "k_center", "--budget", "20%"],
        ["select", run, "--name", "covering", "--budget", "20%"],
        ["compare", run, "light", "covering"],
        ["probe", run, "--methods", "facility_location", *few],
        ["quotas", run, "--budget", "20%", "--cells", "task_type"],
        ["export", run, "--selection", "light", "--format", "messages", "--output", "out"],
        ["power", "--n", "400", "--clusters", "200", "--icc", "0.2"],
        folder=tmp_path,
    )
    assert statuses == [0] * 9, lines
    assert (light_run / "probe.html").is_file()


def test_other_commands_end_with_the_extra_that_they_need(light_run, recipe, tmp_path):
    path = str(recipe([{"question": "What?", "answer": "This."}]))
    statuses, lines = run_light(
        ["curate", path, "--local"],
        ["curate", path, "--ray"],
        ["splits", str(light_run)],
        folder=tmp_path,
    )
    faults = [line for line in lines if "error[" in line]
    assert statuses == [2, 2, 2], lines
    wanted = ["curate", "cluster", "curate"]
    assert [line.partition("medsift[")[2].partition("]")[0] for line in faults] == wanted
    assert all("error[package_missing]" in line for line in faults)
