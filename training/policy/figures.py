"""Sum up what the replies of a step earned, so that workers only add their sums."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from medsift.progress import PolicyLine
from training.policy.asking import Drawn

Sums = dict[str, float]


def sums_of(drawn: Drawn) -> Sums:
    """Return sums over a worker's replies; every worker has the same names in the same order."""
    groups = list(drawn.groups.values())
    rewards = [one for group in groups for one in group.rewards]
    replies = [reply for group in groups for reply in group.replies]
    lengths = np.array([len(reply.token_ids) for reply in replies], np.int64)
    return {
        "groups": len(groups),
        "replies": len(replies),
        "reward": sum(one.total for one in rewards),
        "correct": sum(one.correct for one in rewards),
        "format": sum(one.format for one in rewards),
        "overlong": sum(one.overlong for one in rewards),
        "parsed": sum(one.parsed for one in rewards),
        "cut": sum(bool(reply.cut) for reply in replies),
        "tokens": float(lengths.sum()),
        "contrast": sum(group.contrast for group in groups),
        "refills": drawn.refills,
        "refused": drawn.refused,
        "blank_prompts": len(drawn.watched),
        "blank_correct": sum(without.correct for _, without in drawn.watched),
        "shown_correct": sum(shown.correct for shown, _ in drawn.watched),
    }


def line_of(
    step: int,
    sums: Mapping[str, float],
    clipped: float,
    seconds: tuple[float, float],
    memory: tuple[float, float],
) -> PolicyLine:
    """Return the line of a step, from 0.

    Args:
        step: the step.
        sums: those of all workers.
        clipped: share of the weight of all tokens whose ratio was clipped.
        seconds: of drawing replies, and of learning from them.
        memory: peak after drawing, and after learning, in MiB.
    """

    def mean(name: str, over: str = "replies") -> float:
        return sums[name] / sums[over]

    watched = sums["blank_prompts"] > 0
    return PolicyLine(
        step=step + 1,
        reward=mean("reward"),
        correct=mean("correct"),
        format=mean("format"),
        overlong=mean("overlong"),
        parsed=mean("parsed"),
        cut=mean("cut"),
        reply_tokens=mean("tokens"),
        contrast=mean("contrast", "groups"),
        refills=int(sums["refills"]),
        refused=int(sums["refused"]),
        clipped=clipped,
        blank_prompts=int(sums["blank_prompts"]),
        blank_correct=mean("blank_correct", "blank_prompts") if watched else None,
        shown_correct=mean("shown_correct", "blank_prompts") if watched else None,
        generate_seconds=seconds[0],
        learn_seconds=seconds[1],
        generate_memory_mb=memory[0],
        learn_memory_mb=memory[1],
    )
