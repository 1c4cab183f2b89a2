"""Put together everything that a training needs, from its recipe: the same on every worker."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from medsift import records
from medsift.arrays import Indices
from medsift.errors import InputError, UsageError
from training.dataset.batches import Batch, BatchPlan
from training.dataset.chat_labels import ChatEncoder
from training.dataset.collate import Collator
from training.dataset.encode_dataset import Drop, Encodings, encode_samples, longest_allowed
from training.dataset.packing import Packer, check_packing
from training.dataset.sample_weights import SampleWeights, describe_mixture, sample_weights
from training.dataset.samples import Sample, Selected, read_selection
from training.dataset.shared_tokens import HELD_OUT, TRAINING, SharedTokens
from training.dataset.validation_split import hold_out
from training.model.base_model import NO_GPU, Base, arithmetic, load_base
from training.model.loss import Objective
from training.model.trainable import prepare_model, set_training
from training.policy.questions import askable
from training.preference.pairs import BOTH, PairPlan, both_replies, paired_samples
from training.recipe import BatchesConfig, TrainingRecipe

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PreparedSplit:
    """Samples as tokens, the order in which they come, and what makes tensors of them."""

    encodings: Encodings
    supervised: Indices
    plan: BatchPlan
    collator: Collator


@dataclass(frozen=True, slots=True)
class Prepared:
    """A training that is ready to begin."""

    recipe: TrainingRecipe
    base: Base
    model: Any
    objective: Objective
    training: PreparedSplit
    held_out: PreparedSplit | None
    """Measured in one pass of its own plan."""
    decisive: Mapping[str, Any]
    """What a checkpoint must agree with to be resumed from."""
    example: str
    """One chat as text, with what is learned of it marked."""
    leaks: tuple[Drop, ...] = ()
    """Samples left out because they are near a benchmark."""
    unmeasured: tuple[Drop, ...] = ()
    """All samples that were to be held out, where none of them can be measured."""
    unasked: tuple[Drop, ...] = ()
    """Samples that make no question with a reward, or that have no pair of replies, where the
    objective needs them."""
    mixture: Mapping[str, Any] | None = None
    """What the mixture made of the samples trained on; None without one."""

    @property
    def trained_on(self) -> int:
        """Samples that are learned from, or pairs of replies to them."""
        samples = len(self.training.encodings.samples)
        return samples // BOTH if self.recipe.objective == "dpo" else samples

    @property
    def dropped(self) -> tuple[Drop, ...]:
        """Samples that were selected and are neither trained on nor measured, and why."""
        held_out = self.held_out.encodings.dropped if self.held_out else ()
        return (
            self.leaks + self.unasked + self.unmeasured + self.training.encodings.dropped + held_out
        )

    def close(self) -> None:
        """End the threads that decode pictures."""
        for split in (self.training, self.held_out):
            if split is not None:
                split.collator.close()


def prepare(
    recipe: TrainingRecipe,
    left_out: Mapping[str, str] | None = None,
    selected: Selected | None = None,
    tokens: SharedTokens | None = None,
) -> Prepared:
    """Read the selection, load the model, encode every sample, and plan the order.

    Args:
        recipe: what is trained on what.
        left_out: rows that are neither trained on nor measured, and why.
        selected: the samples, where they have been read.
        tokens: where the workers share their tokens; None tokenises in this process.

    Raises:
        ManifestError: there is no such selection.
        InputError: nothing can be trained on, pictures vanished, or held-out samples leak.
        ModelError: the model cannot be loaded, or cannot be trained in this way.
        RecipeError, UsageError: the recipe does not fit the model, the samples or the machine.
    """
    import torch

    if recipe.workers.gpus and not torch.cuda.is_available():
        message = f"workers.gpus: {NO_GPU.format(setting='workers.gpus')}"
        raise UsageError(message, code="gpu_missing", setting="workers.gpus")
    if selected is None:
        split = recipe.held_out_split
        selected = read_selection(
            recipe.run, recipe.selection, recipe.run_id, split, recipe.preferences
        )
    selected, leaks = _without(selected, left_out or {})
    samples, held_out_samples = hold_out(selected, recipe.data.held_out, recipe.seed)
    unasked: tuple[Drop, ...] = ()
    if recipe.objective == "grpo":
        samples, unasked = askable(samples, recipe.policy)
    elif recipe.objective == "dpo":
        samples, unasked = paired_samples(samples)
    weights = sample_weights(samples, recipe.data)
    quantised = recipe.lora.quantise is not None
    base = load_base(recipe.base, recipe.precision, recipe.lora.full, quantised)
    encoder = ChatEncoder(base, recipe.data.max_pixels)
    training = _training_split(recipe, encoder, samples, weights, tokens)
    held_out, unmeasured = _held_out_split(recipe, encoder, held_out_samples, tokens)
    example = encoder.decoded_example(training.encodings.encoded[0])
    logger.info("one training sample, what is learned between ⟦ and ⟧:\n%s", example)
    model = prepare_model(base, recipe)
    objective = Objective(model, base.device, arithmetic(recipe.precision))
    if recipe.batches.packing:
        _try_packing(base, objective, training)
        set_training(model, recipe.vision)
    names = {"run_id": selected.run_id, "selection": selected.selection}
    ids = (sample.row_id for sample in training.encodings.samples)
    counts = training.encodings.weights.tolist(), training.plan.lengths.tolist()
    # With their lengths, so that another tokenizer or processor is noticed on resuming.
    rows = list(zip(ids, *counts, strict=True))
    return Prepared(
        recipe=recipe,
        base=base,
        model=model,
        objective=objective,
        training=training,
        held_out=held_out,
        decisive=recipe.decisive() | names | {"samples": records.fingerprint(rows)},
        example=example,
        leaks=leaks,
        unmeasured=unmeasured,
        unasked=unasked,
        mixture=describe_mixture(
            training.encodings.samples,
            SampleWeights(training.encodings.weights, training.encodings.odds),
            recipe.data,
        ),
    )


def _without(selected: Selected, left_out: Mapping[str, str]) -> tuple[Selected, tuple[Drop, ...]]:
    """Return the selection without some rows, and the ledger of these. Raises InputError."""
    kept = tuple(sample for sample in selected.samples if sample.row_id not in left_out)
    if not kept:
        message = (
            f"every sample of selection {selected.selection!r} is in a benchmark or near one, and "
            "leaks is drop; name another selection"
        )
        raise InputError(message, code="selection_contaminated", selection=selected.selection)
    dropped = tuple(
        Drop(sample.sample_id, sample.row_id, "leak", detail=left_out[sample.row_id])
        for sample in selected.samples
        if sample.row_id in left_out
    )
    return replace(selected, samples=kept), dropped


def _training_split(
    recipe: TrainingRecipe,
    encoder: ChatEncoder,
    samples: tuple[Sample, ...],
    weights: SampleWeights,
    tokens: SharedTokens | None,
) -> PreparedSplit:
    # The replies of a pair take a row each.
    together = BOTH if recipe.objective == "dpo" else 1
    limit = longest_allowed(
        encoder.base, recipe.data.max_tokens, recipe.batches.max_tokens // together
    )
    tokenise = None if tokens is None else partial(tokens.encode, TRAINING)
    loss, odds = weights.loss, weights.odds
    if recipe.objective == "dpo":
        samples, loss = both_replies(samples), np.repeat(loss, BOTH)
        odds = None if odds is None else np.repeat(odds, BOTH)
    encodings = encode_samples(
        encoder, samples, loss, limit, odds=odds, tokenise=tokenise, together=together
    )
    alone = BatchesConfig(max_samples=1, max_tokens=recipe.batches.max_tokens, grouped=False)
    asks = recipe.objective == "grpo"
    plan = (PairPlan if recipe.objective == "dpo" else BatchPlan)(
        lengths=_lengths(encodings),
        config=alone if asks else recipe.batches,
        seed=recipe.seed,
        per_step=recipe.policy.prompts if asks else recipe.batches_per_step,
        odds=encodings.odds,
        wanted_steps=recipe.steps,
        epochs=recipe.passes,
        wanted_samples=recipe.pairs,
    )
    return _split(recipe, encoder, encodings, plan)


def _held_out_split(
    recipe: TrainingRecipe,
    encoder: ChatEncoder,
    samples: tuple[Sample, ...],
    tokens: SharedTokens | None,
) -> tuple[PreparedSplit | None, tuple[Drop, ...]]:
    """Prepare the samples that are measured; every token of theirs counts the same.

    None, with the ledger of all samples, where none of them can be measured: a few odd samples
    must not end a training that only meant to watch them. With early stopping the training depends
    on them, and InputError is raised.
    """
    if not samples:
        return None, ()
    limit = longest_allowed(encoder.base, recipe.data.max_tokens, recipe.batches.max_tokens)
    required = recipe.early_stopping is not None
    ones = np.ones(len(samples))
    tokenise = None if tokens is None else partial(tokens.encode, HELD_OUT)
    encodings = encode_samples(encoder, samples, ones, limit, required=required, tokenise=tokenise)
    if not encodings.samples:
        return None, encodings.dropped
    # One fixed order, so that equal weights have equal losses to the bit.
    plan = BatchPlan(_lengths(encodings), recipe.batches, seed=0, per_step=1, epochs=1.0)
    return _split(recipe, encoder, encodings, plan), ()


def _lengths(encodings: Encodings) -> Indices:
    return np.array([chat.length for chat in encodings.encoded], np.int64)


def _split(
    recipe: TrainingRecipe, encoder: ChatEncoder, encodings: Encodings, plan: BatchPlan
) -> PreparedSplit:
    packer = Packer(encoder.base) if recipe.batches.packing else None
    supervised = np.array([chat.supervised for chat in encodings.encoded], np.int64)
    collator = Collator(encoder.base, encoder, encodings, packer)
    return PreparedSplit(encodings, supervised, plan, collator)


def _try_packing(base: Base, objective: Objective, split: PreparedSplit) -> None:
    """Raise ModelError unless two samples in one row have the losses that each has alone."""
    import torch

    # Dropout would differ between the two.
    objective.model.eval()
    with (
        closing(Collator(base, split.collator.encoder, split.encodings)) as padding,
        torch.no_grad(),
    ):
        for pair in packing_trials(split):
            packed = objective.losses(split.collator(Batch((pair,))).to(base.device))
            alone = torch.cat(
                [objective.losses(padding(Batch(((sample,),))).to(base.device)) for sample in pair]
            )
            check_packing(base.name, packed.cpu().numpy(), alone.cpu().numpy(), objective.dtype)


def packing_trials(split: PreparedSplit) -> list[tuple[int, ...]]:
    """Return the samples that are tried in one row: the two shortest, without and with pictures.

    In a mixed selection the shortest are text alone, and models number the positions of pictures
    in another way. A single sample with pictures is tried after the shortest without.
    """
    order = [int(sample) for sample in np.argsort(split.plan.lengths, kind="stable")]
    samples = split.encodings.samples
    pictured = [sample for sample in order if samples[sample].pictures][:2]
    text_alone = [sample for sample in order if not samples[sample].pictures][:1]
    second = pictured if len(pictured) > 1 else [*text_alone, *pictured]
    trials = [tuple(order[:2]), tuple(second)]
    return list(dict.fromkeys(trial for trial in trials if trial))
