"""A script for SLURM starts one Ray on all nodes, and the command on the first."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from ray_jobs.cli import program
from ray_jobs.slurm import SlurmJob, slurm_script

NODES = "n1\nn2\nn3\n"


def lines(script: str, option: str) -> list[str]:
    return re.findall(rf"^#SBATCH --{option}(?:=(.*))?$", script, re.MULTILINE)


@pytest.fixture
def nodes(tmp_path: Path) -> dict[str, str]:
    """An environment as on the first of three nodes, with stand-ins for SLURM's own programs."""
    folder = tmp_path / "slurm programs"
    folder.mkdir()
    # What srun would start on the nodes is written down, but for the question about an address.
    programs = {
        "scontrol": f"printf {shlex.quote(NODES)}",
        "srun": 'while [[ $1 == --* ]]; do echo "$1" >> "$SAID"; shift; done\n"$@"',
        "hostname": "echo '10.0.0.7 fe80::1 '",
        "ray": (
            'printf "%s\\n" "$@" > "$RAY_SAID"\n'
            'env | grep -E "^(RAY|MEDSIFT)_" > "$ENV_SAID"\nexit "${RAY_CODE:-0}"'
        ),
    }
    for name, body in programs.items():
        path = folder / name
        path.write_text(f"#!/bin/bash\n{body}\n")
        path.chmod(0o755)
    return os.environ | {
        "PATH": f"{folder}:{os.environ['PATH']}",
        "SLURM_JOB_NODELIST": "n[1-3]",
        "SLURM_JOB_NUM_NODES": "3",
        "SLURM_JOB_ID": "1234567",
        "SAID": str(tmp_path / "srun"),
        "RAY_SAID": str(tmp_path / "ray"),
        "ENV_SAID": str(tmp_path / "env"),
    }


def made(tmp_path: Path, **changed: object) -> str:
    settings = {
        "name": "medsift-curate-a",
        "command": ["medsift", "curate", "/data/my recipe.yaml", "--set", "a=$b"],
        "folder": str(tmp_path),
        # The stand-in for `ray` comes first, as the environment's own would.
        "binaries": str(tmp_path / "slurm programs"),
        "nodes": 3,
        "cpus": 16,
    }
    return slurm_script(SlurmJob.model_validate(settings | changed))


def run(script: str, tmp_path: Path, nodes: dict[str, str]) -> subprocess.CompletedProcess[str]:
    path = tmp_path / "job.sbatch"
    path.write_text(script)
    checked = subprocess.run(["bash", "-n", path], capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")
    return subprocess.run(
        ["bash", path], env=nodes, capture_output=True, text=True, check=False, timeout=60
    )


def test_ray_is_started_on_all_nodes_and_the_command_keeps_its_words(tmp_path, nodes):
    from ray.scripts.symmetric_run import curate_and_validate_ray_start_args

    done = run(made(tmp_path, gpus=2), tmp_path, nodes)
    assert done.returncode == 0, done.stderr
    first, *words = Path(nodes["RAY_SAID"]).read_text().splitlines()
    assert first == "symmetric-run"
    separator = words.index("--")
    # Ray's own parser takes what comes before, and hands the rest of it to `ray start`.
    assert curate_and_validate_ray_start_args(words[:separator]) == [
        *("--num-cpus", "16", "--num-gpus", "2")
    ]
    address = "10.0.0.7:24567"
    assert words[:separator][:4] == ["--address", address, "--min-nodes", "3"]
    assert words[separator + 1 :] == [
        *("env", f"RAY_ADDRESS={address}", "medsift", "curate", "/data/my recipe.yaml"),
        *("--set", "a=$b"),
    ]
    assert "--nodes=3\n--ntasks=3\n" in Path(nodes["SAID"]).read_text()


def test_every_job_has_a_token_of_its_own_that_the_script_does_not_contain(tmp_path, nodes):
    script, tokens = made(tmp_path), []
    for _ in range(2):
        assert run(script, tmp_path, nodes).returncode == 0
        given = dict(
            line.split("=", 1) for line in Path(nodes["ENV_SAID"]).read_text().splitlines()
        )
        assert given["RAY_AUTH_MODE"] == "token"
        assert given["MEDSIFT_SCALE_UP_SECONDS"] == "0"
        tokens.append(given["RAY_AUTH_TOKEN"])
    assert all(re.fullmatch(r"[0-9a-f]{64}", token) for token in tokens)
    assert tokens[0] != tokens[1]
    assert not [token for token in tokens if token in script]


def test_the_status_of_the_command_is_that_of_the_job(tmp_path, nodes):
    assert run(made(tmp_path), tmp_path, nodes | {"RAY_CODE": "4"}).returncode == 4


def test_lines_of_shell_run_first_and_a_failing_one_ends_the_job(tmp_path, nodes):
    assert run(made(tmp_path, before=["export A=1", "false"]), tmp_path, nodes).returncode == 1
    assert not Path(nodes["RAY_SAID"]).exists()


def test_attempts_are_elements_of_an_array_that_run_one_after_another(tmp_path):
    assert lines(made(tmp_path), "array") == []
    assert lines(made(tmp_path, attempts=3), "array") == ["1-3%1"]


def test_what_is_not_given_is_left_to_slurm(tmp_path):
    script = made(tmp_path)
    for option in ("mem", "partition", "account", "gpus-per-node"):
        assert lines(script, option) == []
    full = made(tmp_path, memory="64G", partition="gpu", account="a-1", gpus=2)
    assert lines(full, "mem") == ["64G"]
    assert lines(full, "partition") == ["gpu"]
    assert lines(full, "account") == ["a-1"]
    assert lines(full, "gpus-per-node") == ["2"]
    assert lines(full, "exclusive") == [""]


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_shellcheck_has_no_complaint(tmp_path):
    path = tmp_path / "job.sbatch"
    path.write_text(made(tmp_path, attempts=2, gpus=1))
    assert subprocess.run(["shellcheck", path], check=False).returncode == 0


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--memory", "lots"),
        ("--time", "soon"),
        ("--partition", "a b"),
        ("--account", "-x"),
        ("--before", "a\nb"),
    ],
)
def test_what_slurm_would_misread_is_refused(medsift, option, value):
    assert medsift("slurm", "vqa_rad", option, value).error_code == "option_invalid"


def test_the_command_checks_the_recipe_and_writes_words_that_it_understands(
    medsift, recipe, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    path = recipe([], name="pool")
    said = medsift(
        *("slurm", path, "--set", "seed=7", "--nodes", "2", "--run-dir", "runs/a"),
        *("--output", "job.sbatch"),
    )
    assert said.code == 0, said.err
    assert said.out == "sbatch job.sbatch\n"
    script = (tmp_path / "job.sbatch").read_text()
    words = shlex.split(script.splitlines()[-1])
    at = words.index("curate")
    given = program().commands["curate"].make_context("curate", words[at + 1 :]).params
    assert given["recipe"] == str(path)
    assert given["run_dir"] == tmp_path / "runs" / "a"
    assert (given["overrides"], given["ray"]) == (["seed=7"], True)
    assert lines(script, "job-name") == ["medsift-curate-pool"]
    assert medsift("slurm", "no-such-recipe").error_code == "recipe_missing"


@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_other_commands_keep_their_shipped_recipes(medsift, command):
    said = medsift("slurm", f"{command}_vqa_rad", "--command", command)
    assert said.code == 0, said.err
    words = shlex.split(said.out.splitlines()[-1])
    assert words[words.index(command) + 1] == f"{command}_vqa_rad"
