"""Group samples by the neurons that are most active in each, against the pool's mean."""

from __future__ import annotations

from typing import Final

import numpy as np

from curation.neighbors import kmeans
from medsift.arrays import Floats, Indices

ROWS_AT_A_TIME: Final = 1024


def top_neurons(activations: Floats, count: int) -> Indices:
    """Return the `count` neurons (n, count) of each sample that are most above the pool's mean.

    Of activations a (n, w), neuron j of sample i scores (a_ij - mean_j) / deviation_j: some neurons
    are strong in every sample and tell none apart. A neuron that never changes scores 0. The best
    comes first, of equal ones the first by number.
    """
    n, width = activations.shape
    blocks = [slice(start, start + ROWS_AT_A_TIME) for start in range(0, n, ROWS_AT_A_TIME)]
    mean = sum((activations[block].sum(0, np.float64) for block in blocks), np.zeros(width)) / n
    squares = sum(
        (np.square(activations[block] - mean).sum(0) for block in blocks), np.zeros(width)
    )
    deviation = np.sqrt(squares / n)
    top = np.empty((n, min(count, width)), np.int64)
    for block in blocks:
        above = activations[block] - mean
        score = np.divide(above, deviation, out=np.zeros_like(above), where=deviation > 0.0)
        top[block] = np.argsort(-score, axis=1, kind="stable")[:, :count]
    return top


def bucket_samples(top: Indices, buckets: int, seed: int, device: str) -> Indices:
    """Return the bucket (n,) of each sample; bucket 0 is the largest, of equal ones the first seen.

    Spherical k-means on the indicator vectors of the samples' top neurons: the cosine of two
    samples is the share of top neurons that they have in common.

    Args:
        top: Top neurons (n, k) of each sample.
        buckets: Number of clusters, at most n; one that stays empty is left out.
        seed: Of the first centroids.
        device: "auto", "cpu" or a torch CUDA device.
    """
    n, count = top.shape
    used, place = np.unique(top, return_inverse=True)
    signature = np.zeros((n, len(used)), np.float32)
    signature[np.arange(n)[:, None], place.reshape(n, count)] = 1.0 / np.sqrt(count)
    _, label = kmeans(signature, buckets, seed % (1 << 31), device=device)
    _, first, label, size = np.unique(
        label, return_index=True, return_inverse=True, return_counts=True
    )
    rank = np.empty(len(size), np.int64)
    rank[np.lexsort((first, -size))] = np.arange(len(size))
    return rank[label]
