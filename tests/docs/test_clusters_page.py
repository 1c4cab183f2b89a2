"""Every command on the page about clusters is one that exists, with options that it has."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.exceptions import TyperException

from ray_jobs.cli import program
from tests.conftest import REPOSITORY

PAGE = REPOSITORY / "docs" / "clusters.md"
TEXT = PAGE.read_text(encoding="utf-8")


def commands(text: str) -> Iterator[list[str]]:
    for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL):
        for line in block.splitlines():
            words = shlex.split(line, comments=True)
            if words[:1] == ["medsift"]:
                yield words[1:]


def parse(words: list[str]) -> None:
    """Parse a command line as the program does, without running it."""
    group = program()
    while hasattr(group, "commands"):
        name, *words = words
        group = group.commands[name]
    group.make_context(group.name, words)


@pytest.mark.parametrize("words", list(commands(TEXT)), ids=" ".join)
def test_every_command_is_understood(words, monkeypatch):
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "http://127.0.0.1:8265")
    parse(words)


def test_a_command_that_does_not_exist_is_noticed():
    with pytest.raises(TyperException):
        parse(["slurm", "vqa_rad", "--nods", "2"])
    with pytest.raises(KeyError):
        parse(["submit", "paint"])


def test_every_command_that_looks_after_jobs_has_its_line():
    shown = {words[0] for words in commands(TEXT)}
    assert shown >= {"submit", "jobs", "status", "logs", "attach", "stop", "slurm"}
    assert set(program().commands["submit"].commands) == {
        name for name in re.findall(r"`(\w+)`", TEXT.partition("`medsift submit` has")[2][:90])
    }


def test_files_that_the_page_names_are_there():
    linked = re.findall(r"\]\((\.\./[^)]+)\)", TEXT)
    assert linked
    assert [link for link in linked if not Path(PAGE.parent, link).resolve().is_file()] == []
