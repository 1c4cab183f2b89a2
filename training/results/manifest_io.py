"""A training in the manifest, read back from its folder: lineage, curves, drops, checkpoints."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from medsift.errors import ManifestError, StorageError
from medsift.manifest import append_tables
from medsift.manifest.schema import arrow_schema
from medsift.storage.parts import write_table
from medsift.storage.run_lock import claimed
from training.dataset.encode_dataset import Drop, ledger
from training.loop.checkpoint import checkpoints, read_state
from training.loop.logs import STEPS, read_lines
from training.results.lineage import read_lineage
from training.training_id import CHECKPOINTS, Training

DROPS: Final = "drops.parquet"
NOT_STORED: Final = ("data_wait",)
TRAININGS: Final = arrow_schema("trainings")
"""The manifest's table `trainings`."""


class KeptCheckpoint(NamedTuple):
    """A checkpoint that is still there: its step, folder or URL, and losses."""

    step: int
    path: str
    loss: float | None
    held_out_loss: float | None


def write_drops(dropped: Sequence[Drop], folder: Path) -> None:
    """Keep the ledger of samples that are left out next to the curves. Raises StorageError."""
    write_table(ledger(dropped), folder / DROPS)


def list_kept(folder: Path) -> list[KeptCheckpoint]:
    """The checkpoints of a folder on this machine, by step."""
    found = []
    for path in checkpoints(folder):
        state, _ = read_state(path)
        found.append(
            KeptCheckpoint(state.step, str(path.absolute()), state.loss, state.held_out_loss)
        )
    return found


def store_finished(training: Training, kept: Sequence[KeptCheckpoint] | None) -> None:
    """Write a training with a result into its manifest; None leaves its checkpoints as they are.

    Raises ManifestError or StorageError.
    """
    told = read_lineage(training.result)
    state = told["state"]
    line = _shared(training, told["started"], told["finished"]) | {
        "status": told["status"],
        "base_model": told["base"]["name"],
        "adapter": str(training.result),
        "samples": state["samples"],
        "steps": told["steps"],
        "result_step": told["result_step"],
        "loss": state["loss"],
        "held_out_loss": told["held_out_loss"],
        "seconds": state["seconds"],
    }
    try:
        _store(training, line, kept)
    except (ManifestError, StorageError) as error:
        raise error.reworded(
            f"the training is complete in {training.result}, but the manifest has no note of it: "
            f"{error}; then run the same command again"
        ) from error


def store_failed(training: Training, started: datetime) -> None:
    """Write a training that an error ended, with its curves as far as they go."""
    lines = read_lines(training.folder / STEPS)
    last: Mapping[str, Any] = lines[-1] if lines else {}
    now = datetime.now(UTC).replace(tzinfo=None)
    line = _shared(training, started.isoformat(), now.isoformat()) | {
        "status": "failed",
        "base_model": str(getattr(training.recipe.base, "model", training.recipe.base.kind)),
        "steps": last.get("step"),
        **{name: last.get(name) for name in ("samples", "loss", "seconds")},
    }
    _store(training, line, list_kept(training.folder / CHECKPOINTS))


def _shared(training: Training, started: str, finished: str) -> dict[str, Any]:
    return {
        "training_id": training.training_id,
        "selection": training.selection,
        "created_at": datetime.fromisoformat(started),
        "finished_at": datetime.fromisoformat(finished),
        "settings": json.dumps(training.recipe.resolved(), sort_keys=True),
        "fingerprint": training.fingerprint,
        "seed": training.recipe.seed,
        "benchmarks": list(training.verdict.benchmarks),
        "contaminated": training.verdict.contaminated,
    }


def _store(
    training: Training, line: Mapping[str, Any], kept: Sequence[KeptCheckpoint] | None
) -> None:
    steps, name = read_lines(training.folder / STEPS), training.training_id
    tables = {"trainings": pa.Table.from_pylist([line], schema=TRAININGS)}
    if steps:
        tables["training_steps"] = _named(name, [_plain(step) for step in steps])
    if kept:
        tables["checkpoints"] = _named(name, [one._asdict() for one in kept])
    if (training.folder / DROPS).is_file():
        drops = pq.read_table(training.folder / DROPS)
        names = pa.array([name] * drops.num_rows, pa.string())
        tables["training_drops"] = drops.append_column("training_id", names)
    with claimed(training.manifest.parent, wait=True):
        append_tables(training.manifest, training.run_id, tables)


def _named(name: str, lines: Sequence[Mapping[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist([{"training_id": name, **line} for line in lines])


def _plain(step: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in step.items() if key not in NOT_STORED}
