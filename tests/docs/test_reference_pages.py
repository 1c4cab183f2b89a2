"""The reference pages that follow from the code are as the code makes them."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from ray_jobs.cli import program

DOCS = Path(__file__).resolve().parents[2] / "docs"
SPEC = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
assert SPEC is not None
assert SPEC.loader is not None
generate = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(generate)


@pytest.mark.parametrize("name", sorted(generate.PAGES))
def test_the_committed_page_is_what_the_code_makes(name):
    assert (DOCS / name).read_text(encoding="utf-8") == generate.PAGES[name](), (
        f"docs/{name} is out of date: run `make docs`"
    )


def test_every_key_of_every_recipe_is_listed():
    page = (DOCS / "recipe.md").read_text(encoding="utf-8")
    for recipe in generate.recipes().values():
        for _, group in generate.groups(recipe):
            for key, field in group.model_fields.items():
                assert f"| `{field.alias or key}` |" in page


def test_every_option_of_every_command_has_a_help_text() -> None:
    groups = [program()]
    for group in groups:
        for name, command in group.commands.items():
            if hasattr(command, "commands"):
                groups.append(command)
                continue
            for parameter in command.params:
                assert getattr(parameter, "help", None), f"{name} {parameter.name}"
