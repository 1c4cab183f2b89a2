"""The rules of the house, checked on every import of the product."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

from medsift.error_codes import CODES, TOPICS

REPOSITORY = Path(__file__).resolve().parent.parent
PAGE = REPOSITORY / "docs" / "architecture.md"
HEAVY = {"torch", "torchvision", "transformers", "peft", "faiss", "open_clip", "datasets"}
HEAVY |= {"plotly", "ray", "timm"}
# A module of torch classes: it is imported where the model is built, and nowhere else.
DEFINES_TORCH_CLASSES = {"medsift.models.image_grid"}
ERRORS = {"MedSiftError", "UsageError", "RecipeError", "InputError", "ModelError"}
ERRORS |= {"StorageError", "ManifestError", "LedgerError"}


class Import(NamedTuple):
    """One imported name of one file."""

    importer: str
    module: str
    name: str | None
    line: int
    lazy: bool


def room_table(page: str) -> dict[str, set[str]]:
    """Room → what it may import next to itself, as the first table of the page says."""
    rows = re.findall(r"^\| `(\w+)` \|[^|]*\|([^|]*)\|$", page, re.MULTILINE)
    return {room: set(re.findall(r"`([\w.]+)`", allowed)) for room, allowed in rows}


ROOMS = room_table(PAGE.read_text(encoding="utf-8"))


def module_name(path: Path, root: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def sources(root: Path) -> dict[str, Path]:
    files = (path for room in ROOMS for path in sorted((root / room).rglob("*.py")))
    return {module_name(path, root): path for path in files}


def imports_of(module: str, path: Path) -> Iterator[Import]:
    """Every import that can run; those for type checkers alone do not."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    top = {id(node) for node in tree.body}
    skipped = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        lazy = id(node) not in top
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                yield Import(module, node.module, alias.name, node.lineno, lazy)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(module, alias.name, None, node.lineno, lazy)


def all_imports(root: Path) -> list[Import]:
    return [one for module, path in sources(root).items() for one in imports_of(module, path)]


def room_violations(root: Path) -> list[str]:
    """Imports between rooms that the table does not allow."""
    return [
        f"{one.importer}:{one.line} imports {one.module}"
        for one in all_imports(root)
        if (room := one.module.partition(".")[0]) in ROOMS
        and room != (own := one.importer.partition(".")[0])
        and one.importer != "medsift"  # the front door names rooms and loads them when used
        and not any(
            one.module == allowed or one.module.startswith(allowed + ".") for allowed in ROOMS[own]
        )
    ]


def import_cycle(root: Path) -> list[str]:
    """The files of one import cycle; none is the rule.

    A package that is imported for a submodule's sake is not counted: only what names come from.
    """
    modules = sources(root)
    graph: dict[str, set[str]] = {module: set() for module in modules}
    for one in all_imports(root):
        target = f"{one.module}.{one.name}" if f"{one.module}.{one.name}" in modules else one.module
        if target in modules and target != one.importer and one.importer != "medsift":
            graph[one.importer].add(target)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def ray_violations(root: Path) -> list[str]:
    """Imports of Ray outside the room that wraps it."""
    return [
        f"{one.importer}:{one.line}"
        for one in all_imports(root)
        if one.module.partition(".")[0] == "ray" and not one.importer.startswith("ray_jobs")
    ]


def heavy_violations(root: Path) -> list[str]:
    """Heavy libraries imported where a file is loaded, not where they are used."""
    return [
        f"{one.importer}:{one.line} imports {one.module}"
        for one in all_imports(root)
        if one.module.partition(".")[0] in HEAVY
        and not one.lazy
        and one.importer not in DEFINES_TORCH_CLASSES
    ]


def private_violations(root: Path) -> list[str]:
    """Names with an underscore that another file imports."""
    return [
        f"{one.importer}:{one.line} imports {one.name} from {one.module}"
        for one in all_imports(root)
        if one.module.partition(".")[0] in ROOMS
        and one.name is not None
        and one.name.startswith("_")
        and not one.name.startswith("__")
    ]


RULES = [room_violations, import_cycle, ray_violations, heavy_violations, private_violations]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_product_keeps_the_rules_of_the_house(rule):
    assert rule(REPOSITORY) == []


PLANTED = [
    (room_violations, {"evaluation/a.py": "from curation.recipe import Recipe\n"}),
    (room_violations, {"medsift/a.py": "def f():\n    import curation.pipeline\n"}),
    (room_violations, {"training/a.py": "from evaluation.judge import judge\n"}),
    (
        import_cycle,
        {
            "curation/a.py": "from curation.b import f\n",
            "curation/b.py": "def f():\n    from curation import a\n",
        },
    ),
    (ray_violations, {"training/a.py": "def f():\n    import ray\n"}),
    (heavy_violations, {"curation/a.py": "import torch.nn\n"}),
    (private_violations, {"curation/a.py": "from curation.b import _secret\n"}),
]


@pytest.mark.parametrize(("rule", "files"), PLANTED)
def test_a_planted_violation_is_seen(tmp_path, rule, files):
    assert rule(tmp_path) == []
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert rule(tmp_path) != []


def test_the_table_names_every_package_of_the_product():
    packages = {path.parent.name for path in REPOSITORY.glob("*/py.typed")}
    assert packages == set(ROOMS)


def test_every_name_that_a_module_offers_is_there():
    missing = []
    for module in sources(REPOSITORY):
        if module.rpartition(".")[2] != "__main__":
            loaded = importlib.import_module(module)
            offered = getattr(loaded, "__all__", [])
            missing += [f"{module}.{name}" for name in offered if not hasattr(loaded, name)]
    assert missing == []


def test_importing_the_front_door_loads_no_library():
    listed = "import sys, medsift; print(*sorted(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", listed], capture_output=True, text=True, check=True, cwd=REPOSITORY
    )
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert loaded & (HEAVY | {"duckdb", "pyarrow", "numpy", "pandas", "pydantic"}) == set()
    assert loaded & set(ROOMS) == {"medsift"}


def raised_codes(root: Path) -> Iterator[tuple[str, str | None]]:
    """Where an error of ours is made, and the literal code it is given."""
    for module, path in sources(root).items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
                continue
            if node.func.id not in ERRORS:
                continue
            code = next((word.value for word in node.keywords if word.arg == "code"), None)
            literal = code.value if isinstance(code, ast.Constant) else None
            yield f"{module}:{node.lineno}", literal if code is None or literal else "dynamic"


def test_every_error_has_a_documented_code():
    undocumented = [
        (place, code)
        for place, code in raised_codes(REPOSITORY)
        if code != "dynamic" and code not in CODES
    ]
    assert undocumented == []


def test_every_documented_code_is_used_and_documented_once():
    text = "\n".join(
        path.read_text(encoding="utf-8")
        for module, path in sources(REPOSITORY).items()
        if not module.startswith("medsift.error_codes")
    )
    assert [code for code in CODES if f'"{code}"' not in text] == []
    assert sum(map(len, TOPICS.values())) == len(CODES)
