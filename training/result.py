"""What a training leaves: an adapter (or a model) that can be loaded, with all that explains it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from training.adapters import trained_parameters
from training.checkpoint import save_adapter, whole_folder
from training.loop import Outcome
from training.prepare import Prepared

TOLD: Final = "training.json"
PACKAGES: Final = ("medsift", "torch", "transformers", "peft", "ray", "numpy", "pillow")


def write_result(prepared: Prepared, outcome: Outcome, folder: Path) -> Path:
    """Write the weights in place, the processor with its chat template, and `training.json`.

    An adapter has PEFT's form, a model trained whole transformers' own; both load with
    `from_pretrained`. Replaces an older folder; raises StorageError when the disk refuses.
    """
    model, base = prepared.model, prepared.base
    with whole_folder(folder) as partial:
        if hasattr(model, "peft_config"):
            weights = {name: part.detach() for name, part in trained_parameters(model).items()}
            save_adapter(model, weights, partial)
        else:
            model.save_pretrained(partial)
        (base.processor or base.tokenizer).save_pretrained(partial)
        told = json.dumps(lineage(prepared, outcome), indent=1, sort_keys=True)
        (partial / TOLD).write_text(told, encoding="utf-8")
    return folder


def lineage(prepared: Prepared, outcome: Outcome) -> dict[str, Any]:
    """Where a result comes from: recipe, model, selection, counts, seeds and versions."""
    recipe, encodings = prepared.recipe, prepared.training.encodings
    return {
        "name": recipe.name,
        "run_id": prepared.run_id,
        "selection": prepared.selection,
        "samples": len(encodings.samples),
        "dropped": len(prepared.dropped),
        "held_out": len(prepared.held_out.encodings.samples) if prepared.held_out else 0,
        "base": recipe.base.model_dump(mode="json"),
        "base_commit": getattr(prepared.base.model.config, "_commit_hash", None),
        "max_pixels": recipe.data.max_pixels,
        "recipe": recipe.resolved(),
        "decisive": dict(prepared.decisive),
        "seed": recipe.seed,
        "contaminated": recipe.allow_contaminated,
        "status": outcome.status,
        "result_step": outcome.result_step,
        "state": asdict(outcome.state),
        "packages": versions(),
    }


def versions() -> Mapping[str, str]:
    """Versions of the packages that a result depends on."""
    return {name: metadata.version(name) for name in PACKAGES}
