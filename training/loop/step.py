"""Take one optimiser step: batches forward and backward, one sum over the workers, one update."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

import numpy as np

from medsift.errors import ModelError
from medsift.progress import PolicyLine, PreferenceLine
from training.dataset.batches import Batch
from training.dataset.collate import PrefetchedBatch
from training.loop.distributed import Communicator, sum_gradients
from training.loop.throughput import MEGABYTE, peak_memory_mb
from training.model.loss import step_weight
from training.model.sharding import full_tensor
from training.model.trainable import check_gradients, parameter_groups, trained_parameters
from training.prepare import Prepared
from training.recipe import OptimiserConfig, TrainingRecipe

if TYPE_CHECKING:
    from torch import Tensor

    from training.dataset.collate import MicroBatch

CPU_MESSAGE: Final = "can't allocate memory"
"""torch raises no type of its own where a CPU runs out of memory."""


class Counts(NamedTuple):
    """What a step learned from: samples, their tokens, and how many of these were learned.

    `pairs` sums the squared lengths of the sequences.
    """

    samples: int
    tokens: int
    supervised: int
    pairs: int


class StepResult(NamedTuple):
    """What a step gave; for `waited` of its `seconds` it waited for data.

    `counts` are None where they follow from the plan, `details` where answers alone are learned.
    """

    loss: float
    grad_norm: float
    learning_rate: float
    seconds: float
    waited: float
    counts: Counts | None = None
    details: PolicyLine | PreferenceLine | None = None


def rate_factor(step: int, steps: int, config: OptimiserConfig) -> float:
    """Return the share of the learning rate at a step, from 0, of `steps`.

    It rises in equal parts over the warm-up, reaches 1, then falls to `config.min_lr_ratio`: by
    half a cosine (Loshchilov & Hutter 2017, arXiv 1608.03983), in a line, or not at all. It follows
    from the step alone, so that a resumed training has nothing to restore.
    """
    warm_up = math.ceil(config.warmup_ratio * steps)
    if step < warm_up:
        # The first step already moves: at a rate of 0 it would be lost.
        return (step + 1) / warm_up
    # Below 1 at the last step too: a step at a rate of 0 would be lost.
    passed = (step - warm_up) / max(1, steps - warm_up)
    left = {"cosine": 0.5 * (1.0 + math.cos(math.pi * passed)), "linear": 1.0 - passed}
    return config.min_lr_ratio + (1.0 - config.min_lr_ratio) * left.get(config.schedule, 1.0)


class Stepper:
    """Take optimiser steps with AdamW; every worker takes the same ones."""

    def __init__(self, prepared: Prepared, communicator: Communicator) -> None:
        import torch

        self.prepared, self.communicator = prepared, communicator
        self.config = prepared.recipe.optimiser
        groups = parameter_groups(prepared.model, self.config, prepared.recipe.modules_to_save)
        self.optimiser = torch.optim.AdamW(groups, betas=self.config.betas, eps=self.config.epsilon)
        self.parameters = list(trained_parameters(prepared.model).values())
        # With all weights training, parts that no loss reaches are no fault of the recipe.
        self.gradients_checked = prepared.recipe.lora.full

    def take(self, step: int, batches: Iterator[PrefetchedBatch]) -> StepResult:
        """Take a step, from 0, on the next batches. Raises ModelError; see `train`."""
        started = time.perf_counter()
        rate = self.begin(step, self.prepared.training.plan.steps)
        loss, waited = self._accumulate(step, batches)
        norm = self.update(step)
        return StepResult(loss, norm, rate, time.perf_counter() - started, waited)

    def begin(self, update: int, updates: int) -> float:
        """Set the learning rate of an update, from 0, of `updates`, and forget the gradients."""
        share = rate_factor(update, updates, self.config)
        for group in self.optimiser.param_groups:
            group["lr"] = group["base_lr"] * share
        # None, not zero: `check_gradients` looks for weights that nothing reached.
        self.optimiser.zero_grad(set_to_none=True)
        return self.config.lr * share

    def update(self, step: int) -> float:
        """Change the weights by their gradients; return the norm of these, before clipping."""
        import torch

        # An infinite limit clips nothing, and the norm is still measured.
        limit = math.inf if self.config.max_grad_norm is None else self.config.max_grad_norm
        norm = float(full_tensor(torch.nn.utils.clip_grad_norm_(self.parameters, limit)))
        # Before the update, which would spread NaN to all weights and moments.
        if not math.isfinite(norm):
            raise not_finite("gradient", step)
        with explain_oom(self.prepared.recipe, self.prepared.base.device, step, "moments"):
            self.optimiser.step()
        return norm

    def _accumulate(self, step: int, prefetched: Iterator[PrefetchedBatch]) -> tuple[float, float]:
        """Add up the step's gradients; return its loss and the seconds that data was waited for."""
        import torch

        plan, workers = self.prepared.training.plan, self.communicator.world_size
        batches = plan.batches(step)
        # Known before the first batch, so that each batch adds its part of the step's mean at once.
        weight = self.step_weight(batches)
        parts, waited = [], 0.0
        for turn, batch in enumerate(plan.share(step, self.communicator.rank, workers)):
            micro, wait = next(prefetched)
            # Dropout follows from the seed and the batch's place in training, not from the worker.
            place = turn * workers + self.communicator.rank
            entropy = np.random.SeedSequence([self.prepared.recipe.seed, step, place])
            torch.manual_seed(int(entropy.generate_state(1, np.uint64)[0]))
            device = self.prepared.base.device
            with explain_oom(self.prepared.recipe, device, step, micro):
                # Divided here, so that workers only add their gradients.
                part = self.summed_loss(batch, micro.to(device)) / weight
                part.backward()  # type: ignore[no-untyped-call]
            # Left on the device: to read it here would wait for the GPU after every batch.
            parts.append(part.detach())
            waited += wait
            # Once, after the first batch with pictures where the model sees.
            shows_all = self.prepared.base.processor is None or "pixel_values" in micro.inputs
            if shows_all and not self.gradients_checked:
                self.gradients_checked = True
                check_gradients(self.prepared.model, self.prepared.recipe.vision)
        loss = self._loss(step, torch.stack(parts).double(), batches)
        # Once a step and not once a batch, as messages take longer than additions.
        if workers > 1:
            sum_gradients(self.parameters, self.communicator)
        return loss, waited

    def step_weight(self, batches: Sequence[Batch]) -> float:
        """Return the summed weight of what a step learns."""
        split = self.prepared.training
        return step_weight(batches, split.supervised, split.encodings.weights)

    def summed_loss(self, batch: Batch, micro: MicroBatch) -> Tensor:
        """Return the weighted sum of a batch's losses, given its tensors."""
        return self.prepared.objective.total(micro)

    def _loss(self, step: int, parts: Tensor, batches: Sequence[Batch]) -> float:
        """Sum the loss of a step, from this worker's parts (rounds,) of it and all other workers'.

        Which batches were not finite is sent along, so that every worker can name them.
        """
        import torch

        wrong = parts.new_zeros(len(parts), self.communicator.world_size)
        wrong[:, self.communicator.rank] = (~parts.isfinite()).to(wrong.dtype)
        message = torch.cat([parts.sum().reshape(1), wrong.flatten()])
        summed = self.communicator.reduce_sum(message)
        # Every worker sees the same sum, so that all stop together and none waits for another.
        loss = float(summed[0])
        if not math.isfinite(loss):
            places = summed[1:].nonzero().flatten().tolist()
            rows: list[str] = []
            if places:
                # Rounds times ranks are the step's batches in order; a spare is the first.
                batch = batches[places[0]] if places[0] < len(batches) else batches[0]
                samples = self.prepared.training.encodings.samples
                rows = [samples[index].row_id for index in batch.members]
            raise not_finite("loss", step, rows)
        return loss


def not_finite(what: str, step: int, rows: Sequence[str] = ()) -> ModelError:
    """Return the error of a loss or gradient that is no number, in a step from 0."""
    on = f" on samples {', '.join(rows)}" if rows else ""
    message = (
        f"the {what} of step {step + 1} is no number{on}; lower optimiser.lr, or look at the "
        "samples; the newest checkpoint is from before it"
    )
    return ModelError(message, code="loss_not_finite", what=what, step=step + 1, rows=list(rows))


Need = Literal["moments", "replies"]
"""What needs memory besides batches: the optimiser's moments, and the drawing of replies."""


@contextmanager
def explain_oom(
    recipe: TrainingRecipe, device: str, step: int, needed: MicroBatch | Need
) -> Iterator[None]:
    """Turn out of memory into a ModelError with the measured peak and a remedy.

    Args:
        recipe: the settings that can be changed.
        device: where memory ran out.
        step: the step, from 0.
        needed: the batch, or what else, that did not fit.
    """
    import torch

    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, torch.OutOfMemoryError) and CPU_MESSAGE not in str(error):
            raise
        what, changes = _remedies(recipe, needed)
        peak = peak_memory_mb(device)
        total = "" if device == "cpu" else f" of {torch.cuda.mem_get_info()[1] / MEGABYTE:.0f}"
        message = (
            f"out of memory in step {step + 1} on {what}: the peak was {peak:.0f} MiB{total}; "
            f"{', or '.join(changes.values())}"
        )
        raise ModelError(
            message, code="memory_exhausted", step=step + 1, peak_mb=peak, changes=list(changes)
        ) from error


def _remedies(recipe: TrainingRecipe, needed: MicroBatch | Need) -> tuple[str, dict[str, str]]:
    """Return what did not fit, and for each setting that can be changed, how."""
    if needed == "replies":
        policy = recipe.policy
        return f"the drawing of {policy.group} replies", {
            "policy.group": f"lower policy.group (now {policy.group})",
            "policy.max_new_tokens": f"lower policy.max_new_tokens (now {policy.max_new_tokens})",
        }
    if needed == "moments":
        full = {"lora.full": "train adapters instead of lora.full"}
        rank = {"lora.rank": "lower lora.rank"}
        return "the optimiser's moments", full if recipe.lora.full else rank
    rows, width = needed.inputs["input_ids"].shape
    tokens, pixels = recipe.batches.max_tokens, recipe.data.max_pixels or "without limit"
    changes = {"batches.max_tokens": f"lower batches.max_tokens (now {tokens})"}
    if "pixel_values" in needed.inputs:
        changes["data.max_pixels"] = f"lower data.max_pixels (now {pixels})"
    if not recipe.gradient_checkpointing:
        changes["gradient_checkpointing"] = "set gradient_checkpointing: true"
    return f"{rows} x {width} tokens", changes
