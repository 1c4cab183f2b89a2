"""Compute how much each sample counts: its selection weight, and its part of a mixture."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from medsift.arrays import Doubles
from medsift.errors import InputError, RecipeError
from training.dataset.samples import Sample
from training.recipe import DataConfig, MixtureConfig


@dataclass(frozen=True, slots=True)
class SampleWeights:
    """What each of n samples counts.

    `loss` (n,) multiplies its loss. `odds` (n,) are those of being drawn, of mean 1; None where
    each sample is seen once in an epoch.
    """

    loss: Doubles
    odds: Doubles | None


def sample_weights(samples: Sequence[Sample], config: DataConfig) -> SampleWeights:
    """Return the weights of samples (n,): those of the selection, times those of the mixture.

    Loss weights have mean 1; all are 1 where nothing weighs the loss.

    Raises InputError for a weight that is negative or not finite, RecipeError for a mixture that
    names values that the samples do not have.
    """
    parts: dict[str, Doubles] = {}
    if config.weights != "none":
        parts[config.weights] = _selection_weights(samples)
    if config.mixture is not None:
        own = parts.get(config.weights, np.ones(len(samples)))
        factors = _factors(samples, own, config.mixture)
        # Where all count alike there is no mixture: the same order of samples as without one.
        if (factors != factors[0]).any():
            parts[config.mixed_as] = parts.get(config.mixed_as, np.ones(len(samples))) * factors
    # Mean 1 keeps the learning rate's meaning, whatever the scale of the selection's weights.
    normalised = {name: weights / weights.mean() for name, weights in parts.items()}
    return SampleWeights(normalised.get("loss", np.ones(len(samples))), normalised.get("sampling"))


def describe_mixture(
    samples: Sequence[Sample], weights: SampleWeights, config: DataConfig
) -> dict[str, Any] | None:
    """Return what a mixture made of samples (n), for the record; None without a mixture.

    For each value of the column: its samples, and its share of what samples count for in all,
    loss weights times odds.
    """
    mixture = config.mixture
    if mixture is None:
        return None
    counted = weights.loss if weights.odds is None else weights.loss * weights.odds
    labels, member = np.unique(_labels(samples, mixture.by), return_inverse=True)
    share = np.bincount(member, weights=counted) / counted.sum()
    numbers = np.bincount(member)
    return {
        "by": mixture.by,
        "as": config.mixed_as,
        "weights": mixture.weights or None,
        "shares": mixture.shares or None,
        "samples": dict(zip(labels.tolist(), numbers.tolist(), strict=True)),
        "share": dict(zip(labels.tolist(), share.tolist(), strict=True)),
    }


def _selection_weights(samples: Sequence[Sample]) -> Doubles:
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
    return weights


def _labels(samples: Sequence[Sample], by: str) -> list[str]:
    return [sample.tags[by] or "" for sample in samples]


def _factors(samples: Sequence[Sample], own: Doubles, mixture: MixtureConfig) -> Doubles:
    """Return the factor (n,) of each sample, whose own weights (n,) decide the totals of shares."""
    labels, member = np.unique(_labels(samples, mixture.by), return_inverse=True)
    values: list[str] = labels.tolist()
    given = mixture.weights or mixture.shares
    unknown = sorted(set(given) - set(values))
    if mixture.shares:
        # Samples without a share have no factor.
        unknown = sorted(set(given) ^ set(values))
    if unknown:
        others = list(given) if unknown[0] in values else values
        near = difflib.get_close_matches(unknown[0], others, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        kind = "weights" if mixture.weights else "shares"
        raise RecipeError(
            f"data.mixture.{kind} and the selection differ in {mixture.by} {unknown[0]!r}; "
            f"{hint}the selection has {', '.join(map(repr, values))}",
            code="mixture_unfit",
            unknown=unknown,
            nearest=near,
            allowed=values,
        )
    if mixture.weights:
        factors = np.array([mixture.weights.get(name, 1.0) for name in values])
        return np.asarray(factors[member], np.float64)
    totals = np.bincount(member, weights=own)
    # No factor gives a total of 0 its share.
    empty = [name for name, total in zip(values, totals.tolist(), strict=True) if total == 0.0]
    if empty:
        message = f"every sample of {mixture.by} {empty[0]!r} has weight 0; leave it out"
        raise InputError(message, code="mixture_unfit", empty=empty)
    shares = np.array([mixture.shares[name] for name in values])
    return np.asarray((shares / totals)[member], np.float64)
