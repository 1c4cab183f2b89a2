"""`import medsift as ms`: it loads nothing, and offers what it lists."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import pytest

import medsift as ms
from tests.expect import raises_code

HEAVY = "torch ray pyarrow duckdb pandas numpy pydantic curation training evaluation ray_jobs"


def fresh(code: str, **more) -> str:
    """What a new interpreter prints."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, **more
    )
    return done.stdout.strip()


def test_importing_it_loads_no_room_and_no_library():
    code = f"import sys, medsift; print([n for n in '{HEAVY}'.split() if n in sys.modules])"
    assert fresh(code) == "[]"


def test_importing_it_takes_under_a_fifth_of_a_second():
    code = "import time; t = time.perf_counter(); import medsift; print(time.perf_counter() - t)"
    # The fastest of several, as the machine has other work too.
    assert min(float(fresh(code)) for _ in range(5)) < 0.2


def test_every_name_is_there_and_listed():
    assert set(ms.__all__) <= set(dir(ms))
    for name in ms.__all__:
        assert getattr(ms, name) is not None
    assert ms.__version__ == version("medsift")
    with pytest.raises(AttributeError, match="no_such_name"):
        ms.no_such_name  # noqa: B018


def test_type_checkers_see_the_same_names():
    tree = ast.parse(Path(ms.__file__).read_text(encoding="utf-8"))
    [block] = [
        node
        for node in tree.body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    ]
    imports = {
        alias.name: node.module
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    for name, module in imports.items():
        assert getattr(import_module(module), name) is getattr(ms, name), name
    assert {*imports, "__version__"} == set(ms.__all__)


def test_all_errors_are_one_kind():
    for name in ms.__all__:
        if name.endswith("Error"):
            assert issubclass(getattr(ms, name), ms.MedSiftError)


def test_mistakes_have_codes(tmp_path):
    with raises_code("recipe_missing", name="nowhere"):
        ms.curate("nowhere")
    with raises_code("recipe_invalid") as caught:
        ms.curate({"name": "x", "sourcs": []})
    assert "sourcs" in caught.value.values["paths"]
    with raises_code("manifest_missing", path=str(tmp_path / "manifest.duckdb")):
        ms.open_run(tmp_path)
