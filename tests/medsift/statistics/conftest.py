"""Simulated clusters of right-or-wrong items, and predictions with tags."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest


class Simulated:
    """Right answers of clusters whose chance of being right differs (beta-binomial)."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)

    def sizes(self, kind, shape):
        """Items a cluster: one number, as in VQA-RAD's test set (2.2), geometric (5), or Pareto.

        Of the last a few hold most items: up to 60 next to many of 1 to 3.
        """
        if kind == "vqa_rad":
            return 1 + self.rng.poisson(1.22, shape)
        if kind == "geometric":
            return self.rng.geometric(0.2, shape)
        if kind == "pareto":
            return np.minimum(1 + 3 * self.rng.pareto(1.5, shape), 60).astype(int)
        return np.full(shape, kind)

    def right(self, sizes, mean, icc):
        chance = mean
        if icc:
            scale = 1 / icc - 1
            chance = self.rng.beta(mean * scale, (1 - mean) * scale, sizes.shape)
        return self.rng.binomial(sizes, chance).astype(float)

    def net_gains(self, sizes, apart, gain, icc):
        """Sum over a cluster of +1 (only the first is right) and -1 (only the second)."""
        shares = np.array([(apart + gain) / 2, (apart - gain) / 2, 1 - apart])
        if icc:
            gammas = self.rng.gamma(shares * (1 / icc - 1), size=(*sizes.shape, 3)) + 1e-300
            shares = gammas / gammas.sum(-1, keepdims=True)
        drawn = self.rng.multinomial(sizes, shares)
        return (drawn[..., 0] - drawn[..., 1]).astype(float)


@pytest.fixture
def simulated():
    return Simulated


@pytest.fixture
def predictions():
    """Make scored predictions: rows, seed → a table with tags, pictures and two score columns."""

    def make(rows, seed=0, benchmark="vqa", variant="original", images=None):
        rng = np.random.default_rng(seed)
        image = rng.integers(0, images or max(rows // 3, 1), rows)
        closed = rng.random(rows) < 0.5
        return pa.table(
            {
                "evaluation_id": ["e1"] * rows,
                "benchmark": [benchmark] * rows,
                "variant": [variant] * rows,
                "item_id": [f"q{number:05}" for number in range(rows)],
                "image_id": [f"i{number}" for number in image],
                "modality": np.array(["ct", "mr", "xray"])[image % 3],
                "task_type": np.array(["presence", "count"])[rng.integers(0, 2, rows)],
                "answer_type": np.where(closed, "closed", "open"),
                "parse_status": np.where(rng.random(rows) < 0.1, "unparsed", "parsed"),
                "score": (rng.random(rows) < 0.7).astype(float),
                "f1": pa.array(rng.random(rows), mask=closed),
            }
        )

    return make
