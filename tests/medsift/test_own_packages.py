"""A user's `evaluation.py` or `training/` in the folder does not hide MedSift's packages."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from medsift.own_packages import ROOMS, ROOT, hiding, worker_hook
from ray_jobs import doctor

ENVIRONMENT = os.environ | {
    # As an installation has it: behind the current folder.
    "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
}
CURATE = """
import json
import medsift as ms
settings = json.load(open("settings.json"))
run = ms.curate(settings, "run", ray={ray})
print(run.kept.num_rows, ms.deduplicate([{{"q": "Is it?", "a": "yes"}}], question="q", answer="a"))
"""


@pytest.fixture
def decoys(tmp_path: Path) -> Path:
    """A folder with modules of all four names, a package, a file, and a folder of neither."""
    for name in ROOMS:
        if name != "ray_jobs":  # `python -m ray_jobs` there means the one that is there
            (tmp_path / f"{name}.py").write_text("raise RuntimeError('a decoy')\n")
    (tmp_path / "training.py").unlink()
    (tmp_path / "training").mkdir()
    (tmp_path / "training" / "__init__.py").write_text("raise RuntimeError('a decoy')\n")
    rows = [{"question": f"What is shown in {n}?", "answer": f"part {n}"} for n in range(4)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = {
        "name": "decoys",
        "sources": [{"name": "s", "reader": "table", "path": str(tmp_path / "rows.jsonl")}],
        "encoder": {"kind": "embedded"},
    }
    (tmp_path / "settings.json").write_text(json.dumps(settings))
    return tmp_path


def python(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=250,
    )


def test_a_command_runs_where_the_user_has_modules_of_the_same_names(decoys):
    done = python(decoys, "-m", "ray_jobs", "power", "--n", "100")
    assert done.returncode == 0, done.stderr
    assert "smallest gain" in done.stdout


def test_python_runs_where_the_user_has_modules_of_the_same_names(decoys):
    done = python(decoys, "-c", CURATE.format(ray=False))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("4 1 rows: 1 kept")


def test_spawned_processes_use_our_packages(decoys):
    words = ("phantoms", "pool", "--images", "16", "--seed", "1", "--workers", "2")
    done = python(decoys, "-m", "ray_jobs", *words)
    assert done.returncode == 0, done.stderr
    assert (decoys / "pool" / "samples.jsonl").is_file()


def test_a_module_that_is_loaded_already_is_refused_in_one_line(decoys):
    (decoys / "evaluation.py").write_text("")
    code = "import evaluation, medsift as ms\n"
    code += "try: ms.curate\nexcept ms.UsageError as error: print(error.code, error)"
    done = python(decoys, "-c", code)
    assert done.stdout.startswith("package_hidden "), done.stderr
    assert str(decoys / "evaluation.py") in done.stdout
    assert len(done.stdout.splitlines()) == 1


def test_a_folder_without_init_hides_nothing_either(tmp_path):
    (tmp_path / "training").mkdir()
    code = "import medsift as ms; ms.open_run; import training; print(training.__file__)"
    done = python(tmp_path, "-c", code)
    assert Path(done.stdout.strip()) == ROOT / "training" / "__init__.py", done.stderr


def test_other_modules_of_the_user_stay_importable(decoys):
    (decoys / "helpers.py").write_text("x = 1\n")
    code = (
        "import medsift as ms; ms.curate; import helpers, sys; print(helpers.__file__, sys.path[0])"
    )
    done = python(decoys, "-c", code)
    assert done.stdout.split() == [str(decoys / "helpers.py")], done.stderr


def test_the_doctor_reports_the_files(decoys):
    others = hiding([str(decoys), *sys.path])
    assert others.keys() == set(ROOMS) - {"ray_jobs"}
    finding = doctor.package_names(decoys)
    assert finding.status == "WARN"
    assert finding.fix
    assert all(path in finding.detail for path in others.values())


def test_the_doctor_is_content_without_them(tmp_path):
    assert doctor.package_names(tmp_path).status == "OK"


@pytest.mark.cluster
@pytest.mark.slow
def test_workers_of_ray_use_our_packages(decoys):
    done = python(decoys, "-c", CURATE.format(ray=True))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("4 1 rows: 1 kept")


@pytest.mark.cluster
@pytest.mark.slow
def test_the_command_on_ray_uses_our_packages(decoys):
    (decoys / "recipe.yaml").write_text((decoys / "settings.json").read_text())
    done = python(decoys, "-m", "ray_jobs", "curate", "recipe.yaml", "--ray", "--run-dir", "run")
    assert done.returncode == 0, done.stderr
    assert (decoys / "run" / "manifest.duckdb").is_file()


@pytest.mark.cluster
@pytest.mark.slow
def test_a_ray_that_the_user_started_there_is_refused_in_one_line(decoys):
    code = (
        "import ray; ray.init('local', num_cpus=1, include_dashboard=False, log_to_driver=False)\n"
    )
    done = python(decoys, "-c", code + CURATE.format(ray=True))
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert "medsift.errors.UsageError" in last
    assert str(decoys / "curation.py") in last


@pytest.mark.slow
def test_a_job_with_its_own_setup_hook_is_told_what_to_do(tmp_path):
    from ray_jobs.cluster import SETUP_HOOK

    code = "from ray_jobs.cluster import connected\nwith connected(): pass"
    with socket.create_server(("127.0.0.1", 0)) as head:
        environment = ENVIRONMENT | {
            "RAY_ADDRESS": f"127.0.0.1:{head.getsockname()[1]}",
            "RAY_JOB_CONFIG_JSON_ENV_VAR": json.dumps({"runtime_env": {SETUP_HOOK: "their.hook"}}),
        }
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True
        )
    last = done.stderr.strip().splitlines()[-1]
    assert f"the job sets {SETUP_HOOK}" in last
    assert "without that key" in last


def test_the_hook_of_workers_is_quiet_where_medsift_comes_later(monkeypatch):
    from ray import cloudpickle

    sent = cloudpickle.dumps(worker_hook())
    monkeypatch.setitem(sys.modules, "medsift", None)
    cloudpickle.loads(sent)()
