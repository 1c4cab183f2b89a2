"""Compute the loss: weighted negative log-likelihood of the tokens that are learned.

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
    """Losses of learned tokens, whose logits alone are computed; `dtype` bfloat16 is autocast."""

    def __init__(self, model: Any, device: str, dtype: str) -> None:
        self.model, self.device, self.dtype = model, device, dtype
        self.head = AnswerHead(model)

    def total(self, micro: MicroBatch) -> Tensor:
        """Return the sum, in float32, of weight * -log p over the learned tokens of a batch."""
        return (self.losses(micro) * micro.weights).sum()

    def losses(self, micro: MicroBatch, temperature: float = 1.0) -> Tensor:
        """Return -log p (n,) of every learned token of a batch, in float32 nats.

        At a `temperature` p is the softmax of logits divided by it.
        """
        import torch
        from torch.nn.functional import cross_entropy

        with (
            torch.autocast(self.device, torch.bfloat16, enabled=self.dtype == "bfloat16"),
            self.head.only(micro.rows, micro.positions),
        ):
            # A cache serves generation alone, and here would only occupy memory.
            logits = self.model(**micro.inputs, use_cache=False).logits[0]
        # The softmax over the vocabulary loses too many digits in bfloat16.
        return cross_entropy(logits.float() / temperature, micro.targets, reduction="none")


def step_weight(batches: Sequence[Batch], supervised: Indices, weights: Doubles) -> float:
    """Return the summed weight of a step's learned tokens, from their counts and weights (n,)."""
    # A batch that does not count repeats samples which another batch has counted.
    members = [index for batch in batches if batch.counts for index in batch.members]
    return float((supervised[members] * weights[members]).sum())
