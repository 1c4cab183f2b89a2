"""The pool and its graph: who is in it, what it knows, and who is near whom."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.neighbors import NeighborsConfig
from curation.pool import (
    GraphConfig,
    Pool,
    SampleVectors,
    build_graph,
    graph_path,
    load_graph,
    load_pool,
    stratum_names,
)
from curation.pool.graph import joint_vectors
from curation.pool.groups import Groups
from curation.scoring.image_features import deal
from curation.stage_outputs import Upstream
from medsift.manifest import read
from medsift.records import SAMPLES, STRATUM_TAGS
from tests.expect import raises_code


@pytest.fixture(scope="module")
def upstream(phantom_run) -> Upstream:
    return phantom_run.upstream


@pytest.fixture(scope="module")
def pool(upstream) -> Pool:
    return load_pool(upstream, STRATUM_TAGS, shared_space=False)


def test_the_pool_is_what_may_be_trained_on_in_order_of_ids(phantom_run, pool) -> None:
    sql = "SELECT sample_id FROM selected_samples WHERE selection = 'kept' ORDER BY sample_id"
    assert pool.sample_ids == read(phantom_run.manifest, sql)["sample_id"].to_pylist()
    assert set(pool.samples["split"].to_pylist()) == {"train"}


def test_mass_counts_the_rows_a_sample_represents(phantom_run, pool) -> None:
    sql = "SELECT sample_id, weight FROM selected_samples WHERE selection = 'kept'"
    weight = {
        line["sample_id"]: line["weight"] for line in read(phantom_run.manifest, sql).to_pylist()
    }
    assert pool.mass.tolist() == [weight[sample] for sample in pool.sample_ids]
    assert pool.mass.max() > 1


def slow_groups(pool: Pool) -> list[set[int]]:
    """Each sample's group, by joining samples that share anything until nothing changes."""
    group = dict(
        zip(pool.images["image_id"].to_pylist(), pool.images["group_id"].to_pylist(), strict=True)
    )
    keys = []
    for row, line in enumerate(pool.samples.to_pylist()):
        shared = {("group", group[image]) for image in line["images"] or ()}
        for tag in ("study_id", "patient_id"):
            shared |= {(tag, line["source"], line[tag])} if line[tag] else set()
        keys.append(shared or {("alone", row)})
    found = [{row} for row in range(len(keys))]
    changed = True
    while changed:
        changed = False
        for one in range(len(keys)):
            for other in range(len(keys)):
                if keys[one] & keys[other] and found[one] != found[other]:
                    whole = found[one] | found[other]
                    for row in whole:
                        found[row] = whole
                    changed = True
    return found


def pool_of(lines: list[dict[str, object]], copies: dict[str, str]) -> Pool:
    blank = {name: None for name in SAMPLES.names} | {"source": "s"}
    rows = [
        blank | {"row_id": f"r{n}", "sample_id": f"id{n:03d}", "question": f"q{n}"} | line
        for n, line in enumerate(lines)
    ]
    none = np.zeros((len(rows), 0), np.float32)
    return Pool(
        samples=pa.Table.from_pylist(rows, schema=SAMPLES),
        images=pa.table({"image_id": list(copies), "group_id": list(copies.values())}),
        vectors=SampleVectors(none, none, none, shared_space=False),
        mass=np.ones(len(rows)),
        strata=Groups.one(len(rows)),
    )


PICTURES = [f"p{n}" for n in range(8)]
LINES = st.lists(
    st.fixed_dictionaries(
        {
            "images": st.lists(st.sampled_from(PICTURES), max_size=3),
            "study_id": st.sampled_from([None, None, "a", "b", "c"]),
            "patient_id": st.sampled_from([None, None, None, "a", "b"]),
            "source": st.sampled_from(["s", "t"]),
        }
    ),
    min_size=1,
    max_size=14,
)


@settings(max_examples=150, deadline=None)
@given(LINES, st.lists(st.sampled_from(["g1", "g2", "g3"]), min_size=8, max_size=8))
def test_a_group_is_all_that_pictures_studies_and_patients_connect(
    lines: list[dict[str, object]], groups: list[str]
) -> None:
    copies = {
        image: f"{group}{n % 3}"
        for n, (image, group) in enumerate(zip(PICTURES, groups, strict=True))
    }
    pool = pool_of(lines, copies)
    names, expected = pool.image_groups, slow_groups(pool)
    for one in range(len(pool)):
        assert {row for row in range(len(pool)) if names[row] == names[one]} == expected[one]


def test_a_group_keeps_the_name_of_its_smallest_picture(pool) -> None:
    lines = [{"images": ["p1"]}, {"images": ["p2", "p1"]}, {"images": []}]
    made = pool_of(lines, {"p1": "p1", "p2": "p0"})
    assert made.image_groups == ["p0", "p0", "id002"]
    assert 1 < len(set(pool.image_groups)) < len(pool)


def test_folds_cut_no_study_that_is_asked_with_one_view_and_with_two() -> None:
    lines, copies = [], {}
    for study in range(100):
        front, side = f"{study:03d}f", f"{study:03d}l"
        copies |= {front: front, side: side}
        lines += [{"images": [front, side]}, {"images": [side]}]
    fold = deal(pool_of(lines, copies).image_groups, 5, 0)
    assert (fold[::2] == fold[1::2]).all()
    assert set(fold.tolist()) == set(range(5))


def test_vectors_are_unit_and_belong_to_their_texts(pool) -> None:
    for part in (pool.vectors.image, pool.vectors.question, pool.vectors.answer):
        np.testing.assert_allclose(np.linalg.norm(part, axis=1), 1.0, atol=1e-5)
    questions = np.array(pool.samples["question"].to_pylist())
    same = questions[:, None] == questions[None, :]
    near = pool.vectors.question @ pool.vectors.question.T > 0.9999
    np.testing.assert_array_equal(same, near)


def test_a_stratum_names_its_tags_and_unknown_ones() -> None:
    rows = [{"modality": "ct", "task_type": "organ"}, {"modality": None, "task_type": "side"}]
    blank = {name: None for name in SAMPLES.names} | {"row_id": "r", "source": "s"}
    samples = pa.Table.from_pylist([blank | row for row in rows], schema=SAMPLES)
    named = stratum_names(samples, ["modality", "task_type"])
    assert list(named) == ["ct / organ", "unknown / side"]
    assert list(stratum_names(samples, [])) == ["", ""]
    known = ["modality", "task_type"]
    with raises_code("stratum_tag_empty", tag="license", known=known):
        stratum_names(samples, ["modality", "license"])


def random_vectors(n: int, seed: int, without: int = 0) -> SampleVectors:
    rng = np.random.default_rng(seed)
    parts = []
    for width in (8, 6, 6):
        # One direction that all share, as vectors of one encoder have.
        part = rng.standard_normal((n, width)) + 4.0 * np.eye(width)[0]
        part /= np.linalg.norm(part, axis=1, keepdims=True)
        parts.append(part.astype(np.float32))
    parts[0][:without] = 0.0
    return SampleVectors(*parts, shared_space=False)


def slow_graph(vectors: SampleVectors, config: GraphConfig) -> np.ndarray:
    """All cosines of the weighted, centred parts, one pair after the other."""
    joint = []
    for part, weight in (
        (vectors.image, config.image),
        (vectors.question, config.question),
        (vectors.answer, config.answer),
    ):
        there = np.any(part != 0, axis=1)
        centred = np.where(there[:, None], part - part[there].astype(float).mean(axis=0), 0.0)
        norms = np.linalg.norm(centred, axis=1, keepdims=True)
        joint.append(weight * np.divide(centred, norms, out=centred, where=norms > 0))
    whole = np.concatenate(joint, axis=1)
    norms = np.linalg.norm(whole, axis=1)
    return whole @ whole.T / np.outer(norms, norms)


@pytest.mark.parametrize("without", [0, 4])
def test_the_graph_holds_the_nearest_others(without) -> None:
    vectors = random_vectors(60, 1, without)
    config = GraphConfig(neighbors=7)
    graph = build_graph(vectors, config, NeighborsConfig())
    cosine = slow_graph(vectors, config)
    np.fill_diagonal(cosine, -np.inf)
    best = np.sort(cosine, axis=1)[:, ::-1][:, :7]
    np.testing.assert_allclose(graph.similarity, best, atol=1e-5)
    found = np.take_along_axis(cosine, graph.index, axis=1)
    np.testing.assert_allclose(found, best, atol=1e-5)
    assert (graph.method, graph.recall) == ("exact", 1.0)


def test_a_part_of_weight_zero_does_not_count() -> None:
    vectors = random_vectors(30, 2)
    other = SampleVectors(vectors.image, random_vectors(30, 3).question, vectors.answer, False)
    config = GraphConfig(neighbors=3, question=0.0)
    one, two = (build_graph(part, config, NeighborsConfig()) for part in (vectors, other))
    assert one.index.tolist() == two.index.tolist()


def test_pictures_are_centred_on_their_modality_where_it_has_enough_of_them(monkeypatch) -> None:
    monkeypatch.setattr("curation.pool.graph.LEAST_OF_A_MODALITY", 10)
    vectors = random_vectors(50, 8, without=3)
    # Modality 0 has pictures of 20 samples, modality 1 of 18, modality 2 of too few.
    modality = np.repeat([0, 1, 2], [23, 18, 9])
    vectors = replace(vectors, modality=modality)
    config = GraphConfig(question=0.0, answer=0.0, center="modality")
    there = np.arange(50) >= 3
    expected = np.zeros((50, 8))
    for row in np.flatnonzero(there):
        alike = there & (modality == modality[row]) if modality[row] < 2 else there
        less = vectors.image[row] - vectors.image[alike].astype(float).mean(axis=0)
        expected[row] = less / np.linalg.norm(less)
    np.testing.assert_allclose(joint_vectors(vectors, config), expected, atol=1e-5)
    # Without modalities, and in texts, it is the pool's mean.
    unknown = replace(vectors, modality=None)
    for one, other, changes in (
        (unknown, unknown, {}),
        (vectors, vectors, {"image": 0.0, "question": 1.0}),
    ):
        own = joint_vectors(one, config.model_copy(update=changes))
        pool = joint_vectors(other, config.model_copy(update={**changes, "center": "pool"}))
        np.testing.assert_array_equal(own, pool)


def test_without_centring_a_single_part_is_as_the_encoder_gave_it() -> None:
    vectors = random_vectors(12, 9)
    config = GraphConfig(question=0.0, answer=0.0, center="none")
    np.testing.assert_allclose(joint_vectors(vectors, config), vectors.image, atol=1e-6)


def test_samples_keep_their_modality_when_some_are_taken(pool) -> None:
    rows = np.arange(0, len(pool), 3)
    taken = pool.take(rows)
    of_name: dict[str, set[int]] = {}
    names = taken.samples["modality"].to_pylist()
    for name, number in zip(names, taken.vectors.modality.tolist(), strict=True):
        of_name.setdefault(name, set()).add(number)
    assert len(of_name) > 1
    assert sorted(of_name.values(), key=min) == [
        {n} for n in sorted(set().union(*of_name.values()))
    ]


@pytest.mark.parametrize("part", ["image", "question", "answer"])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_vector_that_is_not_finite_is_refused(part, bad) -> None:
    vectors = random_vectors(10, 4)
    getattr(vectors, part)[3, 2] = bad
    with raises_code("vectors_invalid", row=3, rows=1):
        build_graph(vectors, GraphConfig(neighbors=2), NeighborsConfig())


def test_a_small_pool_has_fewer_neighbours_than_asked_for() -> None:
    graph = build_graph(random_vectors(3, 5), GraphConfig(neighbors=8), NeighborsConfig())
    assert graph.index.shape == (3, 8)
    assert (graph.index[:, :2] >= 0).all()
    assert (graph.index[:, 2:] == -1).all()
    assert np.isneginf(graph.similarity[:, 2:]).all()
    empty = build_graph(random_vectors(0, 6), GraphConfig(neighbors=8), NeighborsConfig())
    assert len(empty) == 0


def test_a_stored_graph_is_made_once_and_read_again(tmp_path, monkeypatch) -> None:
    config, neighbors = GraphConfig(neighbors=4), NeighborsConfig()
    path, vectors = graph_path(tmp_path, "dedup-abc", config), random_vectors(20, 7)
    first = load_graph(path, vectors, config, neighbors)
    made = build_graph(vectors, config, neighbors)
    monkeypatch.setattr("curation.pool.graph.build_graph", lambda *_: pytest.fail("it is there"))
    again = load_graph(path, vectors, config, neighbors)
    for graph in (first, again):
        assert graph.index.tolist() == made.index.tolist()
        assert graph.similarity.tolist() == made.similarity.tolist()
        assert (graph.method, graph.recall) == (made.method, made.recall)
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    with raises_code("graph_damaged", path=str(path)):
        load_graph(path, random_vectors(21, 7), config, neighbors)
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    path.unlink()
    path.write_bytes(flipped)
    with raises_code("graph_damaged", path=str(path)):
        load_graph(path, vectors, config, neighbors)
    path.write_bytes(whole[:100])
    with raises_code("graph_damaged", path=str(path)):
        load_graph(path, vectors, config, neighbors)


def test_another_pool_or_another_config_has_another_graph(tmp_path) -> None:
    paths = {
        graph_path(tmp_path, pool, config)
        for pool in ("dedup-a", "dedup-b")
        for config in (GraphConfig(), GraphConfig(neighbors=3), GraphConfig(answer=0.1))
    }
    assert len(paths) == 6
    assert {path.parent for path in paths} == {tmp_path / "graphs"}


def test_facts_of_pictures_are_those_shown(upstream, pool) -> None:
    shown = {image for images in pool.samples["images"].to_pylist() for image in images}
    assert set(pool.images["image_id"].to_pylist()) == shown
    whole = upstream.images.images.read()
    assert pool.images.num_rows == len(shown) < pc.count_distinct(whole["image_id"]).as_py()
