"""What keeps a large pool out of memory changes no value: files, pieces, codes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from curation.current_samples import read_samples, training_samples
from curation.neighbors import NeighborsConfig, approximate_nearest, join
from curation.pool import GraphConfig, KnnGraph, SampleVectors, build_graph, load_graph
from curation.pool.groups import Groups
from curation.pool.sorted_samples import sorted_training_samples
from curation.selection.neighbor_matrix import UNIT, make_symmetric
from medsift.records import Digest, digest
from medsift.reorder import sorted_rows
from medsift.storage.scratch import scratch_table
from tests.curation.selection.conftest import AsWorkers, planted_vectors


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every array counts as too large for memory."""
    for module in (
        "medsift.storage.scratch",
        "curation.neighbors.cells",
        "curation.neighbors.nearest_by_cells",
    ):
        monkeypatch.setattr(f"{module}.LARGE", 0)


def test_sorted_samples_are_what_reading_filtering_and_sorting_gives(phantom_run) -> None:
    upstream = phantom_run.upstream
    expected = sorted_rows(training_samples(read_samples(upstream)), ["sample_id", "row_id"])
    assert 0 < expected.num_rows < read_samples(upstream).num_rows
    assert sorted_training_samples(upstream).equals(expected)
    columns = ["row_id", "images"]
    assert sorted_training_samples(upstream, columns).equals(expected.select(columns))
    assert not [*(phantom_run.run_dir / ".scratch").iterdir()]


def test_a_scratch_table_has_the_rows_of_its_parts_and_no_file(tmp_path: Path) -> None:
    parts = [pa.table({"a": ["x", None]}), pa.table({"a": pa.array([], pa.string())})]
    parts.append(pa.table({"a": ["y"] * 5000}))
    table = scratch_table(iter(parts), parts[0].schema, tmp_path)
    assert table.equals(pa.concat_tables(parts))
    assert not [*tmp_path.iterdir()]


@given(st.lists(st.lists(st.sampled_from(["b", "a", "", "c / d"]), max_size=5), max_size=4))
def test_groups_in_parts_are_those_of_all_names(parts: list[list[str]]) -> None:
    names = [name for part in parts for name in part]
    groups = Groups.of_parts(pa.array(part, pa.string()) for part in parts)
    assert list(groups) == names == groups.column(slice(None)).to_pylist()
    assert groups.names == tuple(sorted(set(names)))
    assert dict(zip(groups.names, groups.sizes.tolist(), strict=True)) == {
        name: names.count(name) for name in set(names)
    }
    rows = np.arange(0, len(names), 2)
    assert list(groups.take(rows)) == names[::2]
    assert groups.take(rows).names == tuple(sorted(set(names[::2])))


@given(st.lists(st.binary(max_size=9)), st.integers(1, 4))
def test_a_digest_in_pieces_is_that_of_the_whole(parts: list[bytes], size: int) -> None:
    whole = Digest()
    for part in parts:
        pieces = [part[start : start + size] for start in range(0, len(part), size)]
        whole.add_pieces(len(part), pieces)
    assert whole.hexdigest() == digest(*parts)


def test_the_digest_of_a_graph_is_that_of_its_arrays_in_64_and_32_bits() -> None:
    graph = random_graph(40, 6, 2)
    arrays = graph.index.astype(np.int64).tobytes(), graph.similarity.tobytes()
    assert graph.digest() == digest(*arrays)


@pytest.mark.usefixtures("large")
@pytest.mark.parametrize("zero", [False, True])
def test_neighbours_in_files_and_by_workers_are_those_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zero: bool
) -> None:
    vectors = planted_vectors(1500, 0, clusters=30)
    vectors[8] = vectors[7]
    if zero:
        vectors[5] = 0.0
    exact = [join(vectors, k=12, scratch=folder) for folder in (None, tmp_path)]
    assert np.array_equal(exact[0].neighbours, exact[1].neighbours)
    assert np.array_equal(exact[0].similarities, exact[1].similarities)
    config = NeighborsConfig(nlist=50, nprobe=3)
    monkeypatch.setattr("curation.neighbors.nearest_by_cells.QUERIES", 400)
    in_memory = approximate_nearest(vectors, 12, config)
    assert in_memory.recall < 1.0
    for run in (None, AsWorkers().run):
        found = approximate_nearest(vectors, 12, config, tmp_path, run)
        assert np.array_equal(in_memory.index, found.index)
        assert np.array_equal(in_memory.similarity, found.similarity)
        assert in_memory.recall == found.recall
    assert not [*tmp_path.iterdir()]


@pytest.mark.usefixtures("large")
def test_a_graph_in_files_is_that_in_memory(tmp_path: Path) -> None:
    parts = [planted_vectors(300, seed) for seed in (1, 2, 3)]
    config, neighbors = GraphConfig(neighbors=5), NeighborsConfig()
    made = build_graph(SampleVectors(*parts, shared_space=False), config, neighbors)
    in_files = SampleVectors(*parts, shared_space=False, scratch=tmp_path / "scratch")
    path = tmp_path / "graph.arrow"
    for graph in (load_graph(path, in_files, config, neighbors) for _ in range(2)):
        assert np.array_equal(graph.index, made.index)
        assert np.array_equal(graph.similarity, made.similarity)


def random_graph(n: int, k: int, seed: int) -> KnnGraph:
    """A graph of random neighbours: some missing, some cosines below 0, directions that differ."""
    rng = np.random.default_rng(seed)
    index = np.stack([rng.choice(np.delete(np.arange(n), row), k, False) for row in range(n)])
    similarity = rng.uniform(-0.3, 1.0, (n, k)).astype(np.float32)
    missing = rng.random((n, k)) < 0.2
    index[missing], similarity[missing] = -1, -np.inf
    return KnnGraph(index.astype(np.int32), similarity, "ivf", 0.9)


@settings(max_examples=60, deadline=None)
@given(st.integers(4, 60), st.integers(1, 3), st.integers(0, 1000), st.integers(1, 64))
def test_the_symmetric_graph_is_the_maximum_of_both_directions(
    n: int, k: int, seed: int, at_once: int
) -> None:
    graph = random_graph(n, k, seed)
    row, place = np.nonzero(graph.index >= 0)
    cosine = np.clip(graph.similarity[row, place].astype(np.float64), 0.0, 1.0)
    edges = csr_array(
        (np.rint(cosine * UNIT).astype(np.int32), (row, graph.index[row, place])), shape=(n, n)
    )
    expected = edges.maximum(edges.T).toarray()
    np.fill_diagonal(expected, UNIT)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("curation.selection.neighbor_matrix.ROWS_AT_A_TIME", at_once)
        found = make_symmetric(graph)
        assert np.array_equal(found.matrix.toarray(), expected)
        factor = np.random.default_rng(seed).integers(0, 9, n)
        scaled = found.scale_rows(factor, 8).matrix.toarray()
    assert np.array_equal(scaled, expected.astype(np.int64) * factor[:, None] // 8)
    # No entry is stored in vain, and each row's are in order.
    assert found.matrix.nnz == np.count_nonzero(expected)
    assert found.matrix.has_sorted_indices
