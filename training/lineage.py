"""A training as lines of the manifest: `trainings`, `training_steps` and `checkpoints`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from curation import records
from training.checkpoint import checkpoints, read_state
from training.logs import STEPS, StepLine, read_lines
from training.loop import Outcome
from training.prepare import Prepared

_NOT_STORED: Final = ("data_wait",)


def training_tables(
    prepared: Prepared,
    folder: Path,
    started: datetime,
    finished: datetime | None,
    outcome: Outcome | None,
    result: Path | None,
) -> dict[str, pa.Table]:
    """Tables for `append_tables`, from a training's folder; without `outcome` it has failed.

    `folder` holds the curves and the folder ``checkpoints``; `result` is what was written last.
    """
    name = prepared.recipe.name
    lines = read_lines(folder / STEPS)
    tables = {"trainings": _table([_training(prepared, started, finished, outcome, result)])}
    if lines:
        tables["training_steps"] = _table([_step(name, line) for line in lines])
    kept = [_checkpoint(name, path) for path in checkpoints(folder / "checkpoints")]
    if kept:
        tables["checkpoints"] = _table(kept)
    return tables


def _training(
    prepared: Prepared,
    started: datetime,
    finished: datetime | None,
    outcome: Outcome | None,
    result: Path | None,
) -> dict[str, Any]:
    recipe, state = prepared.recipe, outcome.state if outcome else None
    return {
        "training_id": recipe.name,
        "selection": prepared.selection,
        "created_at": started,
        "finished_at": finished,
        "status": "done" if outcome else "failed",
        "base_model": prepared.base.name,
        "adapter": str(result.absolute()) if result else None,
        "settings": json.dumps(recipe.resolved(), sort_keys=True),
        "fingerprint": records.fingerprint(prepared.decisive),
        "seed": recipe.seed,
        "samples": state.samples if state else None,
        "steps": state.step if state else None,
        "loss": state.loss if state else None,
        "seconds": state.seconds if state else None,
    }


def _step(name: str, line: dict[str, Any]) -> dict[str, Any]:
    columns = {key: line[key] for key in StepLine.__slots__ if key not in _NOT_STORED}
    return {"training_id": name, **columns}


def _checkpoint(name: str, path: Path) -> dict[str, Any]:
    state, _ = read_state(path)
    return {
        "training_id": name,
        "step": state.step,
        "path": str(path.absolute()),
        "loss": state.loss,
        "held_out_loss": state.held_out_loss,
    }


def _table(lines: Sequence[dict[str, Any]]) -> pa.Table:
    """Lines as a table; columns in which nobody has anything are left out."""
    empty = [key for key in lines[0] if all(line[key] is None for line in lines)]
    return pa.Table.from_pylist(list(lines)).drop_columns(empty)
