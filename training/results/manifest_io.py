"""Store a training in the manifest, from its folder: lineage, curves, drops, checkpoints."""

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
from medsift.storage.locations import is_remote, without_query
from medsift.storage.mirror import location
from medsift.storage.run_lock import claimed
from training.loop.checkpoint import checkpoints, read_state
from training.loop.logs import POLICY, PREFERENCE, STEPS, read_lines
from training.results.lineage import read_lineage
from training.training_id import CHECKPOINTS, Training

DROPS: Final = "drops.parquet"


class KeptCheckpoint(NamedTuple):
    """A checkpoint that still exists: its step, folder or URL, and losses."""

    step: int
    path: str
    loss: float | None
    held_out_loss: float | None


def list_kept(folder: Path) -> list[KeptCheckpoint]:
    """Return the checkpoints of a folder or store, by step."""
    states = [(path, read_state(path)[0]) for path in checkpoints(folder)]
    return [
        KeptCheckpoint(state.step, _place(path), state.loss, state.held_out_loss)
        for path, state in states
    ]


def _place(path: Path) -> str:
    """Return a path, or a URL without the settings of its server."""
    place = location(path.absolute())
    return without_query(place) if is_remote(place) else place


def store_finished(training: Training, kept: Sequence[KeptCheckpoint] | None) -> None:
    """Write a finished training, and `kept` unless None. Raises ManifestError or StorageError."""
    lineage = read_lineage(training.result)
    state = lineage["state"]
    row = {
        "created_at": datetime.fromisoformat(lineage["started"]),
        "finished_at": datetime.fromisoformat(lineage["finished"]),
        "status": lineage["status"],
        "base_model": lineage["base"]["name"],
        "adapter": location(training.result),
        "samples": state["samples"],
        "steps": lineage["steps"],
        "result_step": lineage["result_step"],
        "loss": state["loss"],
        "held_out_loss": lineage["held_out_loss"],
        "seconds": state["seconds"],
        # A result of an earlier version has none.
        "parent": next((one["training_id"] for one in lineage.get("parents", [])), None),
        "mixture": json.dumps(lineage["mixture"]) if lineage.get("mixture") else None,
        "memory": json.dumps(lineage["memory"]) if lineage.get("memory") else None,
    }
    try:
        _store(training, row, kept)
    except (ManifestError, StorageError) as error:
        # A long training must not seem lost where only the manifest refused.
        stated = error.reworded(
            f"the training is complete in {training.result}, but not in the manifest: {error}; "
            "then run the same command again"
        )
        stated.values["result"] = str(training.result)
        raise stated from error


def store_failed(training: Training, started: datetime) -> None:
    """Write a training that an error ended, with its curves up to there."""
    lines = read_lines(training.folder / STEPS)
    last: Mapping[str, Any] = lines[-1] if lines else {}
    row = {
        "created_at": started,
        "finished_at": datetime.now(UTC).replace(tzinfo=None),
        "status": "failed",
        "base_model": str(getattr(training.recipe.base, "model", training.recipe.base.kind)),
        "steps": last.get("step"),
        **{name: last.get(name) for name in ("samples", "loss", "seconds")},
    }
    _store(training, row, list_kept(training.home / CHECKPOINTS))


def _store(
    training: Training, row: Mapping[str, Any], kept: Sequence[KeptCheckpoint] | None
) -> None:
    """Replace the training's rows in the manifest, while no other process writes to it."""
    training_id = {"training_id": training.training_id}
    row = training_id | {
        "selection": training.selection,
        "settings": json.dumps(training.recipe.resolved(), sort_keys=True),
        "fingerprint": training.fingerprint,
        "seed": training.recipe.seed,
        "benchmarks": list(training.verdict.benchmarks),
        "contaminated": training.verdict.contaminated,
        **row,
    }
    tables = {"trainings": pa.Table.from_pylist([row], schema=arrow_schema("trainings"))}
    steps = read_lines(training.folder / STEPS)
    for step in steps:
        # A figure of the machine, which the manifest's curves leave out.
        step.pop("data_wait", None)
    if steps:
        tables["training_steps"] = pa.Table.from_pylist([training_id | step for step in steps])
    for name, file in (("policy_steps", POLICY), ("preference_steps", PREFERENCE)):
        if lines := read_lines(training.folder / file):
            tables[name] = pa.Table.from_pylist([training_id | line for line in lines])
    if kept:
        tables["checkpoints"] = pa.Table.from_pylist(
            [training_id | checkpoint._asdict() for checkpoint in kept]
        )
    if (training.folder / DROPS).is_file():
        drops = pq.read_table(training.folder / DROPS)
        ids = pa.array([training.training_id] * drops.num_rows, pa.string())
        tables["training_drops"] = drops.append_column("training_id", ids)
    # Trainings of one run may end together; the second waits for the first.
    with claimed(training.manifest.parent, wait=True):
        append_tables(training.manifest, training.run_id, tables)
