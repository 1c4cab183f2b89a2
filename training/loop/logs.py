"""The curves of a training, line by line: JSON Lines always, other places where they are wanted."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, Protocol

from medsift.errors import UsageError
from medsift.progress import StepLine
from medsift.storage.atomic import atomic_file
from training.recipe import LogConfig

STEPS: Final = "steps.jsonl"
SHOWN: Final = (
    "loss",
    "held_out_loss",
    "learning_rate",
    "grad_norm",
    "samples_per_second",
    "tokens_per_second",
    "mfu",
    "peak_memory_mb",
    "data_wait",
)


class Sink(Protocol):
    """A place that takes lines."""

    def write(self, line: StepLine) -> None:
        """Take a line."""
        ...

    def close(self) -> None:
        """No more lines come."""
        ...


class Journal:
    """All places that a recipe names. Lines after `resumed`, of a training cut short, are lost.

    Raises UsageError when a package that the recipe asks for is not there.
    """

    def __init__(self, folder: Path, config: LogConfig, name: str, resumed: int = 0) -> None:
        self.sinks: list[Sink] = [JsonLines(folder / STEPS, resumed)]
        if config.tensorboard:
            self.sinks.append(TensorBoard(folder / "tensorboard", resumed))
        if config.mlflow is not None:
            self.sinks.append(MLflow(config.mlflow, name))
        if config.wandb is not None:
            self.sinks.append(WeightsAndBiases(config.wandb, name))

    def write(self, line: StepLine) -> None:
        """Write a line everywhere."""
        for sink in self.sinks:
            sink.write(line)

    def close(self) -> None:
        """Close all places."""
        for sink in self.sinks:
            sink.close()


class JsonLines:
    """A file of one JSON object a line."""

    def __init__(self, path: Path, resumed: int) -> None:
        kept = [line for line in read_lines(path) if line["step"] <= resumed]
        with atomic_file(path, "choose another checkpoints.storage") as partial:
            partial.write_text("".join(f"{json.dumps(line)}\n" for line in kept), encoding="utf-8")
        self.file = path.open("a", encoding="utf-8")

    def write(self, line: StepLine) -> None:
        """Append a line; it is on disk when this returns."""
        self.file.write(f"{json.dumps(asdict(line))}\n")
        self.file.flush()

    def close(self) -> None:
        """Close the file."""
        self.file.close()


class TensorBoard:
    """TensorBoard's event files."""

    def __init__(self, folder: Path, resumed: int) -> None:
        from tensorboardX import SummaryWriter

        purge = resumed + 1 if folder.exists() else None
        self.writer = SummaryWriter(str(folder), purge_step=purge)

    def write(self, line: StepLine) -> None:
        """Write every figure that there is."""
        for name, value in shown(line):
            self.writer.add_scalar(name, value, line.step)

    def close(self) -> None:
        """Write what is left."""
        self.writer.close()


class MLflow:
    """A run of an MLflow experiment."""

    def __init__(self, experiment: str, name: str) -> None:
        self.mlflow: Any = _package("mlflow", "log.mlflow")
        self.mlflow.set_experiment(experiment)
        self.mlflow.start_run(run_name=name)

    def write(self, line: StepLine) -> None:
        """Write every figure that there is."""
        self.mlflow.log_metrics(dict(shown(line)), step=line.step)

    def close(self) -> None:
        """End the run."""
        self.mlflow.end_run()


class WeightsAndBiases:
    """A run of a Weights & Biases project."""

    def __init__(self, project: str, name: str) -> None:
        wandb: Any = _package("wandb", "log.wandb")
        self.run = wandb.init(project=project, name=name, id=name, resume="allow")

    def write(self, line: StepLine) -> None:
        """Write every figure that there is."""
        self.run.log(dict(shown(line)), step=line.step)

    def close(self) -> None:
        """End the run."""
        self.run.finish()


def shown(line: StepLine) -> Iterator[tuple[str, float]]:
    """Name and value of every figure of a line that there is."""
    for name in SHOWN:
        value = getattr(line, name)
        if value is not None:
            yield name, float(value)


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a file of steps; none where there is no file. A line cut short is left out."""
    if not path.is_file():
        return []
    found = []
    for text in path.read_text(encoding="utf-8").splitlines(keepends=True):
        if text.endswith("\n"):
            found.append(json.loads(text))
    return found


def _package(name: str, key: str) -> Any:
    if importlib.util.find_spec(name) is None:
        raise UsageError(
            f"{key} needs the package {name}, which is not installed; pip install {name}, or leave "
            "the key out",
            code="package_missing",
        )
    return importlib.import_module(name)
