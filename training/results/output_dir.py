"""The folder of a result: weights, processor and chat template, lineage and model card."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medsift.models.language_model import quietly
from medsift.storage.atomic import atomic_file, atomic_folder
from medsift.vocabulary import LINEAGE_NAME
from training.loop.checkpoint import OTHER_STORAGE, save_adapter
from training.model.sharding import full_tensor
from training.model.trainable import trained_parameters
from training.prepare import Prepared
from training.results.card import evaluation_of, model_card
from training.results.lineage import read_lineage
from training.training_id import Training

if TYPE_CHECKING:
    from torch import Tensor

CARD = "README.md"


def result_weights(model: Any, *, keep: bool) -> dict[str, Tensor]:
    """What a result holds, whole and on the CPU: an adapter's weights, or all of a model's.

    Every worker has a part in putting sharded weights together; those that do not `keep` them get
    none.
    """
    adapter = hasattr(model, "peft_config")
    held = trained_parameters(model) if adapter else model.state_dict()
    found = {}
    for name, part in held.items():
        one = full_tensor(part.detach())
        if keep:
            found[name] = one.cpu()
    return found


def write_result(
    prepared: Prepared, weights: Mapping[str, Tensor], told: Mapping[str, Any], folder: Path
) -> None:
    """Write the folder whole, from `result_weights` and the lineage that is told.

    An adapter has PEFT's form, a model trained in full transformers' own; both load with
    `from_pretrained`. Raises StorageError when the disk refuses.
    """
    base = prepared.base
    with atomic_folder(folder, OTHER_STORAGE) as partial:
        if hasattr(prepared.model, "peft_config"):
            save_adapter(prepared.model, weights, partial)
        else:
            quietly(lambda: prepared.model.save_pretrained(partial, state_dict=dict(weights)))
        (base.processor or base.tokenizer).save_pretrained(partial)
        (partial / CARD).write_text(model_card(told, ()), encoding="utf-8")
        text = json.dumps(told, indent=1, sort_keys=True, ensure_ascii=False)
        (partial / LINEAGE_NAME).write_text(text, encoding="utf-8")


def finished(training: Training) -> bool:
    """Whether the training has a whole result already."""
    return (training.result / LINEAGE_NAME).is_file()


def renew_card(training: Training) -> None:
    """Write the card again, with the evaluations that the manifest has of the training by now."""
    metrics = evaluation_of(training.manifest, training.training_id)
    card = model_card(read_lineage(training.result), metrics)
    with atomic_file(training.result / CARD, OTHER_STORAGE) as partial:
        partial.write_text(card, encoding="utf-8")
