"""Start the commands of a soak in one folder, and keep what uninterrupted ones contain."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, NamedTuple

import yaml

from benchmarks.soak_contents import Contents, run_contents, training_contents
from benchmarks.soak_plan import DISK, STAGES, TRAINING
from benchmarks.soak_victims import end_group, folder_bytes

COMMAND_SECONDS: Final = 1800
SETTINGS: Final[dict[str, Any]] = {
    "name": "soak",
    "encoder": {"kind": "embedded"},
    "failures": {"tolerance": 0.5},
    "compute": {"images_per_batch": 4, "rows_per_batch": 40, "workers": 2, "shared_disk": True},
    "scores": {"scorers": [{"kind": "density"}, {"kind": "text_quality"}]},
    "selections": [
        {"name": "fifth", "method": {"kind": "facility_location"}, "budget": {"fraction": 0.2}}
    ],
}
TRAIN_SETTINGS: Final[dict[str, Any]] = {
    "name": "soak",
    "base": {"kind": "embedded_vlm", "side": 2},
    "lora": {"rank": 2, "alpha": 4},
    "batches": {"max_samples": 1},
    "steps": 10,
    "checkpoints": {"interval_steps": 2},
    "log": {"tensorboard": False},
    "leaks": "drop",
    "workers": {"shared_disk": True},
}


@dataclass(slots=True)
class Attempt:
    """A command in a process group of its own, and the moments of its events."""

    process: subprocess.Popen[str]
    began: float = field(default_factory=time.monotonic)
    events: list[tuple[float, dict[str, Any]]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def moment(self, stage: str) -> float | None:
        """Return when a stage began, None as long as it has not."""
        for when, event in list(self.events):
            if stage == TRAINING:
                if event["event"] == "training_begun":
                    return when
            elif stage == STAGES[0]:
                if event.get("stage") == stage:
                    return when
            elif (event["event"], event.get("stage")) == ("stage_finished", _before(stage)):
                return when
        return None

    def stage(self) -> str:
        """Return the stage that works now."""
        finished = [e["stage"] for _, e in list(self.events) if e["event"] == "stage_finished"]
        known = [STAGES.index(name) for name in finished if name in STAGES]
        return STAGES[max(known, default=-1) + 1]

    @property
    def error_code(self) -> str:
        """The code of the error with which the command ended; empty without one."""
        codes = [event["code"] for _, event in self.events if event["event"] == "error"]
        return codes[-1] if codes else ""

    def ended(self, seconds: float) -> bool:
        """Wait for the command; end it by force where it takes longer. Return whether it ended."""
        try:
            self.process.wait(max(0.0, seconds))
        except subprocess.TimeoutExpired:
            end_group(self.process.pid)
            self.process.wait()
            return False
        return True


class Reference(NamedTuple):
    """A command that nothing disturbed: contents, seconds of its stages and in all, its disk.

    Of a stage the disk is what the run directory occupied at its beginning, and at most.
    """

    contents: Contents
    stages: Mapping[str, float]
    seconds: float
    disk: Mapping[str, tuple[int, int]]


class Workplace:
    """A folder with the data, the settings and the contents of uninterrupted runs."""

    def __init__(self, folder: Path, images: int) -> None:
        self.folder = folder.absolute()
        self.run_dir = self.folder / "run"
        self.trained = self.folder / "origin"
        self.recipe, self.training = self.folder / "soak.yaml", self.folder / "train.yaml"
        self.references: dict[str, Reference] = {}
        # Ray's workers yield to other programs by default, and here the kills wait for them.
        os.environ.setdefault("RAY_worker_niceness", "0")
        data = self.folder / "phantoms"
        if not data.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            _run("phantoms", str(data), "--images", str(images), "--seed", "7")
        source = {"name": "p", "reader": "table", "path": str(data / "samples.jsonl")}
        source |= {"image_root": str(data / "images"), "columns": {"images": "image"}}
        more = {"sources": [source], "cache": str(self.folder / "cache")}
        self.recipe.write_text(yaml.safe_dump(SETTINGS | more), encoding="utf-8")
        whole = TRAIN_SETTINGS | {"run": str(self.run_dir)}
        self.training.write_text(yaml.safe_dump(whole), encoding="utf-8")

    def words(self, target: str) -> list[str]:
        """Return the command line of a target."""
        if target.startswith("train"):
            engine = "--local" if target == "train driver" else "--ray"
            return ["train", str(self.training), engine, "--log-json"]
        engine = "--local" if target in ("driver", DISK) else "--ray"
        return ["curate", str(self.recipe), engine, "--run-dir", str(self.run_dir), "--log-json"]

    def clear(self, target: str) -> None:
        """Remove what the last run left; a training needs the run that it is made on."""
        for path in (self.run_dir, self.folder / "cache"):
            shutil.rmtree(path, ignore_errors=True)
        if target.startswith("train"):
            if not self.trained.exists():
                made = self.start("driver", {})
                assert made.ended(COMMAND_SECONDS)
                assert made.process.returncode == 0, "".join(made.errors)
                self.run_dir.replace(self.trained)
            shutil.copytree(self.trained, self.run_dir)

    def start(self, target: str, variables: Mapping[str, str]) -> Attempt:
        """Start the command of a target, with more variables of the environment."""
        process = subprocess.Popen(
            [sys.executable, "-m", "ray_jobs", *self.words(target)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONUNBUFFERED": "1"} | dict(variables),
            start_new_session=True,
        )
        attempt = Attempt(process)

        def listen() -> None:
            assert process.stdout is not None
            for line in process.stdout:
                with suppress(ValueError):
                    attempt.events.append((time.monotonic(), json.loads(line)))

        def listen_to_errors() -> None:
            assert process.stderr is not None
            attempt.errors.extend(process.stderr)

        for function in (listen, listen_to_errors):
            threading.Thread(target=function, daemon=True).start()
        return attempt

    def reference(self, target: str) -> Reference:
        """Return what a run, or the training of a target, does in one process when left alone."""
        target = "train driver" if target.startswith("train") else "driver"
        if target not in self.references:
            self.clear(target)
            attempt = self.start(target, {})
            disk = self._watch_disk(attempt)
            assert attempt.ended(COMMAND_SECONDS), "a command left alone ends"
            ends = time.monotonic()
            end_group(attempt.process.pid)
            assert attempt.process.returncode == 0, "".join(attempt.errors)
            stages = list(STAGES) if target == "driver" else [TRAINING]
            begun = [attempt.moment(stage) for stage in stages]
            moments = [*(when for when in begun if when is not None), ends]
            seconds = [after - before for before, after in pairwise(moments)]
            self.references[target] = Reference(
                self.contents(target),
                dict(zip(stages, seconds, strict=True)),
                ends - attempt.began,
                disk,
            )
        return self.references[target]

    def _watch_disk(self, attempt: Attempt) -> dict[str, tuple[int, int]]:
        """Return the bytes of the run directory at the beginning of each stage, and at most."""
        seen: dict[str, tuple[int, int]] = {}
        end = attempt.began + COMMAND_SECONDS
        while attempt.process.poll() is None and time.monotonic() < end:
            now = folder_bytes(self.run_dir)
            first, most = seen.setdefault(attempt.stage(), (now, now))
            seen[attempt.stage()] = first, max(most, now)
            time.sleep(0.02)
        return seen

    def contents(self, target: str) -> Contents:
        """Return what the run directory contains."""
        read = training_contents if target.startswith("train") else run_contents
        return read(self.run_dir)


def _run(*words: str) -> None:
    subprocess.run([sys.executable, "-m", "ray_jobs", *words], check=True, capture_output=True)


def _before(stage: str) -> str:
    """Return the stage before another."""
    return STAGES[STAGES.index(stage) - 1]
