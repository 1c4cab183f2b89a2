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
    """Return the weight (n,) of each sample, of mean 1; all are 1 with `weights: none`.

    Raises InputError for a weight that is negative or not finite, RecipeError for a mixture that
    does not name exactly the values that the samples have.
    """
    if config.weights == "none":
        return np.ones(len(samples))
    weights = np.array([sample.weight for sample in samples], np.float64)
    wrong = np.flatnonzero(~np.isfinite(weights) | (weights < 0))
    if len(wrong):
        sample = samples[int(wrong[0])]
        raise InputError(
            f"sample {sample.row_id} has weight {sample.weight}; a weight is a finite number from "
            "0 up: select again",
            code="weights_invalid",
            row_id=sample.row_id,
            weight=sample.weight,
        )
    if not weights.any():
        message = "every weight of the selection is 0; set data.weights: none"
        raise InputError(message, code="weights_invalid")
    if config.mixture is not None:
        weights = weights * _mixture_factors(samples, weights, config.mixture)
    # Mean 1 keeps the learning rate's meaning, whatever the scale of the selection's weights.
    normalised: Doubles = weights / weights.mean()
    return normalised


def _mixture_factors(
    samples: Sequence[Sample], weights: Doubles, mixture: MixtureConfig
) -> Doubles:
    """Return the factor (n,) that gives each value of the tag its share of the total weight."""
    labels = [sample.tags[mixture.tag] or "" for sample in samples]
    totals: dict[str, float] = defaultdict(float)
    for label, weight in zip(labels, weights.tolist(), strict=True):
        totals[label] += weight
    # Both ways: a share without samples is out of reach, samples without a share have no factor.
    unknown = sorted(set(mixture.shares) ^ set(totals))
    if unknown:
        message = (
            f"data.mixture.shares and the selection differ in {mixture.tag} {unknown[0]!r}; "
            f"name a share for exactly {', '.join(map(repr, sorted(totals)))}"
        )
        raise RecipeError(message, code="mixture_unfit", unknown=unknown, allowed=sorted(totals))
    # No factor gives a total of 0 its share.
    empty = [label for label, total in totals.items() if total == 0.0]
    if empty:
        message = f"every sample of {mixture.tag} {empty[0]!r} has weight 0; leave it out"
        raise InputError(message, code="mixture_unfit", empty=empty)
    return np.array([mixture.shares[label] / totals[label] for label in labels])
