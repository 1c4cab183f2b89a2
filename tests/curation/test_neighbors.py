"""All pairs, nearest neighbours and earlier rows against a brute-force oracle."""

from __future__ import annotations

import math
import pickle
import random
import sys
from importlib import import_module

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.neighbors import (
    NeighborsConfig,
    Pairs,
    exact_cosine,
    find_pairs,
    iter_pairs,
    join,
    join_pairs,
    pairs_above,
    shortlist,
    tiles,
)
from curation.neighbors import prefilter as prefilters
from curation.neighbors.tiles import plan_tiles
from tests.expect import raises_code

# The package's own `join` is the function.
join_module = import_module("curation.neighbors.join")


def vectors_of(seed: int, n: int, d: int, kind: str = "spread") -> np.ndarray:
    """Unit vectors: spread out, in tight clusters, or with many exact copies."""
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((n, d))
    if kind == "clusters":
        rows = rows[rng.integers(0, max(1, n // 8), n)] + 0.2 * rng.standard_normal((n, d))
    if kind == "copies":
        rows = rows[rng.integers(0, max(1, n // 6), n)]
    rows = rows.astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def cosines_of(vectors: np.ndarray) -> np.ndarray:
    """Every cosine, each dot product summed without error."""
    exact = vectors.astype(np.float64)
    dots = np.array([[math.fsum(a * b) for b in exact] for a in exact])
    norms = np.sqrt(np.diag(dots))
    return np.clip(dots / np.outer(norms, norms), -1.0, 1.0)


def same(one: Pairs, other: Pairs) -> bool:
    return all(
        np.array_equal(getattr(one, name), getattr(other, name))
        for name in ("left", "right", "similarity")
    )


kinds = st.sampled_from(["spread", "clusters", "copies"])


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(0, 40),
    d=st.integers(1, 37),
    tile=st.integers(1, 50),
    threshold=st.sampled_from([-0.5, 0.0, 0.3, 0.9, 0.95, 1.0]),
    kind=kinds,
    precision=st.sampled_from(["auto", "float32", "bfloat16"]),
)
def test_pairs_are_those_of_brute_force(seed, n, d, tile, threshold, kind, precision):
    vectors = vectors_of(seed, n, d, kind)
    found = pairs_above(vectors, threshold, tile=tile, precision=precision)
    truth = cosines_of(vectors)
    left, right = np.nonzero(np.triu(truth >= threshold - 1e-12, 1))
    sure = np.abs(truth[left, right] - threshold) > 1e-12
    keys = set(zip(found.left.tolist(), found.right.tolist(), strict=True))
    assert keys >= set(zip(left[sure].tolist(), right[sure].tolist(), strict=True))
    assert keys <= set(zip(left.tolist(), right.tolist(), strict=True))
    assert np.allclose(found.similarity, truth[found.left, found.right], rtol=0, atol=1e-12)
    assert np.array_equal(np.lexsort((found.right, found.left)), np.arange(len(found)))


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(1, 40),
    d=st.integers(1, 37),
    tile=st.integers(1, 50),
    k=st.integers(1, 12),
    threshold=st.sampled_from([-0.5, 0.3, 0.95, 1.0]),
    kind=kinds,
)
def test_without_torch_numpy_finds_the_same(seed, n, d, tile, k, threshold, kind):
    vectors = vectors_of(seed, n, d, kind)
    order = np.random.default_rng(seed).permutation(n)
    asked = {"threshold": threshold, "k": k, "order": order, "tile": tile}
    with_torch = join(vectors, **asked)
    with pytest.MonkeyPatch.context() as patch:
        for module in (join_module, tiles, shortlist):
            patch.setattr(module, "HAS_TORCH", False)
        patch.setitem(sys.modules, "torch", None)
        without = join(vectors, **asked)
    assert same(without.pairs, with_torch.pairs)
    for name in ("neighbours", "similarities", "max_earlier"):
        assert np.array_equal(getattr(without, name), getattr(with_torch, name)), name


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), tile=st.integers(1, 80), kind=kinds)
def test_order_of_rows_changes_no_pair_and_no_bit(seed, tile, kind):
    vectors = vectors_of(seed, 60, 19, kind)
    shuffled = np.random.default_rng(seed + 1).permutation(60)
    plain = pairs_above(vectors, 0.8)
    found = pairs_above(vectors[shuffled], 0.8, tile=tile).renamed(shuffled)
    assert same(found, plain)


def test_a_copy_has_cosine_exactly_one():
    vectors = np.repeat(vectors_of(1, 50, 512), 2, axis=0)
    found = pairs_above(vectors, 1.0)
    assert len(found) == 50
    assert (found.similarity == 1.0).all()


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_leading_axes_miss_no_pair(precision, monkeypatch):
    vectors = vectors_of(2, 700, 96, "clusters")
    plain = pairs_above(vectors, 0.9, precision="float32")
    monkeypatch.setattr(prefilters, "_SMALLEST", 1)
    # Pretend that verifying is free, so that the narrowest bound is taken.
    monkeypatch.setattr(prefilters, "_VERIFY", 0)
    norms = np.linalg.norm(vectors.astype(np.float64), axis=1)
    narrow = prefilters.make_prefilter(vectors, norms, 0.9, precision)
    assert narrow.rows.shape == (700, 96 // 8 + 1)
    bound = narrow.rows.astype(np.float64) @ narrow.rows.T.astype(np.float64) + narrow.margin
    assert (bound >= vectors.astype(np.float64) @ vectors.T.astype(np.float64)).all()
    assert same(pairs_above(vectors, 0.9, tile=128, precision=precision), plain)


def test_large_sets_use_fewer_coordinates_and_find_the_same(monkeypatch):
    vectors = vectors_of(3, 5000, 64, "spread")
    vectors[2500:2600] = vectors[:100]
    norms = np.ones(5000)
    assert prefilters.make_prefilter(vectors, norms, 0.95, "float32").rows.shape[1] < 64
    found = pairs_above(vectors, 0.95)
    monkeypatch.setattr(prefilters, "_SMALLEST", 10**9)
    assert same(found, pairs_above(vectors, 0.95))
    assert len(found) == 100


def test_tiles_cover_every_pair_once():
    met = np.zeros((23, 23), dtype=int)
    for tile in plan_tiles(23, 5):
        met[tile.top : tile.bottom, tile.start : tile.stop] += 1
    above = np.triu_indices(23, 1)
    assert (met[above] == 1).all()
    assert plan_tiles(0, 5) == []


def test_a_runner_may_pickle_the_work_and_answer_in_any_order():
    vectors = vectors_of(4, 90, 24, "clusters")
    order = np.random.default_rng(0).permutation(90)

    def run(work, tiles):
        shuffled = list(tiles)
        random.Random(3).shuffle(shuffled)
        for tile in shuffled:
            result = pickle.loads(pickle.dumps(work))(pickle.loads(pickle.dumps(tile)))
            yield pickle.loads(pickle.dumps(result))

    assert same(pairs_above(vectors, 0.8, tile=16, run=run), pairs_above(vectors, 0.8))
    far = join(vectors, threshold=0.8, k=5, order=order, tile=16, run=run)
    here = join(vectors, threshold=0.8, k=5, order=order)
    assert same(far.pairs, here.pairs)
    for name in ("neighbours", "similarities", "max_earlier"):
        assert np.array_equal(getattr(far, name), getattr(here, name)), name


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(1, 60),
    k=st.integers(1, 12),
    tile=st.integers(1, 70),
    kind=kinds,
)
def test_neighbours_and_earlier_rows_are_those_of_brute_force(seed, n, k, tile, kind):
    vectors = vectors_of(seed, n, 13, kind)
    order = np.random.default_rng(seed).permutation(n)
    found = join(vectors, k=k, order=order, tile=tile)
    all_rows = np.arange(n)
    rank = np.argsort(order)
    for row in range(n):
        cosine = exact_cosine(vectors, np.full(n, row), all_rows)
        others = all_rows[all_rows != row]
        best = others[np.lexsort((others, -cosine[others]))][:k]
        assert found.neighbours[row, : len(best)].tolist() == best.tolist()
        assert np.array_equal(found.similarities[row, : len(best)], cosine[best].astype(np.float32))
        assert (found.neighbours[row, len(best) :] == -1).all()
        before = all_rows[rank < rank[row]]
        if not len(before):
            assert found.max_earlier[row] == -np.inf
            continue
        nearest = before[np.lexsort((before, -cosine[before]))][0]
        assert found.max_earlier[row] == cosine[nearest]


def test_neighbours_among_more_copies_than_a_shortlist_holds():
    vectors = np.repeat(vectors_of(5, 2, 8), 40, axis=0)
    found = join(vectors, k=4, tile=7)
    assert found.neighbours[0].tolist() == [1, 2, 3, 4]
    assert found.neighbours[2].tolist() == [0, 1, 3, 4]
    assert found.neighbours[79].tolist() == [40, 41, 42, 43]


def test_zero_vectors_match_nothing():
    vectors = vectors_of(6, 30, 16, "copies")
    vectors[[0, 7, 29]] = 0.0
    found = join(vectors, threshold=-0.9, k=29, order=np.arange(30), tile=8)
    zero = {0, 7, 29}
    assert zero.isdisjoint(found.pairs.left)
    assert zero.isdisjoint(found.pairs.right)
    assert zero.isdisjoint(found.neighbours.ravel())
    assert (found.neighbours[7] == -1).all()
    assert found.max_earlier[29] == -np.inf
    assert same(found.pairs, pairs_above(vectors, -0.9))
    assert len(pairs_above(np.zeros((3, 4), dtype=np.float32), 0.5)) == 0


@pytest.mark.parametrize("n", [0, 1])
def test_no_rows_and_one_row_have_no_pairs(n):
    vectors = vectors_of(7, n, 8)
    assert len(pairs_above(vectors, 0.5)) == 0
    found = join(vectors, threshold=0.5, k=3, order=np.arange(n))
    assert found.neighbours.shape == (n, 3)
    assert (found.neighbours == -1).all()
    assert found.max_earlier.shape == (n,)


@pytest.mark.parametrize(
    ("row", "value"), [(3, np.nan), (4, np.inf), (5, 2.0)], ids=["nan", "infinite", "not unit"]
)
def test_a_bad_vector_is_refused_by_its_row(row, value):
    vectors = vectors_of(8, 10, 6)
    vectors[row, 0] = value
    with raises_code("vectors_invalid", row=row):
        pairs_above(vectors, 0.9)


def test_bad_settings_are_refused():
    vectors = vectors_of(9, 10, 6)
    for call in (
        lambda: pairs_above(vectors, 1.5),
        lambda: pairs_above(vectors, float("nan")),
        lambda: pairs_above(vectors, 0.9, tile=0),
        lambda: join(vectors),
        lambda: join(vectors, k=0),
        lambda: join(vectors, order=np.zeros(10, dtype=np.int64)),
    ):
        with raises_code("search_setting_invalid"):
            call()
    with raises_code("vectors_invalid", dtype="float64"):
        pairs_above(vectors.astype(np.float64), 0.9)


def test_too_many_pairs_are_refused_but_can_be_read_tile_by_tile():
    vectors = np.repeat(vectors_of(10, 1, 8), 60, axis=0)
    with raises_code("too_many_pairs", limit=1000):
        pairs_above(vectors, 0.9, tile=16, limit=1000)
    found = join_pairs(iter_pairs(vectors, 0.9, tile=16))
    assert len(found) == 60 * 59 // 2
    assert same(found, pairs_above(vectors, 0.9))


def test_a_lowered_matmul_precision_elsewhere_changes_nothing():
    import torch

    vectors = vectors_of(11, 400, 128, "clusters")
    plain = pairs_above(vectors, 0.95)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        assert same(pairs_above(vectors, 0.95), plain)
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)


def test_read_only_vectors_are_taken_without_a_warning(recwarn):
    vectors = vectors_of(12, 40, 16, "copies")
    vectors.setflags(write=False)
    assert len(pairs_above(vectors, 0.99))
    assert not recwarn.list


def test_search_is_exact_up_to_the_configured_size():
    vectors = vectors_of(13, 600, 32, "clusters")
    exact = find_pairs(vectors, 0.9, NeighborsConfig(exact_up_to=600))
    assert (exact.method, exact.recall) == ("exact", 1.0)
    assert same(exact.pairs, pairs_above(vectors, 0.9))
    past = find_pairs(vectors, 0.9, NeighborsConfig(exact_up_to=599, nlist=16, nprobe=2))
    assert past.method == "ivf"
    keys = exact.pairs.left * 600 + exact.pairs.right
    found = past.pairs.left * 600 + past.pairs.right
    assert set(found.tolist()) <= set(keys.tolist())


def test_a_gpu_finds_the_same():
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    vectors = vectors_of(14, 3000, 96, "clusters")
    assert same(pairs_above(vectors, 0.9, device="cuda"), pairs_above(vectors, 0.9, device="cpu"))
    here, there = join(vectors, k=9, device="cpu"), join(vectors, k=9, device="cuda")
    assert np.array_equal(here.neighbours, there.neighbours)
    assert np.array_equal(here.similarities, there.similarities)
