"""docs/cli.md: the committed page is what the commands give."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from ray_jobs.cli import program

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_the_page_is_what_the_commands_give() -> None:
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    page = generate.cli_page()
    assert (DOCS / "cli.md").read_text(encoding="utf-8") == page, "run python docs/generate.py"


def test_every_option_has_a_help_text() -> None:
    groups = [program()]
    for group in groups:
        for name, command in group.commands.items():
            if hasattr(command, "commands"):
                groups.append(command)
                continue
            for parameter in command.params:
                assert parameter.help, f"{name} {parameter.opts}"
                assert parameter.help.endswith("."), f"{name} {parameter.opts}"
            assert command.epilog.startswith("Example: "), name
