"""Write the folder of a result: weights, processor and chat template, lineage and model card."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml

from medsift.manifest.training_queries import newest_accuracies
from medsift.markdown import code, plain
from medsift.models.language_model import silence_transformers
from medsift.storage.atomic import atomic_file, atomic_folder
from medsift.storage.mirror import is_mirrored
from medsift.storage.stored_folder import fetch_folder, has_folder, relist
from medsift.vocabulary import LINEAGE_NAME
from training.loop.checkpoint import OTHER_STORAGE, save_adapter
from training.model.sharding import full_tensor
from training.model.trainable import trained_parameters
from training.prepare import Prepared
from training.results.lineage import has_all_weights, read_lineage
from training.training_id import Training

if TYPE_CHECKING:
    from torch import Tensor

CARD: Final = "README.md"
LIMITS: Final = """\
Not a medical device. Not for diagnosis, triage or treatment, and not a substitute for a clinician.
It answers from a picture and a question alone, is wrong without saying so, and was not tested on
patients. Figures below, if any, hold for their benchmark alone. The licences of the base model and
of every training source apply."""
LEAKS: Final = {
    True: "**Trained despite known or unchecked leaks: scores on these benchmarks prove nothing.**",
    False: "No sample that was trained on is known to be in them, or near and unresolved.",
    None: "**Compared with no benchmark: leaks are unchecked, and scores may rest on them.**",
}


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
    """Return whether the training has a complete result already, which is then on this machine."""
    if not is_mirrored(training.result):
        return (training.result / LINEAGE_NAME).is_file()
    if not has_folder(training.result):
        return False
    fetch_folder(training.result)
    return True


def renew_card(training: Training) -> None:
    """Write the card again, with the evaluations of the training that the manifest has by now."""
    metrics = newest_accuracies(training.manifest, training.training_id)
    card = model_card(read_lineage(training.result), metrics)
    with atomic_file(training.result / CARD, OTHER_STORAGE) as partial:
        partial.write_text(card, encoding="utf-8")
    relist(training.result, CARD)


def model_card(lineage: Mapping[str, Any], metrics: Sequence[Mapping[str, Any]]) -> str:
    """Return the card in Markdown, from a lineage and rows of the manifest's `metrics`."""
    base, selection = lineage["base"], lineage["selection"]
    adapter = not has_all_weights(lineage)
    head = {"base_model": base["name"], "tags": ["medical", "medsift"]}
    if adapter:
        head["library_name"] = "peft"
    revision = f" at {code(base['revision'])}" if base["revision"] else ""
    benchmarks = ", ".join(code(name) for name in lineage["benchmarks"])
    leaks = f"{benchmarks + ': ' if benchmarks else ''}{LEAKS[lineage['contaminated']]}"
    leaks += "".join(f"\n- {plain(reason)}" for reason in lineage["reasons"])
    parts = [
        f"---\n{yaml.safe_dump(head, sort_keys=True)}---\n",
        f"# {plain(lineage['training_id'])}\n",
        f"{'An adapter for' if adapter else 'A full fine-tuning of'} {code(base['name'])}"
        f"{revision}, trained by MedSift {lineage['packages']['medsift']} on "
        f"{lineage['trained_on']} of the {selection['samples']} samples of selection "
        f"{code(selection['name'])} of run {code(lineage['run_id'])} "
        f"({lineage['steps']} steps, result of step {lineage['result_step']}).\n",
        f"## Limits\n\n{LIMITS}\n",
        f"## Benchmarks kept out\n\n{leaks}\n",
        f"## Evaluation\n\n{_scores(metrics)}\n",
        "`lineage.json` holds the recipe, seeds, versions and fingerprints.\n",
    ]
    # Trainings before notes existed have none in their lineage.
    if notes := lineage.get("notes"):
        parts.insert(-2, "## Notes\n\n" + "\n".join(f"- {plain(note)}" for note in notes) + "\n")
    return "\n".join(parts)


def _scores(metrics: Sequence[Mapping[str, Any]]) -> str:
    if not metrics:
        return "Not evaluated yet; `medsift evaluate --adapter` does."

    def number(value: float | None) -> str:
        return "unknown" if value is None else f"{value:.3f}"

    head = "| benchmark | protocol | accuracy | 95% interval | n | images | unparsed |"
    rows = [
        f"| {plain(row['benchmark'])} | {plain(row['protocol'])} | {number(row['value'])} "
        f"| {number(row['low'])} to {number(row['high'])} | {row['n']} | {row['clusters']} "
        f"| {number(row['unparsed_rate'])} |"
        for row in metrics
    ]
    return "\n".join([head, "|---|---|---|---|---|---|---|", *rows])
