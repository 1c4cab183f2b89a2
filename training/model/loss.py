"""The loss: weighted negative log-likelihood of the tokens that are learned.

    loss = sum over a step's learned tokens of weight * -log p  /  sum of their weights

where the sums run over the whole step: all its batches, on all workers. The second sum is known
from the plan, so that every batch adds its share of the gradient as it comes and nothing depends
on how a step is cut (accumulation, rows, workers).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from medsift.arrays import Doubles, Indices
from medsift.models.likelihood import AnswerHead
from training.dataset.batches import Batch
from training.dataset.collate import MicroBatch

if TYPE_CHECKING:
    from torch import Tensor


class Objective:
    """Losses under a model; logits are computed at the places of learned tokens alone.

    Forward passes run in `dtype` arithmetic (autocast) when it is bfloat16.
    """

    def __init__(self, model: Any, device: str, dtype: str) -> None:
        self.model = model
        self.device = device
        self.dtype = dtype
        self.head = AnswerHead(model)

    def total(self, micro: MicroBatch) -> Tensor:
        """Sum, in float32, of weight * -log p over the learned tokens of a batch."""
        return (self.losses(micro) * micro.weights).sum()

    def losses(self, micro: MicroBatch) -> Tensor:
        """-log p (n,) of every learned token of a batch, in float32 nats."""
        import torch
        from torch.nn.functional import cross_entropy

        with torch.autocast(self.device, torch.bfloat16, enabled=self.dtype == "bfloat16"):
            logits = self._logits(micro)
        return cross_entropy(logits.float(), micro.targets, reduction="none")

    def _logits(self, micro: MicroBatch) -> Tensor:
        with self.head.only(micro.rows, micro.places):
            logits: Tensor = self.model(**micro.inputs, use_cache=False).logits[0]
        return logits


def step_weight(batches: Sequence[Batch], supervised: Indices, weights: Doubles) -> float:
    """Sum of the weights of all learned tokens of a step, from samples' counts and weights (n,)."""
    members = [place for batch in batches if batch.counts for place in batch.members]
    return float((supervised[members] * weights[members]).sum())
