"""docs/security.md: every test that it names exists."""

from __future__ import annotations

import ast
import re
from functools import lru_cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)))
LINES = [
    line
    for line in re.split(r"^## What is not defended|^## Fuzzing", PAGE, flags=re.MULTILINE)[
        0
    ].splitlines()
    if line.startswith("|")
]


@lru_cache
def names_in(path: str) -> frozenset[str]:
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef))


@pytest.mark.parametrize(("path", "name"), NAMED, ids=lambda text: text)
def test_the_test_is_there(path, name):
    assert name in names_in(path)


def test_every_threat_has_a_test():
    tables = [line for line in LINES if line.count("|") == 4 and not line.startswith("|---")]
    threats = [line for line in tables if not line.startswith(("| threat", "| sender"))]
    senders = 6
    assert len(threats) - senders > 30
    assert [line for line in threats[senders:] if "`tests/" not in line] == []
