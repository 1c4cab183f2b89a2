"""One optimiser step: batches forward and backward, one sum over the workers, one update."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from medsift.errors import ModelError
from training.dataset.batches import Batch
from training.dataset.prefetch import PrefetchedBatch
from training.loop.distributed import Communicator, sum_gradients
from training.loop.oom import explain_oom
from training.model.loss import step_weight
from training.model.sharding import full_tensor
from training.model.trainable import check_gradients, parameter_groups, trained_parameters
from training.prepare import Prepared
from training.recipe import OptimiserConfig

if TYPE_CHECKING:
    from torch import Tensor

    from training.dataset.collate import MicroBatch

CALMER: Final = (
    "lower optimiser.lr, or look at the samples; the newest checkpoint is from before it"
)


class StepResult(NamedTuple):
    """What a step was; `waited` of its `seconds` went by until data was there."""

    loss: float
    grad_norm: float
    learning_rate: float
    seconds: float
    waited: float


def rate_factor(step: int, steps: int, config: OptimiserConfig) -> float:
    """Share of the learning rate at a step, from 0, of `steps`.

    Rises in equal parts over the warm-up, reaches 1, then falls to `config.min_lr_ratio`: by half a
    cosine (Loshchilov & Hutter 2017, arXiv 1608.03983), in a line, or not at all.
    """
    warm = math.ceil(config.warmup_ratio * steps)
    if step < warm:
        return (step + 1) / warm
    passed = (step - warm) / max(1, steps - warm)
    left = {"cosine": 0.5 * (1.0 + math.cos(math.pi * passed)), "linear": 1.0 - passed}
    return config.min_lr_ratio + (1.0 - config.min_lr_ratio) * left.get(config.schedule, 1.0)


class Stepper:
    """Take optimiser steps with AdamW; every worker takes the same ones."""

    def __init__(self, prepared: Prepared, communicator: Communicator) -> None:
        import torch

        self.prepared, self.communicator = prepared, communicator
        self.config = prepared.recipe.optimiser
        groups = parameter_groups(prepared.model, self.config, prepared.recipe.whole_modules)
        self.optimiser = torch.optim.AdamW(groups, betas=self.config.betas, eps=self.config.epsilon)
        self.parameters = list(trained_parameters(prepared.model).values())
        self.checked = prepared.recipe.lora.full

    def take(self, step: int, fed: Iterator[PrefetchedBatch]) -> StepResult:
        """Take a step, from 0, on the worker's next batches.

        Raises ModelError for a loss or gradient that is no number, and when memory runs out.
        """
        started = time.perf_counter()
        rate = self._set_rate(step)
        self.optimiser.zero_grad(set_to_none=True)
        loss, waited = self._gather(step, fed)
        norm = self._clip(step)
        with explain_oom(self.prepared.recipe, self.prepared.base.device, step):
            self.optimiser.step()
        return StepResult(loss, norm, rate, time.perf_counter() - started, waited)

    def _set_rate(self, step: int) -> float:
        factor = rate_factor(step, self.prepared.training.plan.steps, self.config)
        for group in self.optimiser.param_groups:
            group["lr"] = group["base_lr"] * factor
        return self.config.lr * factor

    def _gather(self, step: int, fed: Iterator[PrefetchedBatch]) -> tuple[float, float]:
        """Gradients of the whole step, its loss, and the seconds that data was waited for."""
        import torch

        material, workers = self.prepared.training, self.communicator.world_size
        batches = material.plan.batches(step)
        weight = step_weight(batches, material.supervised, material.encodings.weights)
        parts, waited = [], 0.0
        for turn in range(-(-len(batches) // workers)):
            micro, wait = next(fed)
            self._seed(step, turn * workers + self.communicator.rank)
            parts.append(self._backward(step, micro, weight))
            waited += wait
            self._check_gradients(micro)
        loss = self._loss(step, torch.stack(parts).double(), batches)
        if workers > 1:
            sum_gradients(self.parameters, self.communicator)
        return loss, waited

    def _seed(self, step: int, place: int) -> None:
        """Dropout depends on the seed and the batch's place in training alone."""
        import torch

        entropy = np.random.SeedSequence([self.prepared.recipe.seed, step, place])
        torch.manual_seed(int(entropy.generate_state(1, np.uint64)[0]))

    def _backward(self, step: int, micro: MicroBatch, weight: float) -> Tensor:
        device = self.prepared.base.device
        with explain_oom(self.prepared.recipe, device, step, micro):
            part = self.prepared.objective.total(micro.to(device)) / weight
            part.backward()  # type: ignore[no-untyped-call]
        return part.detach()

    def _check_gradients(self, micro: MicroBatch) -> None:
        """Once, after the first batch that shows all that a batch can show."""
        shows_all = self.prepared.base.processor is None or "pixel_values" in micro.inputs
        if shows_all and not self.checked:
            self.checked = True
            check_gradients(self.prepared.model, self.prepared.recipe.vision)

    def _loss(self, step: int, parts: Tensor, batches: Sequence[Batch]) -> float:
        """The loss of a step, from this worker's parts (rounds,) of it and all other workers'.

        Which batches gave no number is told along with it, so that every worker can name them.
        """
        import torch

        wrong = parts.new_zeros(len(parts), self.communicator.world_size)
        wrong[:, self.communicator.rank] = (~parts.isfinite()).to(wrong.dtype)
        told = self.communicator.reduce_sum(torch.cat([parts.sum().reshape(1), wrong.flatten()]))
        loss = float(told[0])
        if not math.isfinite(loss):
            named = [self._names(batches, place) for place in told[1:].nonzero().flatten().tolist()]
            on = f" on samples {named[0]}" if named else ""
            raise ModelError(
                f"the loss of step {step + 1} is no number{on}; {CALMER}", code="loss_not_finite"
            )
        return loss

    def _names(self, batches: Sequence[Batch], place: int) -> str:
        batch = batches[place] if place < len(batches) else batches[0]
        samples = self.prepared.training.encodings.samples
        return ", ".join(samples[one].row_id for one in batch.members)

    def _clip(self, step: int) -> float:
        """Norm of the gradient before it is scaled down to the largest that is allowed."""
        import torch

        limit = math.inf if self.config.max_grad_norm is None else self.config.max_grad_norm
        norm = float(full_tensor(torch.nn.utils.clip_grad_norm_(self.parameters, limit)))
        if not math.isfinite(norm):
            raise ModelError(
                f"the gradient of step {step + 1} is no number; {CALMER}", code="loss_not_finite"
            )
        return norm
