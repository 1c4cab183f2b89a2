"""Write the curves of a training: JSON Lines always, other trackers where the recipe names them."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from medsift.errors import UsageError
from medsift.progress import PolicyLine, PreferenceLine, StepLine
from medsift.storage.atomic import atomic_file
from medsift.storage.mirror import fetch, is_mirrored, publish
from training.recipe import LogConfig

STEPS: Final = "steps.jsonl"
POLICY: Final = "policy.jsonl"
PREFERENCE: Final = "preference.jsonl"
DETAILS: Final = {"grpo": POLICY, "dpo": PREFERENCE}
"""Files of what an objective writes of each step besides the curves."""
CURVES: Final = (STEPS, *DETAILS.values())
TENSORBOARD: Final = "tensorboard"
FIGURES: Final = (
    *("loss", "held_out_loss", "learning_rate", "grad_norm"),
    *("samples_per_second", "tokens_per_second", "mfu", "peak_memory_mb", "data_wait"),
)
"""What trackers draw; counts that only grow say nothing there."""


class Journal:
    """All places that a recipe names, to which every line is written.

    Lines after the step `resumed`, of a training that was interrupted, are removed: the training
    takes those steps again. Raises UsageError when a package that the recipe needs is missing.
    """

    def __init__(
        self,
        folder: Path,
        config: LogConfig,
        name: str,
        resumed: int = 0,
        *,
        details: str | None = None,
    ) -> None:
        self.details = JsonLines(folder / details, resumed) if details else None
        self.sinks: list[JsonLines | Tracker] = [JsonLines(folder / STEPS, resumed)]
        if config.tensorboard:
            self.sinks.append(_tensorboard(folder / TENSORBOARD, resumed))
        if config.mlflow is not None:
            mlflow = _package("mlflow")
            mlflow.set_experiment(config.mlflow)
            mlflow.start_run(run_name=name)
            self.sinks.append(Tracker(mlflow.log_metrics, mlflow.end_run))
        if config.wandb is not None:
            # The training's id is the run's, so that a resumed training continues its curve.
            run = _package("wandb").init(project=config.wandb, name=name, id=name, resume="allow")
            self.sinks.append(Tracker(run.log, run.finish))

    def write(self, line: StepLine) -> None:
        """Write a line everywhere."""
        for sink in self.sinks:
            sink.write(line)

    def write_details(self, line: PolicyLine | PreferenceLine) -> None:
        """Write what a step of another objective says besides the curves."""
        if self.details is not None:
            self.details.write(line)

    def close(self) -> None:
        """Close all places."""
        if self.details is not None:
            self.details.close()
        for sink in self.sinks:
            sink.close()


class JsonLines:
    """A file of one JSON object per line."""

    def __init__(self, path: Path, resumed: int) -> None:
        kept = [line for line in read_lines(path) if line["step"] <= resumed]
        with atomic_file(path, "choose another checkpoints.storage") as partial:
            partial.write_text("".join(f"{json.dumps(line)}\n" for line in kept), encoding="utf-8")
        self.file = path.open("a", encoding="utf-8")
        self.close = self.file.close

    def write(self, line: StepLine | PolicyLine | PreferenceLine) -> None:
        """Append a line, which is on disk when this returns."""
        self.file.write(f"{json.dumps(asdict(line))}\n")
        # At once, so that the curve of a killed training ends at its last step.
        self.file.flush()


@dataclass(frozen=True, slots=True)
class Tracker:
    """A tracker of experiments, which takes the known figures of a step by name."""

    log: Callable[..., object]
    close: Callable[[], object]

    def write(self, line: StepLine) -> None:
        """Write the figures that the line has."""
        values = {name: getattr(line, name) for name in FIGURES}
        self.log({name: float(v) for name, v in values.items() if v is not None}, step=line.step)


def _tensorboard(folder: Path, resumed: int) -> Tracker:
    from tensorboardX import SummaryWriter

    # Files of an interrupted training stay; TensorBoard skips their steps from `purge_step` on.
    writer = SummaryWriter(str(folder), purge_step=resumed + 1 if folder.exists() else None)

    def log(figures: dict[str, float], step: int) -> None:
        for name, value in figures.items():
            writer.add_scalar(name, value, step)

    return Tracker(log, writer.close)


def _package(name: str) -> Any:
    if importlib.util.find_spec(name) is None:
        message = (
            f"log.{name} needs the package {name}, which is not installed; pip install {name}, or "
            "leave the key out"
        )
        raise UsageError(message, code="package_missing", package=name)
    return importlib.import_module(name)


def publish_curves(folder: Path) -> None:
    """Upload the curves of a training in an object store, which are complete now."""
    for path in (*(folder / name for name in CURVES), *(folder / TENSORBOARD).glob("*")):
        if path.is_file():
            publish(path, path)


def fetch_curves(folder: Path) -> None:
    """Bring the curves of a training in an object store to this machine."""
    if is_mirrored(folder):
        for name in CURVES:
            with suppress(FileNotFoundError):
                fetch(folder / name, again=True)


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Read a file of steps, if there is one, without the incomplete line of a killed training."""
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]
