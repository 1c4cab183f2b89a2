"""Plan the kills of a soak: who is killed in which stage, and at which moment of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

STAGES: Final = (
    *("ingest", "images", "embed", "dedup", "split", "decontaminate", "score", "select"),
    "publish",
)
"""The stages of a curation in order; `publish` writes the manifest and the report."""
TRAINING: Final = "training"
DISK: Final = "disk"
TARGETS: Final[Mapping[str, Sequence[Sequence[str]]]] = {
    "driver": (STAGES, STAGES),
    DISK: (
        ("ingest", "images", "embed", "dedup", "score", "publish"),
        ("images", "dedup", "score", "select", "publish", "publish"),
    ),
    "train driver": ((TRAINING,) * 4,),
    "driver on Ray": (("ingest", "images", "embed", "score", "publish"),),
    "worker": (("ingest", "images", "embed", "dedup", "score", "select"),),
    "actor": (("images", "images", "embed"), ("images", "images", "embed")),
    "node of 2": (("ingest", "images", "embed", "dedup", "score"),),
    "node of 4": (("images", "images", "embed", "score"),),
    "head": (("images", "embed", "score", "publish"),),
    "train driver on Ray": ((TRAINING,) * 2,),
    "train worker": ((TRAINING,) * 3,),
}
"""The stages in which each target is killed, in chains: one chain is one run, killed repeatedly."""


@dataclass(frozen=True, slots=True)
class Kill:
    """One kill, after `share` of the time that its stage takes, or of the bytes that it adds."""

    stage: str
    share: float


@dataclass(frozen=True, slots=True)
class Chain:
    """Kills of one run, one after the other, in the order of their stages and moments."""

    target: str
    seed: int
    number: int
    kills: tuple[Kill, ...]


def plan(seed: int, targets: Sequence[str] = tuple(TARGETS)) -> list[Chain]:
    """Draw the chains of some targets: first one of each, then the second ones.

    The moments depend on the seed, the target and the place alone, not on what else is planned.
    """
    chains = []
    for order, (target, stages) in enumerate(TARGETS.items()):
        random = np.random.default_rng([seed, order])
        for number, names in enumerate(stages):
            # What is repeated takes less time than the whole: early moments find it at work.
            most = 0.97 if len(set(names)) > 1 else 0.4
            shares = random.uniform(0.02, most, len(names)).round(3).tolist()
            drawn = [Kill(name, share) for name, share in zip(names, shares, strict=True)]
            if set(names) != {TRAINING}:
                drawn.sort(key=lambda kill: (STAGES.index(kill.stage), kill.share))
            chains.append(Chain(target, seed, number, tuple(drawn)))
    return sorted((chain for chain in chains if chain.target in targets), key=lambda c: c.number)
