"""The wheel in fresh environments: light, and with every extra as the README starts."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.test_architecture import REPOSITORY

pytestmark = [pytest.mark.nightly, pytest.mark.slow, pytest.mark.timeout(900)]
UV = Path(sys.executable).parent / "uv"
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")


def call(*command: object, folder: Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    own = ("PYTHONPATH", "VIRTUAL_ENV", "MEDSIFT_CACHE_DIR")
    environment = {name: value for name, value in os.environ.items() if name not in own}
    done = subprocess.run(
        [str(word) for word in command],
        capture_output=True,
        text=True,
        cwd=folder,
        env=environment,
        check=False,
    )
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done


def disk_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that `pip install` builds of this checkout."""
    source = tmp_path_factory.mktemp("source") / "medsift"
    listed = call("git", "ls-files", "-z", folder=REPOSITORY).stdout
    for name in listed.rstrip("\0").split("\0"):
        if (REPOSITORY / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(REPOSITORY / name, source / name)
    call(UV, "build", "--wheel", "--quiet", "--out-dir", "out", source, folder=source.parent)
    [built] = (source.parent / "out").glob("*.whl")
    return built


def install(wheel: Path, extras: str, folder: Path) -> Path:
    """A fresh environment with the wheel; returns the folder of its programs."""
    call(UV, "venv", "--quiet", "--python", sys.executable, "env", folder=folder)
    python = folder / "env" / "bin" / "python"
    constraints = REPOSITORY / "constraints.txt"
    wanted = f"medsift{extras} @ {wheel.as_uri()}"
    arguments = ("--quiet", "--python", python, "--constraint", constraints, wanted)
    call(UV, "pip", "install", *arguments, folder=folder)
    return python.parent


def test_a_light_install_serves_a_finished_run_without_torch_and_ray(wheel, planted_run, tmp_path):
    programs = install(wheel, "", tmp_path)
    run = shutil.copytree(planted_run, tmp_path / "run")
    packages = call(UV, "pip", "freeze", "--python", programs / "python", folder=tmp_path).stdout
    names = {line.partition("==")[0] for line in packages.splitlines()}
    assert not names & {"torch", "ray", "transformers", "faiss-gpu", "llama-cpp-python"}
    # docs/install.md has the figure; half of it is Arrow and DuckDB.
    assert disk_bytes(tmp_path / "env") < 600e6

    def medsift(*words: object, check: bool = True) -> subprocess.CompletedProcess[str]:
        return call(programs / "medsift", *words, folder=tmp_path, check=check)

    assert re.fullmatch(r"medsift \d+\.\d+\.\d+", medsift("--version").stdout.strip())
    funnel = medsift("query", run, "FROM funnel", "--format", "json").stdout
    assert json.loads(funnel)
    medsift("report", run)
    medsift("select", run, "--name", "light", "--budget", "20%")
    few = ("--set", "budgets=[0.3]", "--set", "draws=2", "--set", "min_groups=2")
    medsift("probe", run, "--methods", "facility_location", *few)
    refused = medsift("splits", run, check=False)
    assert refused.returncode == 2
    [line] = [line for line in refused.stderr.splitlines() if line.startswith("error")]
    assert line.startswith("error[package_missing]")
    code = f"import medsift as ms; print(ms.open_run({str(run)!r}).selection('light'))"
    assert call(programs / "python", "-c", code, folder=tmp_path).stdout.strip()


def test_the_readme_starts_in_a_fresh_environment(wheel, vqa_rad, tmp_path):
    """The Python lines of the README, which need data where it expects them."""
    programs = install(wheel, "[all]", tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "vqa-rad").symlink_to(vqa_rad)
    [block] = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    table = (
        "import pyarrow as pa\nfrom PIL import Image\n"
        "Image.new('L', (64, 64)).save('a.png')\n"
        "table = pa.table({'path': ['a.png'] * 2, 'q': ['What is it?'] * 2, 'a': ['Black'] * 2})\n"
    )
    lines = block.replace('"vqa_rad", run_dir', '"vqa_rad", ray=False, run_dir')
    (tmp_path / "start.py").write_text(table + lines, encoding="utf-8")
    call(programs / "python", "start.py", folder=tmp_path)
    call(programs / "medsift", "query", "runs/vqa_rad", "FROM coverage LIMIT 1", folder=tmp_path)
