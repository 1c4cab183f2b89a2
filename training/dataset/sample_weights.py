"""Compute how much each sample counts: its selection weight, and its share of a mixture."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from medsift.arrays import Doubles
from medsift.errors import InputError, RecipeError
from training.dataset.samples import Sample
from training.recipe import DataConfig, MixtureConfig


def sample_weights(samples: Sequence[Sample], config: DataConfig) -> Doubles:
    """Weight (n,) of each sample, of mean 1; all 1 where weights are left aside.

    Raises InputError for a weight that is none, RecipeError for a mixture that does not name
    what the samples are.
    """
    if config.weights == "none":
        return np.ones(len(samples))
    weights = np.array([sample.weight for sample in samples], np.float64)
    wrong = np.flatnonzero(~np.isfinite(weights) | (weights < 0))
    if len(wrong):
        place = int(wrong[0])
        raise InputError(
            f"sample {samples[place].row_id} has weight {weights[place]}; a weight is a number "
            "from 0 up: select again",
            code="weights_invalid",
        )
    if not weights.any():
        raise InputError(
            "every weight of the selection is 0; set data.weights: none", code="weights_invalid"
        )
    if config.mixture is not None:
        weights = weights * _mixed(samples, weights, config.mixture)
    mean: Doubles = weights / weights.mean()
    return mean


def _mixed(samples: Sequence[Sample], weights: Doubles, mixture: MixtureConfig) -> Doubles:
    """Factor (n,) that gives each value of the tag its share of the total weight."""
    labels = [sample.tags[mixture.tag] or "" for sample in samples]
    held: dict[str, float] = defaultdict(float)
    for label, weight in zip(labels, weights.tolist(), strict=True):
        held[label] += weight
    unknown = sorted(set(mixture.shares) ^ set(held))
    if unknown:
        raise RecipeError(
            f"data.mixture.shares and the selection differ in {mixture.tag} {unknown[0]!r}; "
            f"name a share for exactly {', '.join(map(repr, sorted(held)))}",
            code="mixture_unfit",
        )
    empty = [label for label, weight in held.items() if weight == 0.0]
    if empty:
        raise InputError(
            f"every sample of {mixture.tag} {empty[0]!r} has weight 0; leave it out",
            code="mixture_unfit",
        )
    return np.array([mixture.shares[label] / held[label] for label in labels])
