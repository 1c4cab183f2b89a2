"""Write and read ``lineage.json``, which says where a result comes from."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from medsift.errors import InputError
from medsift.vocabulary import LINEAGE_NAME
from training.contamination import Verdict
from training.loop.loop import Outcome
from training.model.base_model import arithmetic
from training.prepare import Prepared
from training.training_id import Training

PACKAGES: Final = (
    "medsift",
    "torch",
    "transformers",
    "peft",
    "safetensors",
    "ray",
    "pyarrow",
    "numpy",
    "pillow",
)


def lineage(
    training: Training,
    prepared: Prepared,
    outcome: Outcome,
    workers: int,
    started: datetime,
    finished: datetime,
) -> dict[str, Any]:
    """The lineage of a result, JSON-able; times are UTC."""
    recipe, held = training.recipe, prepared.held_out
    return {
        "training_id": training.training_id,
        "fingerprint": training.fingerprint,
        "contaminated": training.verdict.contaminated,
        "benchmarks": list(training.verdict.benchmarks),
        "reasons": list(training.verdict.reasons),
        "notes": notes_of(training.verdict, prepared),
        "manifest": str(training.manifest),
        "manifest_fingerprint": training.manifest_fingerprint,
        "run_id": training.run_id,
        "selection": {"name": training.selection, "samples": training.samples},
        "trained_on": len(prepared.training.encodings.samples),
        "held_out": len(held.encodings.samples) if held else 0,
        "dropped": len(prepared.dropped),
        "base": _base(prepared),
        "seed": recipe.seed,
        "precision": arithmetic(recipe.precision),
        "device": prepared.base.device,
        "workers": workers,
        "status": outcome.status,
        "result_step": outcome.result_step,
        "steps": outcome.state.step,
        "held_out_loss": _result_loss(outcome),
        "state": asdict(outcome.state),
        "started": started.isoformat(timespec="seconds"),
        "finished": finished.isoformat(timespec="seconds"),
        "packages": versions(),
        "recipe": recipe.resolved(),
    }


def notes_of(verdict: Verdict, prepared: Prepared) -> list[str]:
    """The notes of a training; they go into its lineage and card, and are said at its start."""
    found = []
    if verdict.contaminated is None:
        found.append(
            "held against no benchmark: leaks are unchecked; name some under benchmarks, and "
            "split:test for a split of the run"
        )
    parts = [material for material in (prepared.training, prepared.held_out) if material]
    encoded = [one for material in parts for one in material.encodings.encoded]
    shortened = [one.unlearned for one in encoded if one.unlearned]
    if shortened:
        found.append(
            f"{sum(shortened)} answers of {len(shortened)} samples are context and not learned: "
            "the chat template writes earlier turns anew as a chat goes on"
        )
    if prepared.unmeasured:
        found.append(
            f"nothing is held out: none of {len(prepared.unmeasured)} samples could be measured"
        )
    return found


def versions() -> dict[str, str]:
    """Versions of Python and the packages that a result depends on."""
    found = {name: metadata.version(name) for name in PACKAGES}
    return {"python": platform.python_version()} | found


def read_lineage(folder: Path) -> Mapping[str, Any]:
    """The lineage of a result's folder. Raises InputError where there is none that can be read."""
    path = folder / LINEAGE_NAME
    try:
        told: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{folder} is no result of a training: {error}; name the folder `result` that "
            "`medsift train` wrote",
            code="training_result_unreadable",
        ) from error
    if "training_id" not in told or "recipe" not in told:
        raise InputError(
            f"{path} lacks training_id or recipe; name the folder `result` that `medsift train` "
            "wrote",
            code="training_result_unreadable",
        )
    return told


def _result_loss(outcome: Outcome) -> float | None:
    """Held-out loss of the weights that are the result."""
    state = outcome.state
    return state.best_loss if outcome.result_step == state.best_step else state.held_out_loss


def _base(prepared: Prepared) -> dict[str, Any]:
    config, base = prepared.recipe.base, prepared.base
    commit = getattr(base.model.config, "_commit_hash", None)
    return {
        "name": base.name,
        "revision": commit or getattr(config, "revision", None),
        "fingerprint": config.fingerprint(),
        "settings": config.model_dump(mode="json"),
    }
