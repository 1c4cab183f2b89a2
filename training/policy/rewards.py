"""Reward replies by the evaluation's own parser: what earns a reward would also score."""

from __future__ import annotations

from typing import Final, NamedTuple

from evaluation.scoring import PARSED, AnswerKey
from evaluation.scoring.strict import score
from training.policy.policy_settings import PolicyConfig

OVERLONG_PENALTY: Final = 0.5
"""What the longest reply that is not cut loses."""


class Reward(NamedTuple):
    """The sum of a reward and its parts; `parsed` earns nothing by itself."""

    total: float
    correct: float
    format: float
    overlong: float
    parsed: float


def reward(key: AnswerKey, text: str, tokens: int, cut: bool, config: PolicyConfig) -> Reward:
    """Return the reward of a reply.

    Args:
        key: the right answer.
        text: what the reply says.
        tokens: how many tokens it has, the end of the turn included.
        cut: whether it ended at the limit and not at the end of its turn.
        config: weights and limits.

    Raises:
        InputError: nothing can be scored against the key.
    """
    scored = score(key, text)
    correct = float(scored.score or 0.0)
    parsed = float(scored.parse_status == PARSED)
    complete = parsed * (not cut)
    overlong = -_overlong_share(tokens, config) * OVERLONG_PENALTY
    total = (1.0 - config.format_weight) * correct + config.format_weight * complete + overlong
    return Reward(total, correct, complete, overlong, parsed)


def _overlong_share(tokens: int, config: PolicyConfig) -> float:
    """Return how far a reply is into the last tokens before the limit, from 0 to 1."""
    if config.overlong is None:
        return 0.0
    over = tokens - (config.max_new_tokens - config.overlong)
    return min(1.0, max(0.0, over / config.overlong))
