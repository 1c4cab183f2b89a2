"""Compute the losses of policy optimisation and of preference pairs from log-probabilities.

A step has B replies in groups of G, one group a prompt. A token of a reply with advantage A has
probability p under the model, and q under the model that wrote the reply; with r = p / q:

    loss = sum over tokens of w * max(-r A, -clip(r, 1 - low, 1 + high) A)

`grpo` (arXiv 2402.03300): w is 1 / (B * tokens of the reply).
`dapo` (arXiv 2503.14476): w is 1 / tokens of all replies.
`dr_grpo` (arXiv 2503.20783): w is 1 / (B * most tokens of a reply); advantages are not scaled.
`gspo` (arXiv 2507.18071): w as in `grpo`; r is the geometric mean of the reply's ratios.

The weights follow from the lengths alone, so that a step may be computed in any number of parts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple

import numpy as np

from medsift.arrays import Doubles, Indices

if TYPE_CHECKING:
    from torch import Tensor

LossName = Literal["grpo", "dapo", "dr_grpo", "gspo"]
Scale = Literal["group", "none"]

SCALED_BY: Final = 1e-4
"""Added to a group's standard deviation, against division by zero."""
EQUAL: Final = 1e-8
"""Rewards of a group that differ by no more are equal."""


class Clipping(NamedTuple):
    """How far below and above 1 a ratio of probabilities still counts."""

    low: float
    high: float


def group_advantages(rewards: Doubles, scale: Scale) -> Doubles:
    """Return what each reward (groups, G) is above its group's mean, in standard deviations.

    The deviation is that of a sample (divisor G - 1); with `scale` none it divides nothing.
    """
    centred: Doubles = rewards - rewards.mean(axis=1, keepdims=True)
    if scale == "none":
        return centred
    deviation = rewards.std(axis=1, ddof=1, keepdims=True)
    advantages: Doubles = centred / (deviation + SCALED_BY)
    return advantages


def has_contrast(rewards: Doubles) -> bool:
    """Return whether the rewards (G,) of a group differ: equal ones teach nothing."""
    return float(np.ptp(rewards)) > EQUAL


class Totals(NamedTuple):
    """What an update learns from, of all workers together: replies, and tokens that count."""

    replies: int
    tokens: int


def token_weights(
    loss: LossName, lengths: Indices, counted: Indices, max_new_tokens: int, totals: Totals
) -> Doubles:
    """Return the weight (b,) of each token of some replies of an update.

    Args:
        loss: which loss.
        lengths: tokens (b,) of each reply, the end of the turn included.
        counted: 1 (b,) where a reply is learned from, 0 where it is left out as truncated.
        max_new_tokens: the most tokens of a reply.
        totals: those of the whole update.
    """
    if loss == "dapo":
        # An update of nothing but truncated replies has no tokens, and no loss.
        weight = np.full(len(lengths), 1.0 / max(1, totals.tokens))
    elif loss == "dr_grpo":
        weight = np.full(len(lengths), 1.0 / (totals.replies * max_new_tokens))
    else:
        weight = 1.0 / (totals.replies * np.maximum(1, lengths))
    weights: Doubles = weight * counted
    return weights


def surrogate(
    log_p: Tensor,
    log_q: Tensor,
    replies: Tensor,
    advantages: Tensor,
    weights: Tensor,
    clipping: Clipping,
    *,
    by_sequence: bool = False,
) -> tuple[Tensor, Tensor]:
    """Return the summed loss, and the weighted share of tokens whose ratio was clipped.

    Args:
        log_p: log-probabilities (n,) under the model, with their gradient.
        log_q: those (n,) under the model that wrote the replies.
        replies: the number (n,) of the reply that each token is in, from 0.
        advantages: of each token's reply (n,).
        weights: of each token (n,); see `token_weights`.
        clipping: the limits of the ratio.
        by_sequence: use one ratio a reply, the geometric mean of its tokens' ratios.
    """
    import torch

    log_ratio = log_p - log_q
    if by_sequence:
        log_ratio = _mean_by_reply(log_ratio, replies)
    ratio = log_ratio.exp()
    clipped = ratio.clamp(1.0 - clipping.low, 1.0 + clipping.high)
    loss = (weights * torch.maximum(-ratio * advantages, -clipped * advantages)).sum()
    # Only where clipping changes the loss: an advantage that pulls a far ratio back still counts.
    cut = (clipped * advantages < ratio * advantages).to(weights.dtype)
    return loss, (weights * cut).sum().detach()


def preference_loss(
    chosen: Tensor,
    rejected: Tensor,
    chosen_reference: Tensor,
    rejected_reference: Tensor,
    beta: float,
) -> Tensor:
    """Return the loss (pairs,) of direct preference optimisation (arXiv 2305.18290), per pair.

    Args:
        chosen: summed log-probabilities (pairs,) of the replies that are preferred.
        rejected: those of the other replies.
        chosen_reference: those of the preferred replies under the model before training.
        rejected_reference: those of the other replies under that model.
        beta: how strongly the model is kept near the one before training.
    """
    from torch.nn.functional import logsigmoid

    margin = (chosen - chosen_reference) - (rejected - rejected_reference)
    return -logsigmoid(beta * margin)


def _mean_by_reply(values: Tensor, replies: Tensor) -> Tensor:
    """Return the mean of each token's reply, at every token (n,)."""
    import torch

    count = int(replies.max()) + 1 if len(replies) else 0
    sums = torch.zeros(count, dtype=values.dtype, device=values.device)
    totals = sums.index_add(0, replies, values)
    tokens = sums.index_add(0, replies, torch.ones_like(values))
    return (totals / tokens.clamp(min=1.0))[replies]
