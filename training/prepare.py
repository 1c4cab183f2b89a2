"""Everything that a training needs, put together from its recipe: the same on every worker."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from medsift import records
from medsift.arrays import Doubles, Indices
from medsift.errors import InputError, UsageError
from training.dataset.batches import Batch, BatchPlan
from training.dataset.chat_labels import ChatEncoder
from training.dataset.collate import Collator
from training.dataset.encode_dataset import Drop, Encodings, encode_samples, longest_allowed
from training.dataset.packing import Packer, check_packing
from training.dataset.sample_weights import sample_weights
from training.dataset.samples import Sample, Selected, read_selection
from training.dataset.validation_split import hold_out
from training.model.base_model import NO_GPU, Base, arithmetic, load_base
from training.model.loss import Objective
from training.model.trainable import prepare_model, set_training
from training.recipe import TrainingRecipe

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PreparedSplit:
    """Samples with their tokens, the order in which they come, and what makes tensors of them."""

    encodings: Encodings
    lengths: Indices
    supervised: Indices
    plan: BatchPlan
    collator: Collator


@dataclass(frozen=True, slots=True)
class Prepared:
    """A training that could begin.

    `held_out` is measured in one pass of its own plan. `decisive` is what a checkpoint must
    agree with to be gone on from. `example` is one chat as text, what is learned of it marked.
    `leaks` and `unmeasured` are samples left out before: near a benchmark, and all that were to be
    held out where none of them could be.
    """

    recipe: TrainingRecipe
    run_id: str
    selection: str
    base: Base
    model: Any
    objective: Objective
    training: PreparedSplit
    held_out: PreparedSplit | None
    decisive: Mapping[str, Any]
    example: str
    leaks: tuple[Drop, ...] = ()
    unmeasured: tuple[Drop, ...] = ()

    @property
    def dropped(self) -> tuple[Drop, ...]:
        """Samples that were selected and are neither trained on nor measured, and why."""
        held = self.held_out.encodings.dropped if self.held_out else ()
        return self.leaks + self.unmeasured + self.training.encodings.dropped + held

    def close(self) -> None:
        """End threads."""
        for material in (self.training, self.held_out):
            if material is not None:
                material.collator.close()


def prepare(
    recipe: TrainingRecipe,
    left_out: Mapping[str, str] | None = None,
    given: Selected | None = None,
) -> Prepared:
    """Read the selection, load the model, encode every sample, and plan the order.

    `left_out` are rows that are neither trained on nor measured, and why. `given` are the samples,
    where they have been read.

    Raises:
        ManifestError: there is no such selection.
        InputError: nothing can be trained on, pictures vanished, or held-out samples leak.
        ModelError: the model cannot be loaded, or cannot be trained in this way.
        RecipeError, UsageError: the recipe does not fit the model, the samples or the machine.
    """
    _check_machine(recipe)
    if given is None:
        given = read_selection(recipe.run, recipe.selection, recipe.run_id, recipe.held_out_split)
    selected, leaks = _without(given, left_out or {})
    samples, held = hold_out(selected, recipe.data.held_out, recipe.seed)
    weights = sample_weights(samples, recipe.data)
    full, quantised = recipe.lora.full, recipe.lora.quantise is not None
    base = load_base(recipe.base, recipe.precision, full, quantised)
    encoder = ChatEncoder(base, recipe.data.max_pixels)
    training = _training_material(recipe, base, encoder, samples, weights)
    held_out, unmeasured = _held_out_material(recipe, base, encoder, held)
    example = encoder.decoded_example(training.encodings.encoded[0])
    logger.info("one training sample, what is learned between ⟦ and ⟧:\n%s", example)
    model = prepare_model(base, recipe)
    objective = Objective(model, base.device, arithmetic(recipe.precision))
    if recipe.batches.packing:
        _try_packing(base, objective, training)
        set_training(model, recipe.vision)
    return Prepared(
        recipe=recipe,
        run_id=selected.run_id,
        selection=selected.selection,
        base=base,
        model=model,
        objective=objective,
        training=training,
        held_out=held_out,
        decisive=_decisive(recipe, selected, training),
        example=example,
        leaks=leaks,
        unmeasured=unmeasured,
    )


def _without(selected: Selected, left_out: Mapping[str, str]) -> tuple[Selected, tuple[Drop, ...]]:
    """The selection without some rows, and the ledger of these. Raises InputError."""
    kept = tuple(one for one in selected.samples if one.row_id not in left_out)
    if not kept:
        raise InputError(
            f"every sample of selection {selected.selection!r} is in a benchmark or near one, and "
            "leaks is drop; name another selection",
            code="selection_contaminated",
        )
    gone = tuple(
        Drop(one.sample_id, one.row_id, "leak", detail=left_out[one.row_id])
        for one in selected.samples
        if one.row_id in left_out
    )
    return replace(selected, samples=kept), gone


def _check_machine(recipe: TrainingRecipe) -> None:
    import torch

    if recipe.workers.gpus and not torch.cuda.is_available():
        raise UsageError(
            f"workers.gpus: {NO_GPU.format(setting='workers.gpus')}", code="gpu_missing"
        )


def _training_material(
    recipe: TrainingRecipe,
    base: Base,
    encoder: ChatEncoder,
    samples: Sequence[Sample],
    weights: Doubles,
) -> PreparedSplit:
    limit = longest_allowed(base, recipe.data.max_tokens, recipe.batches.max_tokens)
    encodings = encode_samples(encoder, samples, weights, limit)
    drawn = recipe.data.weights == "sampling"
    plan = BatchPlan(
        lengths=_lengths(encodings),
        config=recipe.batches,
        seed=recipe.seed,
        per_step=recipe.batches_per_step,
        odds=encodings.weights if drawn else None,
        wanted_steps=recipe.steps,
        epochs=recipe.passes,
    )
    if drawn:
        encodings = _unweighted(encodings)
    return _material(recipe, base, encoder, encodings, plan)


def _held_out_material(
    recipe: TrainingRecipe, base: Base, encoder: ChatEncoder, samples: Sequence[Sample]
) -> tuple[PreparedSplit | None, tuple[Drop, ...]]:
    """Every token counts the same here; batches come in one order.

    None, with the ledger of all samples, where none of them can be measured: a few odd samples
    must not end a training that only meant to watch them. Raises InputError where it was to be
    stopped by them.
    """
    if not samples:
        return None, ()
    limit = longest_allowed(base, recipe.data.max_tokens, recipe.batches.max_tokens)
    ones = np.ones(len(samples))
    encodings = encode_samples(encoder, samples, ones, limit, some=bool(recipe.early_stopping))
    if not encodings.samples:
        return None, encodings.dropped
    plan = BatchPlan(_lengths(encodings), recipe.batches, seed=0, per_step=1, epochs=1.0)
    return _material(recipe, base, encoder, encodings, plan), ()


def _material(
    recipe: TrainingRecipe, base: Base, encoder: ChatEncoder, encodings: Encodings, plan: BatchPlan
) -> PreparedSplit:
    packer = Packer(base) if recipe.batches.packing else None
    supervised = np.array([one.supervised for one in encodings.encoded], np.int64)
    collator = Collator(base, encoder, encodings, packer)
    return PreparedSplit(encodings, plan.lengths, supervised, plan, collator)


def _lengths(encodings: Encodings) -> Indices:
    return np.array([one.length for one in encodings.encoded], np.int64)


def _unweighted(encodings: Encodings) -> Encodings:
    ones = np.ones(len(encodings.samples))
    return Encodings(encodings.samples, encodings.encoded, ones, encodings.dropped)


def _try_packing(base: Base, objective: Objective, material: PreparedSplit) -> None:
    """Two samples in one row must lose what each loses alone. Raises ModelError."""
    import torch

    padding = Collator(base, material.collator.encoder, material.encodings)
    objective.model.eval()
    with closing(padding), torch.no_grad():
        for pair in packing_trials(material):
            packed = objective.losses(material.collator(Batch((pair,))).to(base.device))
            alone = torch.cat(
                [objective.losses(padding(Batch(((place,),))).to(base.device)) for place in pair]
            )
            check_packing(base.name, packed.cpu().numpy(), alone.cpu().numpy(), objective.dtype)


def packing_trials(material: PreparedSplit) -> list[tuple[int, ...]]:
    """Samples that are tried in one row: the two shortest, and the two shortest with pictures.

    In a mixed selection the shortest are text alone, and pictures number their places in another
    way. A single sample with pictures is tried behind the shortest without.
    """
    order = [int(place) for place in np.argsort(material.lengths, kind="stable")]
    samples = material.encodings.samples
    shown = [place for place in order if samples[place].pictures][:2]
    bare = [place for place in order if not samples[place].pictures][:1]
    trials = [tuple(order[:2]), tuple(shown if len(shown) > 1 else [*bare, *shown])]
    return list(dict.fromkeys(trial for trial in trials if trial))


def _decisive(
    recipe: TrainingRecipe, selected: Selected, material: PreparedSplit
) -> dict[str, Any]:
    lines = zip(
        (sample.row_id for sample in material.encodings.samples),
        material.encodings.weights.tolist(),
        material.lengths.tolist(),
        strict=True,
    )
    names = {"run_id": selected.run_id, "selection": selected.selection}
    return recipe.decisive() | names | {"samples": records.fingerprint(list(lines))}
