"""Run the training loop: steps, measurements, checkpoints, and a result that can be trusted.

The loop is the same in one process and as one of several workers (see `Communicator`). Killed at
any moment and started again it continues from the newest checkpoint, and on a CPU ends with the
same bits.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal

from medsift.progress import StepLine
from training.dataset.batches import Batch, assign_to_ranks
from training.dataset.collate import Collator, prefetch
from training.dataset.samples import Picture
from training.loop.checkpoint import CheckpointStore, Snapshot, State, restore, restore_weights
from training.loop.distributed import Communicator, SingleProcess
from training.loop.logs import Journal
from training.loop.step import Counts, Stepper, StepResult
from training.loop.throughput import Arithmetic, Clock, Lap, mfu, peak_memory_mb
from training.model.trainable import set_training
from training.policy.stepper import PolicyStepper
from training.preference.stepper import PreferenceStepper
from training.prepare import Prepared, PreparedSplit

if TYPE_CHECKING:
    from PIL.Image import Image

STEPPERS: Final[dict[str, type[Stepper]]] = {
    "sft": Stepper,
    "grpo": PolicyStepper,
    "dpo": PreferenceStepper,
}
"""What takes the steps of each objective."""
Watch = Callable[[StepLine], None]

Stream = Callable[[Sequence[Picture], int | None], Generator["Image", None, None]]
"""Decodes pictures elsewhere, to at most so many pixels, and yields them in their order."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a training ended; its model has the weights of `result_step`."""

    status: Literal["done", "stopped early"]
    state: State
    result_step: int


def train(
    prepared: Prepared,
    store: CheckpointStore,
    journal: Callable[[int], Journal] | None = None,
    communicator: Communicator | None = None,
    watch: Watch | None = None,
    stream: Stream | None = None,
) -> Outcome:
    """Train to the end, from the store's newest checkpoint on.

    Args:
        prepared: what is trained on what.
        store: where checkpoints come from and go to; every worker has one.
        journal: opens the curves, given the step that was resumed from; of the first worker alone.
        communicator: connects the workers; None is this process alone.
        watch: receives every logged step.
        stream: decodes the pictures; None is threads of this process.

    Raises:
        ModelError: a loss is not finite, memory ran out, or no gradient arrives; in one line that
            names step and samples or says what to change.
        UsageError: the checkpoint belongs to another recipe.
    """
    trainer = Trainer(prepared, store, communicator or SingleProcess(), watch, stream)
    if journal is None:
        return trainer.run()
    with closing(journal(trainer.state.step)) as trainer.journal:
        return trainer.run()


class Trainer:
    """One worker's part of a training."""

    def __init__(
        self,
        prepared: Prepared,
        store: CheckpointStore,
        communicator: Communicator,
        watch: Watch | None,
        stream: Stream | None = None,
    ) -> None:
        self.prepared, self.store, self.communicator = prepared, store, communicator
        self.watch, self.stream = watch, stream
        self.recipe, self.plan = prepared.recipe, prepared.training.plan
        self.stepper = STEPPERS[prepared.recipe.objective](prepared, communicator)
        self.state = State()
        newest = store.newest()
        if newest is not None:
            optimiser = self.stepper.optimiser
            self.state = restore(newest, prepared.model, optimiser, prepared.decisive)
        self.arithmetic = Arithmetic.of(prepared.model)
        self.clock = Clock(self.state.seconds)
        self.journal: Journal | None = None

    def run(self) -> Outcome:
        """Take every step that is left, then put the result's weights in place."""
        with ExitStack() as stack:
            batches = prefetch(self._collator(stack), self._own_batches())
            stack.enter_context(closing(batches))
            # Asked before the first step too: a training that was stale when killed must not go on.
            while self.state.step < self.plan.steps and not self._stale():
                result = self.stepper.take(self.state.step, batches)
                self._count(result)
                self._finish_step(result)
        result_step = self.state.step
        best = self.state.best_step
        if self.recipe.early_stopping is not None and best is not None and best != result_step:
            restore_weights(self.store.at(best), self.prepared.model)
            result_step = best
        return Outcome("stopped early" if self._stale() else "done", self.state, result_step)

    def _collator(self, stack: ExitStack) -> Collator:
        """Return what makes tensors of batches; a stream of its pictures ends with the stack."""
        own = self.prepared.training.collator
        if self.stream is None:
            return own
        members = (index for batch in self._own_batches() for index in batch.members)
        samples = own.encodings.samples
        pictures = tuple(picture for index in members for picture in samples[index].pictures)
        images = self.stream(pictures, self.recipe.data.max_pixels)
        stack.enter_context(closing(images))
        decoded = Collator(own.base, own.encoder, own.encodings, own.packer, images)
        return stack.enter_context(closing(decoded))

    def _own_batches(self) -> Iterator[Batch]:
        """Yield this worker's batches of all steps that are left."""
        for step in range(self.state.step, self.plan.steps):
            yield from self.plan.share(step, self.communicator.rank, self.communicator.world_size)

    def _count(self, result: StepResult) -> None:
        """Enter a step, of all workers together, into the state and the clock."""
        state = self.state
        samples, tokens, supervised, pairs = result.counts or self._planned(state.step)
        operations = self.arithmetic.operations(tokens, supervised, pairs)
        self.clock.count(Lap(result.seconds, result.waited, samples, tokens, operations))
        self.state = replace(
            state,
            step=state.step + 1,
            samples=state.samples + samples,
            tokens=state.tokens + tokens,
            supervised_tokens=state.supervised_tokens + supervised,
            seconds=self.clock.seconds,
            loss=result.loss,
            # A measurement belongs to the step that it was made after.
            held_out_loss=None,
        )

    def _planned(self, step: int) -> Counts:
        """Return what a step learns from, by the plan."""
        split = self.prepared.training
        members = [index for batch in self.plan.batches(step) for index in batch.members]
        # From the plan, not from the tensors: each worker sees only its own part.
        lengths = split.plan.lengths[members]
        supervised, pairs = split.supervised[members].sum(), (lengths * lengths).sum()
        return Counts(len(members), int(lengths.sum()), int(supervised), int(pairs))

    def _finish_step(self, result: StepResult) -> None:
        """Measure, log and keep what is due."""
        # First, as the line and the checkpoint contain the held-out loss.
        measured = self._measure()
        if measured is not None or self._due(self.recipe.log.interval_steps):
            self._log(result, measured)
        new_best = measured is not None and self.state.best_step == self.state.step
        # Without early stopping the last weights are the result, and the best need not be kept.
        # A stale state is kept, so that a restart ends at once.
        needed = self._stale() or (new_best and self.recipe.early_stopping is not None)
        if needed or self._due(self.recipe.checkpoints.interval_steps):
            decisive, optimiser = self.prepared.decisive, self.stepper.optimiser
            self.store.keep(Snapshot.of(self.prepared.model, optimiser, self.state, decisive))
            # No worker may run ahead and end before the checkpoint is written.
            self.communicator.barrier()

    def _due(self, interval: int | None) -> bool:
        # The last step is due whatever the interval: its weights may become the result.
        last = self.state.step == self.plan.steps
        return last or (interval is not None and self.state.step % interval == 0)

    def _measure(self) -> float | None:
        """Return the held-out loss where it is due, and enter it into the state."""
        held_out, config = self.prepared.held_out, self.recipe.data.held_out
        if held_out is None or config is None:
            return None
        if not self._due(config.interval_steps or self.recipe.checkpoints.interval_steps):
            return None
        loss = held_out_loss(self.prepared, held_out, self.communicator)
        stopping = self.recipe.early_stopping
        self.state = self.state.measured(loss, stopping.min_delta if stopping else 0.0)
        return loss

    def _stale(self) -> bool:
        stopping = self.recipe.early_stopping
        return stopping is not None and self.state.stale >= stopping.patience

    def _log(self, result: StepResult, measured: float | None) -> None:
        state, lap, device = self.state, self.clock.lap(), self.prepared.base.device
        line = StepLine(
            step=state.step,
            epoch=self.plan.epoch(state.step),
            loss=result.loss,
            held_out_loss=measured,
            learning_rate=result.learning_rate,
            grad_norm=result.grad_norm,
            samples=state.samples,
            tokens=state.tokens,
            supervised_tokens=state.supervised_tokens,
            seconds=state.seconds,
            samples_per_second=lap.samples / lap.seconds,
            tokens_per_second=lap.tokens / lap.seconds,
            mfu=mfu(lap.operations, lap.seconds, self.communicator.world_size, device),
            peak_memory_mb=peak_memory_mb(device),
            data_wait=lap.waited / lap.seconds,
        )
        if self.journal is not None:
            self.journal.write(line)
            if result.details is not None:
                self.journal.write_details(result.details)
        if self.watch is not None:
            self.watch(line)


def held_out_loss(prepared: Prepared, held_out: PreparedSplit, communicator: Communicator) -> float:
    """Return the mean -log p of the held-out samples' learned tokens, in nats, without dropout."""
    import torch

    plan, objective = held_out.plan, prepared.objective
    batches = [batch for step in range(plan.steps) for batch in plan.batches(step)]
    own = assign_to_ranks(batches, communicator.rank, communicator.world_size)
    prepared.model.eval()
    # Summed over all batches, where float32 would lose digits.
    total = torch.zeros((), dtype=torch.float64, device=prepared.base.device)
    with closing(prefetch(held_out.collator, own)) as prefetched, torch.no_grad():
        for micro, _ in prefetched:
            total += objective.total(micro.to(prepared.base.device)).double()
    set_training(prepared.model, prepared.recipe.vision)
    # Spare batches have weight 0, so that the tokens of the plan are those in the sum.
    return float(communicator.reduce_sum(total)) / int(held_out.supervised.sum())
