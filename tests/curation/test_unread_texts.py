"""Texts that the encoder cannot read: their characters speak, and no language is favoured."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.encoders import EmbeddedConfig
from curation.neighbors import NeighborsConfig
from curation.neighbors.shingles import canonical
from curation.pool import GraphConfig, Pool, SampleVectors, build_graph
from curation.pool.graph import joint_vectors
from curation.pool.groups import Groups
from curation.pool.letters import letter_vectors
from curation.pool.pool import sample_vectors
from curation.scoring import ScoringContext
from curation.scoring.alignment import AlignmentConfig
from curation.scoring.label_noise import LabelNoiseConfig
from curation.scoring.neighborhood import DensityConfig, RarityConfig
from curation.scoring.percentiles import rank_percentiles
from curation.scoring.tables import combine
from curation.selection.config import SelectionConfig
from curation.selection.method import Candidates
from curation.selection.quality import Scores
from curation.selection.select import select
from curation.unread import Census, census_of, encoded_census
from medsift import records
from medsift.execution import LocalExecutor
from medsift.storage.vectors import ContentVectors

ORGANS = {
    "liver": "肝脏",
    "kidney": "肾脏",
    "spleen": "脾脏",
    "heart": "心脏",
    "lung": "肺部",
    "brain": "大脑",
    "stomach": "胃部",
    "bladder": "膀胱",
}
PICTURES = 40


@pytest.fixture(scope="module")
def encoder() -> Any:
    return EmbeddedConfig(threads=1).build()


def bilingual_lines() -> list[dict[str, Any]]:
    """Two organs asked about each picture, in both languages."""
    lines = []
    for picture in range(PICTURES):
        for step in (0, 3):
            english, chinese = list(ORGANS.items())[(picture + step) % len(ORGANS)]
            yes = (picture + step) % 2 == 0
            for language, question, answer in (
                ("en", f"Is the {english} enlarged?", "yes" if yes else "no"),
                ("zh", f"{chinese}是否增大？", "是" if yes else "否"),
            ):
                lines.append(
                    {
                        "row_id": f"r{len(lines):04d}",
                        "sample_id": f"{(len(lines) * 37) % 1009:04d}",
                        "source": "s",
                        "language": language,
                        "answer_type": "closed",
                        "question": question,
                        "answer": answer,
                        "images": [f"p{picture:03d}"],
                    }
                )
    return sorted(lines, key=lambda line: line["sample_id"])


@pytest.fixture(scope="module")
def pool(encoder: Any) -> Pool:
    lines = bilingual_lines()
    samples = pa.Table.from_pylist(lines, schema=records.SAMPLES)
    texts = sorted({line[part] for line in lines for part in ("question", "answer")})
    known = ContentVectors([records.text_id(text) for text in texts], encoder.encode_texts(texts))
    pictures = sorted({line["images"][0] for line in lines})
    shown = np.random.default_rng(0).standard_normal((len(pictures), 32))
    shown /= np.linalg.norm(shown, axis=1, keepdims=True)
    images = ContentVectors(pictures, shown.astype(np.float32))
    return Pool(
        samples=samples,
        images=pa.table({"image_id": pictures, "group_id": pictures}),
        vectors=sample_vectors(samples, images, known, shared_space=False),
        mass=np.ones(len(lines)),
        strata=Groups.of([""] * len(lines)),
    )


def chinese(pool: Pool) -> np.ndarray:
    return np.array(pool.samples["language"].to_pylist()) == "zh"


def test_the_pool_knows_what_is_unread(pool: Pool) -> None:
    assert pool.vectors.unread.tolist() == chinese(pool).tolist()
    assert not pool.vectors.question[chinese(pool)].any()
    assert pool.vectors.question_letters is not None
    assert not pool.vectors.question_letters[~chinese(pool)].any()


def test_a_pool_that_is_read_whole_has_the_vectors_it_had() -> None:
    rng = np.random.default_rng(1)
    parts = [rng.standard_normal((9, 5)).astype(np.float32) for _ in range(3)]
    parts = [part / np.linalg.norm(part, axis=1, keepdims=True) for part in parts]
    vectors = SampleVectors(*parts, shared_space=False)
    assert not vectors.unread.any()
    assert joint_vectors(vectors, GraphConfig()).shape == (9, 15)


TEXT = st.text(st.characters(categories=("L", "N")), min_size=1, max_size=20)


@settings(max_examples=200, deadline=None)
@given(TEXT, TEXT)
def test_vectors_of_characters_are_equal_for_equal_forms_alone(one: str, other: str) -> None:
    vectors = letter_vectors([one, other, f"  {one}。"])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
    assert np.array_equal(vectors[0], vectors[2])
    if canonical(one) != canonical(other):
        assert vectors[0] @ vectors[1] < 0.999


def test_texts_are_as_near_as_the_characters_they_share() -> None:
    near, far, other = letter_vectors(["肝脏是否增大", "肝脏是否缩小", "这是什么检查"])
    assert near @ far > 0.5
    assert abs(near @ other) < 0.3


def test_two_questions_on_one_picture_stay_two_in_every_language(pool: Pool) -> None:
    joint = joint_vectors(pool.vectors, GraphConfig())
    np.testing.assert_allclose(np.linalg.norm(joint, axis=1), 1.0, atol=1e-5)
    cosine = joint @ joint.T
    images = np.array([images[0] for images in pool.samples["images"].to_pylist()])
    questions = np.array(pool.samples["question"].to_pylist())
    pairs = (images[:, None] == images) & (questions[:, None] != questions)
    both = pairs & np.outer(chinese(pool), chinese(pool))
    assert both.any()
    assert cosine[both].max() < 0.95
    # Between the languages the picture alone speaks, at its own weight.
    weight = 1.0 / (1.0 + 0.7**2 + 0.5**2)
    mixed = pairs & (chinese(pool)[:, None] != chinese(pool))
    np.testing.assert_allclose(cosine[mixed], weight, atol=1e-4)


def context(pool: Pool, tmp_path: Any) -> ScoringContext:
    return ScoringContext(
        pool=pool,
        make_graph=lambda: build_graph(pool.vectors, GraphConfig(neighbors=6), NeighborsConfig()),
        executor=LocalExecutor(),
        folder=tmp_path,
        cache=tmp_path,
        seed=0,
        advance=lambda rows: None,
    )


@pytest.mark.parametrize("shared", [False, True])
def test_scores_that_need_the_meaning_of_a_text_are_null_where_it_is_not_known(
    pool: Pool, tmp_path: Any, shared: bool
) -> None:
    if shared:
        vectors = pool.vectors
        wide = np.pad(vectors.image, ((0, 0), (0, vectors.question.shape[1] - 32)))
        parts = (wide, vectors.question, vectors.answer, True)
        letters = (vectors.question_letters, vectors.answer_letters)
        pool = replace(pool, vectors=SampleVectors(*parts, *letters))
    for scorer in (
        AlignmentConfig(kind="alignment"),
        DensityConfig(kind="density"),
        RarityConfig(kind="rarity"),
    ):
        found = scorer.score(context(pool, tmp_path))
        assert np.isnan(found).tolist() == chinese(pool).tolist()


def test_label_noise_goes_by_equal_normal_forms_in_any_language(pool: Pool, tmp_path: Any) -> None:
    found = LabelNoiseConfig(kind="label_noise", min_group_size=5).score(context(pool, tmp_path))
    assert np.isfinite(found).all()
    # The same pictures, questions and answers in either language: the same estimates.
    order = np.lexsort((pool.samples["row_id"].to_pylist(), chinese(pool)))
    english, other = np.split(found[order], 2)
    np.testing.assert_allclose(english, other, atol=1e-6)


def test_a_missing_score_is_neutral_in_the_combination(pool: Pool) -> None:
    rng = np.random.default_rng(2)
    values = np.where(chinese(pool), np.nan, rng.random(len(pool)))
    other = rng.random(len(pool))
    parts = {
        name: rank_percentiles(score, pool.strata) for name, score in (("a", values), ("b", other))
    }
    quality = combine(parts, {"a": 1.0, "b": -1.0})
    assert np.isfinite(quality).all()
    means = [quality[rows].mean() for rows in (chinese(pool), ~chinese(pool))]
    assert means[0] == pytest.approx(means[1], abs=0.05)
    assert np.isnan(combine({"a": parts["a"]}, {"a": 1.0})[chinese(pool)]).all()


METHODS = [
    {"kind": "facility_location"},
    {"kind": "kernel_likelihood"},
    {"kind": "k_center"},
    {"kind": "cluster_temperature"},
    {"kind": "prototype_pruning"},
    {"kind": "deita"},
]


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method["kind"])
def test_no_method_starves_a_language(pool: Pool, method: dict[str, Any]) -> None:
    graph = GraphConfig(neighbors=8)
    candidates = Candidates(pool, build_graph(pool.vectors, graph, NeighborsConfig()), graph)
    config = SelectionConfig.model_validate({"name": "s", "budget": 40, "method": method})
    # Methods that cluster depend on the seed: one draw of it says little.
    orders = [select(candidates, Scores(None), config, seed, LocalExecutor()).order
              for seed in range(8)]  # fmt: skip
    assert 0.35 <= np.mean([chinese(pool)[order].mean() for order in orders]) <= 0.65


def test_the_count_is_by_script_and_comes_back_from_the_folder(encoder: Any, tmp_path: Any) -> None:
    texts = ["left lung", "肺结核", "肺癌", "폐렴", " ", "♂", "Is there 肺结核?"]
    census = Census.of(texts, encoder.reads(texts))
    assert (census.texts, census.count) == (6, 5)
    assert census.unread == {"cjk": 3, "hangul": 1, "signs": 1}
    said = census.sentence("embedded")
    assert said is not None
    assert "5 of 6 distinct texts" in said
    assert "(cjk 3, hangul 1, signs 1)" in said
    assert Census.of(texts[:1], encoder.reads(texts[:1])).sentence("embedded") is None
    assert census_of(census.measures().to_pylist()) == census
    vectors = encoder.encode_texts(texts)
    column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), vectors.shape[1])
    ids = [records.text_id(text) for text in texts]
    (tmp_path / "vectors").mkdir()
    table = pa.table({"content_id": ids, "text": texts, "vector": column})
    parts = []
    for number, rows in enumerate((table.slice(0, 3), table.slice(3))):
        parts.append(tmp_path / "vectors" / f"part-{number:06d}.parquet")
        pq.write_table(rows.select(["content_id", "vector"]), parts[-1])
    listed = [table.slice(0, 3), table.slice(3)]
    assert encoded_census(listed, parts) == census
