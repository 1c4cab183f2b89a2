"""The selector of `ofa` learns clusters once, keeps them in a file, and scores any pool by it."""

from __future__ import annotations

import numpy as np
import pytest

from curation.add_selection import parse_selection
from curation.pool import GraphConfig, SampleVectors
from curation.selection.method import SelectionContext
from curation.selection.ofa import OfaConfig, train_on_candidates
from curation.selection.ofa_selector import OfaSelector, train_selector
from curation.selection.quotas import Groups
from curation.selection.softmax import RIDGE, class_balanced_weights, fit_softmax
from medsift.storage import mirror
from medsift.storage.mirror import mirror_of
from tests.curation.selection.conftest import planted_vectors
from tests.expect import raises_code

# Fitting by another library is the oracle, to the accuracy that both stop at.
NEAR = 2e-3


def picked(candidates, **settings):
    everyone = Groups.one(len(candidates))
    context = SelectionContext(candidates, everyone, np.ones(len(candidates)))
    return OfaConfig(**settings).picker(context)(np.array([len(candidates)]))


@pytest.fixture(scope="module")
def selector(candidates):
    return train_on_candidates(candidates, 9, 0)


def test_the_classifier_is_that_of_another_library():
    linear = pytest.importorskip("sklearn.linear_model")
    rng = np.random.default_rng(0)
    features, label = planted_vectors(150, 1).astype(np.float64), rng.integers(0, 4, 150)
    label[:90] = 0
    coefficients, intercepts = fit_softmax(features, label)
    weight = class_balanced_weights(np.bincount(label))[label]
    # Its penalty is |W|² / (2 C) next to a sum of losses, ours is next to their mean.
    other = linear.LogisticRegression(C=1.0 / RIDGE, tol=1e-10, max_iter=5000)
    other.fit(features, label, sample_weight=weight / weight.sum())
    ours = features @ coefficients + intercepts
    theirs = other.decision_function(features)
    for logits in (ours, theirs):
        logits -= logits.mean(axis=1, keepdims=True)
    assert abs(ours - theirs).max() < 0.01 * abs(theirs).max() + NEAR


def test_a_class_weighs_the_inverse_of_its_effective_number():
    sizes = np.array([1, 2, 50, 10_000_000])
    plain = [1.0 / sum(0.999**power for power in range(min(size, 100_000))) for size in sizes]
    assert class_balanced_weights(sizes) == pytest.approx(plain)


def test_the_score_is_one_less_the_margin_times_the_rarity(candidates, selector):
    vectors = candidates.pool.vectors
    expected = []
    for features in selector.features(vectors).astype(np.float64):
        logits = [
            float(features @ selector.coefficients[:, cluster] + selector.intercepts[cluster])
            for cluster in range(len(selector.share))
        ]
        powers = [np.exp(logit) for logit in logits]
        shares = [power / sum(powers) for power in powers]
        second, first = sorted(shares)[-2:]
        expected.append((1 - (first - second)) * -np.log(selector.share[shares.index(first)]))
    assert selector.score(vectors) == pytest.approx(expected, abs=1e-5)
    order = picked(candidates, clusters=9)
    assert order.gain.tolist() == sorted(selector.score(vectors).tolist(), reverse=True)


def test_it_is_sure_of_what_lies_in_one_cluster_and_not_of_what_lies_between():
    rng = np.random.default_rng(4)
    centers = np.eye(8)[:2] * 3
    points = np.concatenate([centers[np.repeat([0, 1], 40)], centers.mean(axis=0)[None]])
    points = points + 0.1 * rng.standard_normal(points.shape)
    points = (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)
    vectors = SampleVectors(points, points, points, shared_space=False)
    score = train_selector(vectors, GraphConfig(), 2, 0).score(vectors)
    assert score.argmax() == 80


def test_features_are_the_joint_vectors_of_the_pool_it_was_trained_on(candidates, selector):
    # The pool subtracts its mean in two roundings, the selector in one.
    assert selector.features(candidates.pool.vectors) == pytest.approx(candidates.joint(), abs=1e-5)


def test_a_sample_scores_the_same_in_whatever_pool(candidates, selector):
    vectors = candidates.pool.vectors
    part = np.arange(3, 60, 7)
    assert selector.score(vectors.take(part)).tolist() == selector.score(vectors)[part].tolist()


def test_a_file_selects_in_another_pool_as_the_selector_does(
    candidates, make_candidates, selector, tmp_path
):
    file = tmp_path / "selector.npz"
    selector.save(file)
    other = make_candidates(n=80, seed=5)
    score = selector.score(other.pool.vectors)
    order = picked(other, selector=file)
    assert order.gain.tolist() == score[order.order].tolist()
    assert order.order.tolist() == np.argsort(-score, kind="stable").tolist()
    again = OfaConfig.model_validate(OfaConfig(selector=file).model_dump(mode="json"))
    file.unlink()
    assert OfaConfig.model_validate(again.model_dump(mode="json")) == again
    with raises_code("selector_invalid", path=str(file)):
        picked(other, **again.model_dump())


def test_another_file_under_the_name_is_refused_and_is_another_selection(
    candidates, selector, tmp_path
):
    file = tmp_path / "selector.npz"
    selector.save(file)
    before = OfaConfig(selector=file)
    train_on_candidates(candidates, 5, 1).save(file)
    assert OfaConfig(selector=file) != before
    with raises_code("selector_invalid", path=str(file)):
        picked(candidates, **before.model_dump())


def test_a_file_that_is_no_selector_or_of_another_version_or_encoder_is_refused(
    candidates, selector, tmp_path
):
    file = tmp_path / "selector.npz"
    file.write_bytes(b"no archive")
    with raises_code("selector_invalid", path=str(file)):
        OfaSelector.load(file)
    selector.save(file)
    with np.load(file) as arrays:
        changed = dict(arrays)
    np.savez(file, **{**changed, "version": 99})
    with raises_code("selector_invalid", path=str(file)):
        OfaSelector.load(file)
    narrow = SampleVectors(*[planted_vectors(9, 1, width=6)] * 3, shared_space=False)
    with raises_code("selector_invalid", widths=[6, 6, 6], trained_on=[24, 24, 24]):
        selector.score(narrow)


@pytest.mark.parametrize(
    "settings",
    [
        {"selector": "nowhere.npz"},
        {"selector": "nowhere.npz", "clusters": 4},
        {"selector_sha256": "ab"},
    ],
)
def test_settings_that_cannot_be_are_refused(settings):
    with pytest.raises(ValueError, match="selector"):
        OfaConfig(**settings)


@pytest.mark.parametrize(("samples", "clusters"), [(1, 2), (8, 9)])
def test_a_pool_too_small_for_its_clusters_is_refused(make_candidates, samples, clusters):
    with raises_code("selector_invalid", clusters=clusters, samples=samples):
        train_on_candidates(make_candidates(n=samples), clusters, 0)


def test_samples_that_are_all_alike_are_refused():
    part = np.repeat(planted_vectors(1, 1), 4, axis=0)
    vectors = SampleVectors(part, part, part, shared_space=False)
    with raises_code("selector_invalid", clusters=1, samples=4):
        train_selector(vectors, GraphConfig(), 2, seed=0)


def test_a_selector_in_a_store_selects_on_another_machine(
    candidates, make_candidates, selector, bucket_url, tmp_path, monkeypatch
):
    url = f"{bucket_url}/selector.npz"
    with raises_code("selection_invalid"):
        parse_selection({"name": "s", "budget": 9, "method": {"kind": "ofa", "selector": url}})
    selector.save(mirror_of(url))
    monkeypatch.setenv("MEDSIFT_CACHE_DIR", str(tmp_path / "other"))
    monkeypatch.setattr(mirror, "_compared", set())
    method = OfaConfig(selector=url)
    assert method.model_dump(mode="json")["selector"] == url
    other = make_candidates(n=80, seed=5)
    score = selector.score(other.pool.vectors)
    assert picked(other, selector=url).gain.tolist() == sorted(score.tolist(), reverse=True)
    train_on_candidates(candidates, 4, 0).save(mirror_of(url))
    with raises_code("selector_invalid"):
        picked(other, **method.model_dump(mode="json", exclude={"kind"}))
