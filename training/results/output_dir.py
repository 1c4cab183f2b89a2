"""Write the folder of a result: weights, processor and chat template, lineage and model card."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from medsift.manifest.training_queries import newest_accuracies
from medsift.models.language_model import silence_transformers
from medsift.storage.atomic import atomic_file, atomic_folder
from medsift.vocabulary import LINEAGE_NAME
from training.loop.checkpoint import OTHER_STORAGE, save_adapter
from training.model.sharding import full_tensor
from training.model.trainable import trained_parameters
from training.prepare import Prepared
from training.results.card import model_card
from training.results.lineage import read_lineage
from training.training_id import Training

if TYPE_CHECKING:
    from torch import Tensor

CARD: Final = "README.md"


def result_weights(model: Any, *, keep: bool) -> dict[str, Tensor]:
    """Return the full weights of a result, on the CPU: an adapter's, or all of a model's.

    Every worker takes part in gathering sharded weights; those that do not `keep` them get none.
    """
    adapter = hasattr(model, "peft_config")
    weights = {}
    for name, weight in (trained_parameters(model) if adapter else model.state_dict()).items():
        # One at a time, so that a worker that keeps none needs memory for one.
        gathered = full_tensor(weight.detach())
        if keep:
            weights[name] = gathered.cpu()
    return weights


def write_result(
    prepared: Prepared, weights: Mapping[str, Tensor], lineage: Mapping[str, Any], folder: Path
) -> None:
    """Write the folder completely or not at all.

    An adapter has PEFT's form, a model trained in full transformers' own; both load with
    `from_pretrained`.

    Args:
        prepared: has the model, and its tokenizer or processor.
        weights: those of `result_weights`.
        lineage: says where the result comes from.
        folder: what is written.

    Raises:
        StorageError: the disk refuses.
    """
    base = prepared.base
    with atomic_folder(folder, OTHER_STORAGE) as partial:
        # PEFT's own form is what every other tool loads.
        if hasattr(prepared.model, "peft_config"):
            save_adapter(prepared.model, weights, partial)
        else:
            with silence_transformers():
                prepared.model.save_pretrained(partial, state_dict=dict(weights))
        (base.processor or base.tokenizer).save_pretrained(partial)
        (partial / CARD).write_text(model_card(lineage, ()), encoding="utf-8")
        text = json.dumps(lineage, indent=1, sort_keys=True, ensure_ascii=False)
        (partial / LINEAGE_NAME).write_text(text, encoding="utf-8")


def has_result(training: Training) -> bool:
    """Return whether the training has a complete result already."""
    return (training.result / LINEAGE_NAME).is_file()


def renew_card(training: Training) -> None:
    """Write the card again, with the evaluations of the training that the manifest has by now."""
    metrics = newest_accuracies(training.manifest, training.training_id)
    card = model_card(read_lineage(training.result), metrics)
    with atomic_file(training.result / CARD, OTHER_STORAGE) as partial:
        partial.write_text(card, encoding="utf-8")
