"""Take a step of direct preference optimisation, on pairs of replies from a data set."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from medsift.progress import PreferenceLine
from training.dataset.batches import Batch
from training.dataset.collate import MicroBatch, PrefetchedBatch
from training.loop.distributed import Communicator
from training.loop.step import Stepper, StepResult
from training.model.trainable import set_training
from training.policy.losses import preference_loss
from training.preference.pairs import BOTH
from training.prepare import Prepared

if TYPE_CHECKING:
    from torch import Tensor


class PreferenceStepper(Stepper):
    """Take steps on pairs; the model before training is this one without its adapters."""

    def __init__(self, prepared: Prepared, communicator: Communicator) -> None:
        super().__init__(prepared, communicator)
        self.beta = prepared.recipe.preference.beta
        self.seen: list[Tensor] = []

    def take(self, step: int, batches: Iterator[PrefetchedBatch]) -> StepResult:
        """Take a step, from 0, on the next batches. Raises ModelError; see `train`."""
        import torch

        self.seen = []
        result = super().take(step, batches)
        sums = self.communicator.reduce_sum(torch.stack(self.seen).sum(0)).tolist()
        pairs = sums.pop(0)
        margin, accuracy, chosen, rejected = (total / pairs for total in sums)
        line = PreferenceLine(step + 1, int(pairs), margin, accuracy, chosen, rejected)
        return result._replace(details=line)

    def step_weight(self, batches: Sequence[Batch]) -> float:
        """Return the summed weight of a step's pairs."""
        weights = self.prepared.training.encodings.weights
        return float(sum(weights[one.members[::BOTH]].sum() for one in batches if one.counts))

    def summed_loss(self, batch: Batch, micro: MicroBatch) -> Tensor:
        """Return the weighted sum of the losses of a batch's pairs."""
        import torch

        learned = self._of_replies(micro)
        with torch.no_grad(), self._before_training():
            reference = self._of_replies(micro)
        loss = preference_loss(
            learned[::BOTH], learned[1::BOTH], reference[::BOTH], reference[1::BOTH], self.beta
        )
        gained = (learned.detach() - reference).double() * batch.counts
        chosen, rejected = gained[::BOTH], gained[1::BOTH]
        count = torch.full((), len(chosen) * batch.counts, dtype=gained.dtype, device=gained.device)
        apart = (chosen > rejected).sum()
        sums = ((chosen - rejected).sum(), apart, chosen.sum(), rejected.sum())
        self.seen.append(torch.stack([count, *sums]))
        weights = self.prepared.training.encodings.weights[batch.members[::BOTH]] * batch.counts
        return (loss * torch.from_numpy(weights).to(loss)).sum()

    def _of_replies(self, micro: MicroBatch) -> Tensor:
        """Return the log-probability of each row's reply, summed over its tokens."""
        import torch

        log_p = -self.prepared.objective.losses(micro)
        rows = len(micro.inputs["input_ids"])
        return torch.zeros(rows, device=log_p.device).index_add(0, micro.rows, log_p)

    @contextmanager
    def _before_training(self) -> Iterator[None]:
        """Switch adapters and dropout off."""
        model = self.prepared.model
        model.eval()
        try:
            with model.disable_adapter():
                yield
        finally:
            set_training(model, self.prepared.recipe.vision)
