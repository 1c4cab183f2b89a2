"""Cluster vectors by spherical k-means with FAISS."""

from __future__ import annotations

import numpy as np

from curation.neighbors.cosine import check_vectors
from medsift.arrays import Floats, Indices
from medsift.errors import UsageError


def gpus_of_faiss(device: str) -> int:
    """Return how many GPUs FAISS should use: none on a CPU or where FAISS sees none."""
    import faiss

    return 0 if device == "cpu" else int(faiss.get_num_gpus())


def kmeans(
    vectors: Floats, k: int, seed: int, iterations: int = 20, device: str = "auto"
) -> tuple[Floats, Indices]:
    """Return unit centroids (k, d) and each vector's cluster (n,) by greatest cosine.

    Lloyd's iterations on unit vectors with normalised centroids (Dhillon and Modha 2001), over
    all vectors. The same seed on the same CPU gives the same clusters; a GPU sums in another
    order and may differ in near-ties.

    Args:
        vectors: Unit or zero vectors (n, d), float32.
        k: Number of clusters.
        seed: Of the first centroids.
        iterations: Of Lloyd's algorithm.
        device: "auto", "cpu" or a torch CUDA device.

    Raises:
        InputError: vectors that are not float32, two-dimensional, finite and unit (or zero).
        UsageError: k outside 1 … n, or fewer than one iteration.
    """
    import faiss

    check_vectors(vectors)
    if not 1 <= k <= len(vectors) or iterations < 1:
        raise UsageError(
            f"k is {k} and iterations {iterations}; pass 1 to {len(vectors)} clusters, the number "
            "of vectors, and at least 1 iteration",
            code="search_setting_invalid",
            k=k,
        )
    clustering = faiss.Kmeans(
        vectors.shape[1],
        k,
        niter=iterations,
        seed=seed,
        spherical=True,
        gpu=gpus_of_faiss(device),
        min_points_per_centroid=1,
        max_points_per_centroid=len(vectors),
    )
    rows = np.ascontiguousarray(vectors)
    clustering.train(rows)
    _, nearest = clustering.index.search(rows, 1)
    centroids = np.asarray(clustering.centroids, dtype=np.float32).reshape(k, -1)
    return centroids, nearest[:, 0].astype(np.int64)
