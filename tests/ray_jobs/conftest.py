"""Small recipes and the command itself."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from curation.phantoms import PhantomSet, make_phantoms

Row = Mapping[str, Any]
ERROR_LINE = re.compile(r"error(\[(?P<code>\w+)\])?: ")


@dataclass(frozen=True, slots=True)
class Said:
    """How a command ended and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The only error line on stderr."""
        [line] = [line for line in self.err.splitlines() if ERROR_LINE.match(line)]
        return line

    @property
    def error_code(self) -> str:
        """The stable code in that line; empty where it has none."""
        found = ERROR_LINE.match(self.error)
        assert found is not None
        return found["code"] or ""


@dataclass(frozen=True, slots=True)
class Command:
    """`medsift` as a user's shell starts it."""

    folder: Path

    def start(self, *words: str | Path, **more: Any) -> subprocess.Popen[str]:
        """Start the command in a process group of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "ray_jobs", *map(str, words)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.folder,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
            start_new_session=True,
            # A shell that runs the tests in the background has had them ignore Ctrl-C.
            **{"preexec_fn": partial(signal.signal, signal.SIGINT, signal.SIG_DFL), **more},
        )

    def __call__(self, *words: str | Path, **more: Any) -> Said:
        """Run the command to its end."""
        process = self.start(*words, **more)
        out, err = process.communicate(timeout=280)
        return Said(process.returncode, out, err)


@pytest.fixture
def command(tmp_path: Path) -> Command:
    """The real command, in a new process each time, with `tmp_path` as its current folder."""
    return Command(tmp_path)


@pytest.fixture
def medsift(capfd: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """The same command line in this process, where models are loaded once."""
    from ray_jobs.cli import run

    def call(*words: str | Path) -> Said:
        capfd.readouterr()
        code = run([str(word) for word in words])
        return Said(code, *capfd.readouterr())

    return call


@pytest.fixture(scope="session")
def planted(tmp_path_factory: pytest.TempPathFactory) -> PhantomSet:
    """Sixteen base pictures with every defect planted."""
    return make_phantoms(tmp_path_factory.mktemp("data") / "phantoms", images=16, seed=5)


@pytest.fixture(scope="session")
def planted_run(
    tmp_path_factory: pytest.TempPathFactory, planted: PhantomSet, vectors: Path
) -> Path:
    """The run directory of the planted set, curated once by the command line."""
    from ray_jobs.cli import run

    folder = tmp_path_factory.mktemp("planted")
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(_phantom_settings(planted, vectors)), encoding="utf-8")
    assert run(["curate", str(path), "--local", "--run-dir", str(folder)]) == 0
    return folder


RecipeWriter = Callable[..., Path]


@pytest.fixture
def recipe(tmp_path: Path, vectors: Path) -> RecipeWriter:
    """Write a recipe over the sources, or over one JSON Lines file of `rows`."""

    def write(
        rows: Sequence[Row] | bytes | None = None,
        /,
        name: str = "small",
        sources: Sequence[Mapping[str, Any]] | None = None,
        source: Mapping[str, Any] | None = None,
        **settings: Any,
    ) -> Path:
        if rows is not None:
            lines = rows if isinstance(rows, bytes) else _lines(rows)
            (tmp_path / f"{name}.jsonl").write_bytes(lines)
        one = {"name": "s", "reader": "table", "path": str(tmp_path / f"{name}.jsonl")}
        whole = {
            "name": name,
            "sources": list(sources or [one | dict(source or {})]),
            "encoder": {"kind": "embedded"},
            "cache": str(vectors),
            **settings,
        }
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump(whole), encoding="utf-8")
        return path

    return write


@pytest.fixture
def phantom_recipe(tmp_path: Path, planted: PhantomSet, vectors: Path) -> RecipeWriter:
    """Write a recipe over the planted set with other settings than `planted_run` has."""

    def write(**settings: Any) -> Path:
        path = tmp_path / "phantoms.yaml"
        whole = _phantom_settings(planted, vectors) | settings
        path.write_text(yaml.safe_dump(whole), encoding="utf-8")
        return path

    return write


def _phantom_settings(planted: PhantomSet, vectors: Path) -> dict[str, Any]:
    source = {
        "name": "p",
        "reader": "table",
        "path": str(planted.samples),
        "image_root": str(planted.images),
        "columns": {"images": "image"},
    }
    return {
        "name": "planted",
        "sources": [source],
        "encoder": {"kind": "embedded"},
        "cache": str(vectors),
        "failures": {"tolerance": 0.25},
    }


def _lines(rows: Sequence[Row]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small vision-language model that says a letter, often of the options."""
    from tests.tiny_models import llava, saved, seeded

    folder = tmp_path_factory.mktemp("tiny")
    model, processor = seeded(llava)
    words = processor.tokenizer
    letters = {words.convert_tokens_to_ids(letter) for letter in "ABCYNyn"}
    model.generation_config.suppress_tokens = sorted(set(range(len(words))) - letters)
    saved((model, processor), folder)
    return folder


@pytest.fixture(scope="session")
def write_study(planted_run: Path, planted: PhantomSet, tiny_model: Path) -> RecipeWriter:
    """Write a recipe into a folder, with a copy of the planted run of its own."""

    def made(folder: Path, **changed: Any) -> Path:
        run = folder / "run"
        if not run.exists():
            shutil.copytree(planted_run, run)
        settings = _study_settings(run, planted.root, tiny_model) | changed
        path = folder / "study.yaml"
        path.write_text(yaml.safe_dump(settings), encoding="utf-8")
        return path

    return made


def _study_settings(run: Path, benchmark: Path, model: Path) -> dict[str, Any]:
    return {
        "name": "tiny",
        "run": str(run),
        "training": {
            "base": {"kind": "transformers", "model": str(model)},
            "lora": {"rank": 4, "alpha": 64},
            "optimiser": {"lr": 0.05},
            "batches": {"max_samples": 4},
            "checkpoints": {"interval_steps": 1},
            "steps": 2,
            "log": {"tensorboard": False},
        },
        "evaluation": {
            "benchmarks": [{"kind": "phantoms", "path": str(benchmark), "split": "train"}],
            "items": 40,
            "variants": ["no_image"],
            "facets": ["modality"],
            "resampling": {"draws": 199},
            "generation": {"max_new_tokens": 1},
            "batch_size": 40,
        },
        "budgets": ["20%"],
        "seeds": [0, 1],
        "allow_few_seeds": True,
        "margin": 0.1,
        "equalise": "steps",
        "compute": {"ray": False},
    }
