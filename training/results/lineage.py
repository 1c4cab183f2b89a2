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
from medsift.licence_classes import excluding, obligations
from medsift.storage.stored_folder import fetch_folder
from medsift.vocabulary import LINEAGE_NAME
from training.contamination import Verdict
from training.loop.loop import Outcome
from training.model.base_model import AnyBase, arithmetic
from training.prepare import Prepared
from training.training_id import Training

PARENT: Final = ("training_id", "fingerprint", "run_id", "contaminated", "benchmarks")
"""What a lineage repeats of each training before it."""
PACKAGES: Final = (
    *("medsift", "torch", "transformers", "peft", "safetensors"),
    *("ray", "pyarrow", "numpy", "pillow"),
)


def lineage_of(
    training: Training,
    prepared: Prepared,
    outcome: Outcome,
    workers: int,
    started: datetime,
    finished: datetime,
) -> dict[str, Any]:
    """Return the lineage of a result as JSON-able values.

    Args:
        training: what was trained.
        prepared: its samples and model.
        outcome: how it ended.
        workers: how many workers ended it.
        started: its start, UTC.
        finished: its end, UTC.
    """
    recipe, base, held_out = training.recipe, prepared.base, prepared.held_out
    state = outcome.state
    # The loss in the lineage must be that of the weights in the folder.
    is_best = outcome.result_step == state.best_step
    # A model from a hub has the commit that was loaded, whatever branch the recipe names.
    commit = getattr(base.model.config, "_commit_hash", None)
    return {
        "training_id": training.training_id,
        "fingerprint": training.fingerprint,
        "contaminated": training.verdict.contaminated,
        "benchmarks": list(training.verdict.benchmarks),
        "reasons": list(training.verdict.reasons),
        "notes": notes_of(training.verdict, prepared),
        "licences": {name or "none": count for name, count in training.licences.items()},
        "obligations": obligations(training.licences.keys()),
        "licence_conflicts": [list(pair) for pair in excluding(training.licences)],
        "manifest": str(training.manifest),
        "manifest_fingerprint": training.manifest_fingerprint,
        "run_id": training.run_id,
        "selection": {"name": training.selection, "samples": training.samples},
        "trained_on": prepared.trained_on,
        "held_out": len(held_out.encodings.samples) if held_out else 0,
        "dropped": len(prepared.dropped),
        "mixture": prepared.mixture,
        "base": {
            "name": base.name,
            "revision": commit or getattr(recipe.base, "revision", None),
            "fingerprint": recipe.base.fingerprint(),
            "settings": recipe.base.model_dump(mode="json"),
        },
        "parents": parents_of(recipe.base),
        "seed": recipe.seed,
        "precision": arithmetic(recipe.precision),
        "device": base.device,
        "workers": workers,
        "status": outcome.status,
        "result_step": outcome.result_step,
        "steps": state.step,
        "held_out_loss": state.best_loss if is_best else state.held_out_loss,
        "state": asdict(state),
        "started": started.isoformat(timespec="seconds"),
        "finished": finished.isoformat(timespec="seconds"),
        "packages": versions(),
        "recipe": recipe.resolved(),
    }


def parents_of(base: AnyBase) -> list[dict[str, Any]]:
    """Return the trainings whose results a base is made of, the last first; none for a foreign one.

    A complete or merged result has its lineage in its folder.
    """
    folder = Path(getattr(base, "model", "")).expanduser()
    if not getattr(base, "model", "") or not (folder / LINEAGE_NAME).is_file():
        return []
    lineage = read_lineage(folder)
    parent = {name: lineage.get(name) for name in PARENT} | {
        "selection": lineage.get("selection", {}).get("name"),
        "name": lineage["recipe"].get("name"),
    }
    return [parent, *lineage.get("parents", [])]


def has_all_weights(lineage: Mapping[str, Any]) -> bool:
    """Return whether the result of a lineage is a complete model, and no adapter."""
    recipe = lineage["recipe"]
    return bool(recipe["lora"]["full"]) or recipe.get("trainable") == "projector"


def notes_of(verdict: Verdict, prepared: Prepared) -> list[str]:
    """Return the notes that a reader needs next to a result's figures: in log, lineage and card."""
    notes = []
    if verdict.contaminated is None:
        notes.append(
            "compared with no benchmark: leaks are unchecked; name some under benchmarks, and "
            "split:test for a split of the run"
        )
    splits = [split for split in (prepared.training, prepared.held_out) if split]
    chats = [chat for split in splits for chat in split.encodings.encoded]
    shortened = [chat.unlearned for chat in chats if chat.unlearned]
    if shortened:
        notes.append(
            f"{sum(shortened)} answers of {len(shortened)} samples are context and not learned: "
            "the chat template rewrites earlier turns as a chat continues"
        )
    notes += [
        f"starts from {parent['training_id']}, which was trained despite known or unchecked leaks"
        for parent in parents_of(prepared.recipe.base)
        if parent["contaminated"]
    ]
    if prepared.unmeasured:
        notes.append(
            f"nothing is held out: none of {len(prepared.unmeasured)} samples could be measured"
        )
    return notes


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that a result depends on."""
    packages = {name: metadata.version(name) for name in PACKAGES}
    return {"python": platform.python_version()} | packages


def read_lineage(folder: Path) -> Mapping[str, Any]:
    """Read the lineage of a result's folder. Raises InputError for a folder that is no result."""
    path, missing = folder / LINEAGE_NAME, list[str]()
    try:
        fetch_folder(folder)
        lineage: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        missing = sorted({"training_id", "recipe"} - set(lineage))
        if missing:
            raise ValueError(f"{path} lacks {' and '.join(missing)}")
    except (OSError, ValueError) as error:
        raise InputError(
            f"{folder} is no result of a training: {error}; name the folder `result` that "
            "`medsift train` wrote",
            code="training_result_unreadable",
            path=str(folder),
            missing=missing,
        ) from error
    return lineage
