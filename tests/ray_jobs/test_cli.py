"""The command line answers at once, in one line when it refuses, with the promised exit codes."""

from __future__ import annotations

import subprocess
import sys
import tempfile

import pytest

from medsift.errors import InputError, LedgerError, MedSiftError
from ray_jobs import cli
from ray_jobs.cli import run
from ray_jobs.cli_args import manifest_path, recipe_path, shipped
from tests.expect import raises_code

COMMANDS = (
    *("curate", "select", "compare", "splits", "index", "power", "query", "report", "export"),
    *("phantoms", "demo", "doctor", "jobs", "status", "logs", "stop", "attach", "slurm"),
)


def medsift(*arguments: str, cwd=None, stdin=None):
    return subprocess.run(
        [sys.executable, "-m", "ray_jobs", *arguments], capture_output=True, text=True, cwd=cwd
    )


@pytest.mark.parametrize("command", [*COMMANDS, "submit"])
def test_every_command_has_help_with_an_example(command, capsys):
    asked = [command, "--help"] if command != "submit" else ["submit", "curate", "--help"]
    assert run(asked) == 0
    said = capsys.readouterr().out
    assert f"medsift {' '.join(asked[:-1])}" in said
    assert "Example: medsift" in said


def test_the_command_alone_shows_its_commands(capsys):
    assert run([]) == 2
    shown = "".join(capsys.readouterr())
    assert all(command in shown for command in COMMANDS)


@pytest.mark.parametrize(
    "arguments",
    [
        ["curate"],
        ["curate", "a.yaml", "--no-such-option"],
        ["query", "only-a-manifest"],
        ["query", "m", "SELECT 1", "--format", "xml"],
        ["phantoms", "out", "--images", "many"],
        ["no-such-command"],
        ["submit", "curate", "a.yaml"],
    ],
)
def test_bad_usage_is_one_line_and_status_2(arguments, capsys):
    assert run(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error[command_invalid]: ")
    assert captured.err.count("\n") == 1
    assert "--help" in captured.err


@pytest.mark.parametrize("kind", [MedSiftError, InputError, LedgerError])
def test_an_expected_error_is_one_line_with_its_own_status(kind, monkeypatch, capsys):
    def refuse(*arguments, **options):
        raise kind("this\ncannot be", code="run_unknown")

    monkeypatch.setattr(cli, "program", lambda: refuse)
    assert run(["doctor"]) == kind.exit_code
    assert capsys.readouterr().err == "error[run_unknown]: this cannot be\n"


def test_no_usable_temporary_folder_is_one_line_before_any_work(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: [str(tmp_path / "gone")])
    assert run(["curate", "vqa_rad", "--run-dir", str(tmp_path / "run")]) == 3
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "TMPDIR" in said
    assert list(tmp_path.iterdir()) == []


def test_debug_shows_where_an_expected_error_comes_from():
    plain = medsift("query", "/nowhere", "SELECT 1")
    assert plain.returncode == 2
    assert plain.stderr.count("\n") == 1
    debug = medsift("--debug", "query", "/nowhere", "SELECT 1")
    assert "Traceback" in debug.stderr


def test_light_commands_import_neither_ray_nor_torch():
    script = (
        "import sys; from ray_jobs.cli import run; "
        "run(['query', '/nowhere', 'SELECT 1']); run(['report', '/nowhere']); run(['--help']); "
        "heavy = {'ray', 'torch', 'transformers', 'faiss', 'open_clip'} & set(sys.modules); "
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_run_directory_stands_for_its_manifest(tmp_path):
    (tmp_path / "manifest.duckdb").touch()
    assert manifest_path(tmp_path) == manifest_path(tmp_path / "manifest.duckdb")
    with raises_code("manifest_missing"):
        manifest_path(tmp_path / "elsewhere")


def test_a_recipe_is_a_path_or_a_shipped_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert str(recipe_path("some/recipe.yaml")) == "some/recipe.yaml"
    with raises_code("recipe_missing", name="nameless"):
        recipe_path("nameless")
    for name, path in shipped().items():
        assert recipe_path(name) == path
        assert path.is_file()


def test_a_closed_pipe_ends_a_query_quietly(tmp_path):
    pytest.importorskip("medsift.manifest")
    script = (
        "import sys; from ray_jobs.console import ignore_broken_pipe\n"
        "with ignore_broken_pipe():\n"
        "    for _ in range(100000): sys.stdout.write('a line of a long answer\\n')\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait() == 0
