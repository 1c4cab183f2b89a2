"""Measure how many random samples one selected sample replaces, read off the random curve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from medsift.arrays import Doubles, Indices


@dataclass(frozen=True, slots=True)
class Efficiency:
    """The size of a random subset that teaches as much, divided by the selection's own size.

    `value` 2.0 means that one selected sample replaces two random ones. `low` and `high` are the
    ends of its 95% interval. Where the accuracy is outside the random curve, the value is that of
    the curve's end: `beyond` is then "above" (at least so much) or "below" (at most so much).
    """

    value: float
    low: float
    high: float
    beyond: str | None = None


def data_efficiency(
    selected: Mapping[float, Doubles],
    random: Mapping[float, Doubles],
    clusters: Indices,
    *,
    draws: int = 999,
    seed: int = 0,
) -> dict[float, Efficiency]:
    """Read off the random curve how many random samples each selection is worth.

    The curve is the mean accuracy over random draws, made non-decreasing in size (more data of one
    kind does not teach less; Robertson, Wright and Dykstra 1988) and interpolated linearly in the
    logarithm of the size, as learning curves are near straight there.

    The interval is the percentile one of a bootstrap that draws clusters of asked samples again,
    the same for selection and curve, and each arm's draws again: a curve from few draws is no
    sharper than they are.

    Args:
        selected: by size, whether each asked sample is answered rightly, (draws, n).
        random: the same of random subsets, at two sizes or more.
        clusters: the cluster (n,) of each asked sample, numbered from 0.
        draws: resamples of the bootstrap.
        seed: seed of the bootstrap.
    """
    sizes = np.array(sorted(random))
    width = int(clusters.max(initial=-1)) + 1
    count = np.bincount(clusters, minlength=width).astype(np.float64)
    curve = [_by_cluster(random[size], clusters, width) for size in sizes]
    arms = {size: _by_cluster(correct, clusters, width) for size, correct in selected.items()}
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(width, np.full(width, 1.0 / width), size=draws).astype(np.float64)
    weights = np.concatenate([np.ones((1, width)), weights])
    items = weights @ count
    curves = np.stack([_resampled(sums, weights, items, rng) for sums in curve], axis=1)
    curves = _non_decreasing(curves)
    results = {}
    for size, sums in arms.items():
        accuracy = _resampled(sums, weights, items, rng)
        ratios = _random_sizes(accuracy, curves, sizes) / size
        low, high = np.quantile(ratios[1:], [0.025, 0.975])
        beyond = None
        if accuracy[0] > curves[0, -1]:
            beyond = "above"
        elif accuracy[0] < curves[0, 0]:
            beyond = "below"
        results[size] = Efficiency(float(ratios[0]), float(low), float(high), beyond)
    return results


def _by_cluster(correct: Doubles, clusters: Indices, width: int) -> Doubles:
    """Sum right answers (draws, n) by cluster (draws, width)."""
    return np.stack([np.bincount(clusters, weights=row, minlength=width) for row in correct])


def _resampled(
    sums: Doubles, weights: Doubles, items: Doubles, rng: np.random.Generator
) -> Doubles:
    """Return the mean accuracy (b,) of each resample of clusters and draws; the first is as is."""
    trainings = len(sums)
    chosen = rng.multinomial(trainings, np.full(trainings, 1.0 / trainings), size=len(weights) - 1)
    share = np.concatenate([np.ones((1, trainings)), chosen]) / trainings
    return np.asarray(((weights @ sums.T) * share).sum(axis=1) / items, np.float64)


def _non_decreasing(curves: Doubles) -> Doubles:
    from scipy.optimize import isotonic_regression  # type: ignore[import-untyped]

    return np.stack([isotonic_regression(curve).x for curve in curves])


def _random_sizes(accuracy: Doubles, curves: Doubles, sizes: Sequence[float] | Doubles) -> Doubles:
    """Return the random size (b,) at which each curve (b, s) first reaches its accuracy (b,).

    A flat stretch is left at its start: the smallest random set that does as well.
    """
    logs = np.log(np.asarray(sizes, np.float64))
    reached = curves >= accuracy[:, None]
    upper = np.where(reached.any(axis=1), reached.argmax(axis=1), len(logs) - 1)
    lower = np.maximum(upper - 1, 0)
    rows = np.arange(len(curves))
    low, high = curves[rows, lower], curves[rows, upper]
    rise = high - low
    share = np.divide(accuracy - low, rise, out=np.ones_like(rise), where=rise > 0)
    steps = np.clip(share, 0.0, 1.0) * (logs[upper] - logs[lower])
    return np.asarray(np.exp(logs[lower] + steps), np.float64)
