"""A job carries code and recipe, nothing else, and ends here as it ended on the cluster."""

from __future__ import annotations

import dataclasses
import re
import shlex
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from ray_jobs import interpreter
from ray_jobs.jobs import pack as pack_module
from ray_jobs.jobs.pack import SETTINGS, pack
from ray_jobs.jobs.server import job_address
from ray_jobs.jobs.spec import JobSpec, entrypoint
from ray_jobs.jobs.start import read_runtime_env
from tests.expect import raises_code

RECIPE = {"name": "hello", "runs": "/data/läufe"}
BAD_ENVIRONMENTS = {
    "the folder is ours": b"working_dir: .",
    "the hook is ours": b"worker_process_setup_hook: a.b",
    "a list": b"[1]",
    "no YAML": b"a: [s3cret",
    "a number as key": b"1: s3cret",
    "no UTF-8": b"\xff",
    "no file": None,
}


def spec(*words: str, **changed: object) -> JobSpec:
    run = Path("/data/my runs/$x")
    made = JobSpec("curate", "hello", RECIPE, run, words or ("curate", SETTINGS))
    return dataclasses.replace(made, **changed)


def test_the_job_folder_holds_code_and_recipe_and_is_small(tmp_path):
    size = pack(RECIPE, tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    [info] = [name for name in names if name.endswith(".dist-info")]
    assert names == {*pack_module.PACKAGES, "recipe.yaml", info}
    assert not [path for path in tmp_path.rglob("*") if "__pycache__" in path.parts]
    assert size < pack_module.LIMIT_BYTES
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
    line = entrypoint(python, spec(), log_json=False)
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
    monkeypatch.setattr(pack_module, "LIMIT_BYTES", 1000)
    with raises_code("job_too_large") as caught:
        pack(RECIPE, tmp_path)
    assert ".py (" in str(caught.value)


def test_the_entrypoint_survives_a_shell():
    words = ("curate", SETTINGS, "--run-dir", "/data/my runs/$x")
    line = entrypoint("python", spec(*words), log_json=True)
    assert shlex.split(line) == ["python", "-m", "ray_jobs", *words, "--log-json"]


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


def test_the_same_command_settings_and_place_are_the_same_job():
    assert spec().fingerprint == spec().fingerprint
    others = [
        spec("train", SETTINGS),
        spec(settings={"name": "hello", "runs": "/data/runs"}),
        spec(run_dir=Path("/data/other")),
    ]
    assert len({one.fingerprint for one in (spec(), *others)}) == 4


def test_job_ids_count_upwards_among_those_of_the_same_job():
    one = spec()
    first = one.next_id([])
    other = spec(settings={"name": "other"}).next_id([])
    assert first == one.id_prefix + "1"
    assert one.next_id([first, other, "raysubmit_x", f"{one.id_prefix}9", f"{first}-x"]) == (
        one.id_prefix + "10"
    )


@pytest.mark.parametrize("name", ["a b/c", "läufe", "x" * 60, "A_b.c-"])
def test_a_job_id_can_be_part_of_a_url(name):
    assert re.fullmatch(r"[a-z0-9-]+", spec(name=name).next_id([]))


def test_what_the_cluster_keeps_about_a_job_has_none_of_its_settings():
    kept = spec(settings={"name": "hello", "password": "s3cret"}).metadata
    assert "s3cret" not in repr(kept)
    assert all(isinstance(value, str) for value in kept.values())


def test_a_runtime_environment_is_read_and_no_file_is_an_empty_one(tmp_path):
    path = tmp_path / "env.yaml"
    path.write_text("env_vars: {A: b}\npip: [requests]\n")
    assert read_runtime_env(path) == {"env_vars": {"A": "b"}, "pip": ["requests"]}
    assert read_runtime_env(None) == {}


@pytest.mark.parametrize("text", BAD_ENVIRONMENTS.values(), ids=BAD_ENVIRONMENTS)
def test_a_runtime_environment_that_cannot_be_used_is_refused_without_its_values(tmp_path, text):
    path = tmp_path / "env.yaml"
    if text is not None:
        path.write_bytes(text)
    with raises_code("runtime_env_invalid", path=str(path)) as caught:
        read_runtime_env(path)
    assert "s3cret" not in str(caught.value)
