"""The map is a property of the pool, not of the order in which it was read."""

from __future__ import annotations

import numpy as np
import pytest

from curation.publish import principal_plane


def test_order_of_rows_does_not_move_a_point():
    generator = np.random.default_rng(0)
    vectors = generator.normal(size=(50, 8)).astype(np.float32) * np.arange(1, 9, dtype=np.float32)
    order = generator.permutation(50)
    assert np.allclose(principal_plane(vectors)[order], principal_plane(vectors[order]), atol=1e-3)


@pytest.mark.parametrize("count", [200, 6, 5, 2])
def test_plane_keeps_the_most_variance(count):
    generator = np.random.default_rng(1)
    vectors = generator.normal(size=(count, 6)).astype(np.float32) * np.array(
        [5, 4, 1, 1, 1, 1], dtype=np.float32
    )
    centred = vectors - vectors.mean(axis=0)
    best = np.sort(np.linalg.svd(centred, compute_uv=False) ** 2)[::-1][:2].sum()
    assert (principal_plane(vectors) ** 2).sum() == pytest.approx(best, rel=1e-4)


@pytest.mark.parametrize("shape", [(0, 0), (1, 5), (3, 1)])
def test_pools_too_small_for_a_plane_sit_at_the_origin(shape):
    plane = principal_plane(np.ones(shape, dtype=np.float32))
    assert plane.shape == (shape[0], 2)
    assert not plane.any()


def test_equal_rows_sit_at_the_origin():
    assert not principal_plane(np.ones((3, 7), dtype=np.float32)).any()
