"""Which extra brings what, in the code, in pyproject.toml and among what is imported."""

from __future__ import annotations

import sys
import tomllib
from functools import cache, partial
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from types import FunctionType

import pytest
from packaging.requirements import Requirement

import medsift as ms
from medsift.extras import EXTRAS_OF, missing_extra, names_missing_extra
from tests.expect import raises_code
from tests.test_architecture import REPOSITORY, ROOMS, all_imports

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
OPTIONAL = PROJECT["optional-dependencies"]


def plain(name: str) -> str:
    return name.lower().replace("_", "-")


@cache
def needs(name: str) -> list[Requirement]:
    try:
        return [Requirement(one) for one in requires(name) or []]
    except PackageNotFoundError:
        return []


def closure(wanted: list[str]) -> set[str]:
    """The distributions that requirements bring here, with what these need."""
    seen: set[tuple[str, str]] = set()
    rest = [
        (plain(one.name), extra)
        for one in map(Requirement, wanted)
        for extra in ("", *one.extras)
        if plain(one.name) != "medsift"
    ]
    while rest:
        name, extra = rest.pop()
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        for one in needs(name):
            if one.marker is None or one.marker.evaluate({"extra": extra}):
                rest += [(plain(one.name), other) for other in ("", *one.extras)]
    return {name for name, _ in seen}


PROVIDERS = packages_distributions()


def distributions(module: str) -> set[str]:
    return set(map(plain, PROVIDERS[module]))


LIGHT = closure(PROJECT["dependencies"])


def brought(extra: str) -> set[str]:
    """The distributions of an extra, and of those of MedSift's that it names."""
    own = [one for one in map(Requirement, OPTIONAL[extra]) if one.name == "medsift"]
    return closure(OPTIONAL[extra]).union(*(brought(inner) for one in own for inner in one.extras))


BROUGHT = {extra: brought(extra) for extra in OPTIONAL if extra != "bench"}


@pytest.mark.parametrize("module", EXTRAS_OF)
def test_an_extra_brings_the_package_and_a_light_install_does_not(module):
    assert not distributions(module) & LIGHT
    for extra in EXTRAS_OF[module]:
        assert distributions(module) & BROUGHT[extra], extra


def test_every_package_that_the_product_imports_is_declared():
    imported = {one.module.partition(".")[0] for one in all_imports(REPOSITORY)}
    foreign = imported - {"medsift", *ROOMS} - set(sys.stdlib_module_names) - set(EXTRAS_OF)
    declared = LIGHT.union(*BROUGHT.values())
    assert {module for module in foreign if not distributions(module) & declared} == set()
    # What no extra of a room brings is imported where a clear line follows when it is missing.
    optional = {module for module in foreign if not distributions(module) & LIGHT}
    assert optional <= {"gguf", "efficientnet_lite_pytorch", "rapidocr_onnxruntime", "timm"}


def error_within(*modules: str, package: str) -> ModuleNotFoundError:
    """The error of an import that each module calls the next one for."""

    def fail() -> None:
        raise ModuleNotFoundError(f"No module named {package!r}", name=package)

    def call(inner):
        inner()

    step = fail
    for module in reversed(modules):
        step = partial(FunctionType(call.__code__, {"__name__": module}), step)
    with pytest.raises(ModuleNotFoundError) as caught:
        step()
    return caught.value


@pytest.mark.parametrize(
    ("modules", "package", "extra"),
    [
        (("ray_jobs.cli", "training.run", "medsift.models.pretrained"), "torch", "train"),
        (("ray_jobs.cli", "evaluation.ask", "medsift.models.pretrained"), "torch", "evaluate"),
        (("ray_jobs.cli", "training.run", "evaluation.ask"), "torch", "evaluate"),
        (("ray_jobs.cli", "medsift.models.pretrained"), "torch", "curate"),
        # Training brings no FAISS.
        (("training.run", "medsift.x"), "faiss", "curate"),
        (("curation.run", "ray_jobs.cluster"), "ray.data", "cluster"),
    ],
)
def test_the_extra_that_is_named_is_that_of_the_innermost_room(modules, package, extra):
    missing = missing_extra(error_within(*modules, package=package))
    assert missing.code == "package_missing"
    assert missing.values == {"package": package.partition(".")[0], "extra": extra}
    assert f"medsift[{extra}]" in str(missing)


def test_a_module_of_no_extra_is_explained_by_nobody():
    assert missing_extra(ModuleNotFoundError("No module named 'curation.x'", name="x")) is None
    assert missing_extra(ModuleNotFoundError("nameless")) is None

    @names_missing_extra
    def broken() -> None:
        raise ModuleNotFoundError("No module named 'mine'", name="mine")

    with pytest.raises(ModuleNotFoundError):
        broken()


def test_a_function_of_the_public_api_raises_the_same_error(monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)  # as where it is not installed

    @names_missing_extra
    def train() -> None:
        import peft  # noqa: F401

    with raises_code("package_missing", package="peft", extra="train"):
        train()
    assert ms.train.__wrapped__ is not None
