"""Every method keeps its quotas and does what its paper says, however the work is spread."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import numpy as np
import pyarrow as pa
import pytest

from curation.selection import AnyMethod, SelectionContext
from curation.selection.baselines import RandomConfig, TopScoreConfig
from curation.selection.cluster_temperature import Kernel, greedy_mmd, measure_density, share_out
from curation.selection.config import SelectionConfig
from curation.selection.deita import DeitaConfig
from curation.selection.facility_location import FacilityLocationConfig
from curation.selection.k_center import KCenterConfig, farthest_first
from curation.selection.method import take_first
from curation.selection.prototype_pruning import PrototypePruningConfig
from curation.selection.quality import Scores
from curation.selection.quantized_vectors import quantize
from curation.selection.quotas import Groups
from curation.selection.select import select
from curation.selection.target import TargetConfig
from curation.selection.turns import Rankings, take_turns
from tests.curation.selection.conftest import AsWorkers, planted_vectors, unit
from tests.expect import raises_code

METHODS = [
    {"kind": "facility_location"},
    {"kind": "facility_location", "partition_above": 60},
    {"kind": "kernel_likelihood"},
    {"kind": "kernel_likelihood", "partition_above": 60},
    {"kind": "k_center"},
    {"kind": "deita"},
    {"kind": "cluster_temperature"},
    {"kind": "prototype_pruning"},
    {"kind": "target", "where": "modality = 'xray'"},
    {"kind": "ofa"},
    {"kind": "centered_gram"},
    {"kind": "top_score"},
    {"kind": "random"},
    {"kind": "stratified_random"},
    {"kind": "longest"},
]
every_method = pytest.mark.parametrize("method", METHODS, ids=lambda method: method["kind"])


def test_every_method_of_a_recipe_is_among_those_tested_here():
    configs = get_args(get_args(AnyMethod)[0])
    kinds = {config.model_fields["kind"].default for config in configs}
    assert kinds == {method["kind"] for method in METHODS}


def context(candidates, seed=0, groups=None):
    quality = np.random.default_rng(seed).random(len(candidates)).round(2)
    return SelectionContext(candidates, groups or candidates.strata, quality, seed)


def one_group(candidates):
    return Groups.one(len(candidates))


def chosen(candidates, method, executor=AsWorkers(), **settings):  # noqa: B008
    settings = {"name": "x", "method": method, "budget": 60, **settings}
    config = SelectionConfig.model_validate(settings)
    return select(candidates, Scores(None), config, 0, executor)


@every_method
@pytest.mark.parametrize("share", ["10%", "20%", "30%", "100%"])
def test_every_method_fills_the_budget_and_the_quotas_with_different_samples(
    candidates, method, share
):
    found = chosen(candidates, method, budget=share, quotas="proportional")
    wanted = int(float(share[:-1]) / 100 * len(candidates) + 0.5)
    assert len(set(found.order.tolist())) == len(found.order) == wanted
    counts = found.config.quotas.counts(candidates.strata, wanted)
    taken = np.bincount(candidates.strata.code[found.order], minlength=len(counts))
    assert (taken == counts).all()
    assert found.weight.sum() == pytest.approx(candidates.mass.sum())


@every_method
def test_workers_change_nothing(make_candidates, method):
    here = chosen(make_candidates(), method)
    there = chosen(make_candidates(spread_above=0), method)
    assert here.order.tolist() == there.order.tolist()
    assert np.array_equal(here.gain, there.gain, equal_nan=True)


@every_method
def test_the_usual_quotas_cover_every_stratum_or_none_are_asked_for(candidates, method):
    found = chosen(candidates, method, budget="20%")
    covered = len(set(candidates.strata.code[found.order].tolist()))
    if found.config.method.usual_quotas.kind == "none":
        assert method["kind"] in {
            "kernel_likelihood",
            "target",
            "top_score",
            "random",
            "longest",
        }
    else:
        assert covered == len(candidates.strata.names)


def test_only_chance_depends_on_the_seed(candidates):
    for method in METHODS:
        one, other = (chosen(candidates, method, seed=seed).order.tolist() for seed in (1, 2))
        chance = method["kind"] in {
            "random",
            "stratified_random",
            "cluster_temperature",
            "prototype_pruning",
            "ofa",
        }
        if "partition_above" not in method:
            assert (one != other) == chance, method
        config = SelectionConfig.model_validate({"name": "x", "method": method, "budget": 1})
        # Parts are dealt by a seeded hash, though the picks may come out alike.
        assert config.method.depends_on_seed(200) == (chance or "partition_above" in method)


# Facility location.


def test_a_better_twin_represents_a_poor_sample_too(make_candidates):
    candidates = make_candidates(n=40)
    quality = np.ones(40)
    first = _order(candidates, quality, 0.5)[0]
    quality[first] = 0.0
    assert _order(candidates, quality, 0.5)[0] != first
    assert _order(candidates, quality, 0.0)[0] == first


def _order(candidates, quality, weight):
    made = SelectionContext(candidates, one_group(candidates), quality)
    config = FacilityLocationConfig(neighbors=None, quality_weight=weight)
    return config.picker(made)(np.array([5])).order.tolist()


def test_a_pool_of_poor_samples_is_still_covered(candidates):
    made = SelectionContext(candidates, one_group(candidates), np.zeros(len(candidates)))
    picked = FacilityLocationConfig(quality_weight=1.0).picker(made)(np.array([20]))
    assert len(set(picked.order.tolist())) == 20


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("neighbors", [1, 3, None])
def test_facility_location_is_plain_greedy_on_its_neighbours_and_masses(
    candidates, neighbors, power
):
    index, cosine = candidates.graph.index, candidates.graph.similarity
    value = np.eye(len(candidates))
    for row in range(len(candidates)):
        for place in range(index.shape[1] if neighbors is None else neighbors):
            other, near = index[row, place], max(0.0, float(cosine[row, place]))
            value[row, other] = value[other, row] = near
    mass = candidates.pool.mass**power
    assert len(set(mass.tolist())) == (4 if power else 1)
    served, order, gains = np.zeros(len(candidates)), [], []
    for _ in range(12):
        gain = (np.maximum(value - served, 0.0) * mass).sum(axis=1)
        gain[order] = -1.0
        order.append(int(gain.argmax()))
        gains.append(gain.max())
        served = np.maximum(served, value[order[-1]])
    made = SelectionContext(candidates, one_group(candidates), np.ones(len(candidates)))
    config = FacilityLocationConfig(neighbors=neighbors, quality_weight=0.0, mass_power=power)
    picked = config.picker(made)(np.array([12]))
    # A mass that is no whole number is rounded to 1/64.
    exact = power in (0.0, 1.0)
    np.testing.assert_allclose(picked.gain, gains, rtol=1e-4 if exact else 2e-2)
    if exact:
        assert picked.order.tolist() == order


def test_facility_location_covers_more_than_every_other_method(candidates):
    covered = {
        method["kind"]: chosen(candidates, method, budget=30, quotas="none").curve.coverage[-1]
        for method in METHODS
    }
    assert max(covered, key=covered.__getitem__) == "facility_location"


# k-center.


@pytest.mark.parametrize("seed", range(3))
def test_farthest_first_is_the_traversal_as_defined(seed, monkeypatch):
    monkeypatch.setattr("curation.selection.k_center.FEW", 7)
    vectors = planted_vectors(120, seed)
    vectors[40:44] = vectors[7]
    points = quantize(vectors).points.astype(np.float64)
    square = ((points[:, None] - points[None]) ** 2).sum(axis=2)
    order = [int(np.argmin(((points - points.mean(axis=0)) ** 2).sum(axis=1)))]
    while len(order) < 120:
        nearest = square[:, order].min(axis=1)
        nearest[order] = -1.0
        order.append(int(np.argmax(nearest)))
    for count in (0, 1, 40, 120):
        found, distance = farthest_first(quantize(vectors), count)
        assert found.tolist() == order[:count]
        expected = [square[order[:place], row].min() for place, row in enumerate(order) if place]
        assert distance[1:].tolist() == expected[: max(0, count - 1)]


def test_k_center_leaves_nobody_farther_than_twice_the_best_radius(candidates):
    picked = KCenterConfig().picker(context(candidates, groups=one_group(candidates)))
    points = candidates.joint().astype(np.float64)
    distance = np.sqrt(np.maximum(0.0, 2.0 - 2.0 * points @ points.T))
    radius = distance[:, picked(np.array([20])).order].min(axis=1).max()
    # Of any 21 samples that lie d apart, two share one of 20 centers: no radius is below d / 2.
    apart = picked(np.array([21])).order
    between = distance[np.ix_(apart, apart)][np.triu_indices(21, 1)].min()
    assert radius <= 2 * (between / 2) + 1e-3


# DEITA.


@pytest.mark.parametrize("threshold", [0.3, 0.6, 0.9])
def test_deita_walks_down_the_scores_and_skips_what_it_has(candidates, threshold):
    made = context(candidates)
    counts = made.groups.sizes // 3
    cosine = candidates.joint() @ candidates.joint().T
    order, left = [], counts.copy()
    ranked = np.argsort(-made.quality, kind="stable")
    for strict in (True, False):
        for row in ranked:
            near = order and strict and cosine[row, order].max() > threshold
            if row not in order and left[made.groups.code[row]] and not near:
                order.append(int(row))
                left[made.groups.code[row]] -= 1
    picked = DeitaConfig(max_cosine=threshold).picker(made)(counts)
    assert picked.order.tolist() == order
    assert picked.gain.tolist() == made.quality[order].tolist()


# Clusters.


@pytest.mark.parametrize("rows", [1, 9, 40])
@pytest.mark.parametrize("at_a_time", [4, 100])
def test_greedy_mmd_lowers_the_discrepancy_the_most_each_time(rows, at_a_time, monkeypatch):
    monkeypatch.setattr("curation.selection.cluster_temperature._ROWS_AT_A_TIME", at_a_time)
    vectors = planted_vectors(rows, 5)
    points = quantize(vectors).points.astype(np.float64) / quantize(vectors).scale
    kernel = np.exp(-0.5 * ((points[:, None] - points[None]) ** 2).sum(axis=2))
    order: list[int] = []
    while len(order) < rows:
        free = [row for row in range(rows) if row not in order]
        lack = [
            kernel[np.ix_([*order, row], [*order, row])].mean() - 2 * kernel[[*order, row]].mean()
            for row in free
        ]
        order.append(free[int(np.argmin(np.round(lack, 12)))])
    assert greedy_mmd(Kernel(quantize(vectors)), rows).tolist() == order


def test_cluster_quotas_follow_transferability_over_density():
    rng = np.random.default_rng(0)
    center, label = rng.standard_normal((2, 32)), np.repeat([0, 1], 50)
    spread = np.repeat([0.1, 0.9], 50)[:, None]
    points = quantize(unit(center[label] + spread * rng.standard_normal((100, 32))))
    logit = np.array([1.2, 1.0])
    vectors = points.points.astype(np.float64) / points.scale
    kernel = np.exp(-0.5 * ((vectors[:, None] - vectors[None]) ** 2).sum(axis=2))
    density = [kernel[:50, :50].mean(), kernel[50:, 50:].mean()]
    share = np.exp(logit / density)
    measured = [measure_density(points, np.flatnonzero(label == cluster)) for cluster in (0, 1)]
    assert measured == pytest.approx(density, rel=1e-9)
    taken = share_out(np.array([50, 50]), logit / np.array(measured), 40)
    assert taken.sum() == 40
    assert abs(taken - 40 * share / share.sum()).max() < 1
    assert taken[1] > taken[0]  # the loose cluster gives more, though it transfers less


def test_prototype_pruning_keeps_those_far_from_their_centroid(candidates):
    picked = PrototypePruningConfig().picker(context(candidates))
    everything = picked(candidates.strata.sizes)
    assert (np.diff(everything.gain) <= 0).all()
    some = picked(candidates.strata.sizes // 2)
    assert (
        some.order.tolist()
        == take_first(everything.order, candidates.strata, candidates.strata.sizes // 2).tolist()
    )


# Targets.


def test_targets_take_turns_and_each_takes_its_nearest_free_sample(candidates):
    made = context(candidates)
    targets = [3, 70, 150]
    ids = tuple(candidates.sample_ids[row] for row in targets)
    counts = made.groups.sizes // 2
    points = candidates.quantized.points.astype(np.float64)
    cosine, left, order = points[targets] @ points.T, counts.copy(), []
    while left.any():
        for target in range(3):
            free = [row for row in range(200) if row not in order and left[made.groups.code[row]]]
            if free:
                best = free[int(np.argmax(cosine[target, free]))]
                order.append(best)
                left[made.groups.code[best]] -= 1
    picked = TargetConfig(sample_ids=ids).picker(made)(counts)
    assert picked.order.tolist() == order
    assert picked.order[:3].tolist() == targets


def whole_rankings(points, targets, code, counts):
    """The plain form: every target's whole ranking, the first free one of each in turn."""
    products = points[targets].astype(np.float64) @ points.astype(np.float64).T
    ranked = [np.argsort(-line, kind="stable").tolist() for line in products]
    left, free, order, gain = counts.copy(), np.ones(len(points), bool), [], []
    while left.any():
        for target, line in enumerate(ranked):
            place = next((row for row in line if free[row] and left[code[row]]), None)
            if place is not None:
                free[place], left[code[place]] = False, left[code[place]] - 1
                order.append(place)
                gain.append(products[target, place])
    return order, gain


@pytest.mark.parametrize("listed", [1, 2, 7, 64, 1000, None])
def test_targets_with_short_lists_take_what_those_with_whole_rankings_take(listed):
    drawn = np.random.default_rng(9)
    for trial in range(12):
        n, groups = int(drawn.integers(5, 120)), int(drawn.integers(1, 5))
        vectors = drawn.standard_normal((n, 6)).astype(np.float32)
        # Equal vectors tie; zero ones are at 0 to all.
        vectors[drawn.integers(0, n, n // 3)] = vectors[0]
        vectors[drawn.integers(0, n, n // 8)] = 0.0
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        quantized = quantize(np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0))
        code = drawn.integers(0, groups, n)
        sizes = np.bincount(code, minlength=groups)
        counts = np.array([drawn.integers(0, size + 1) for size in sizes]) if trial else sizes
        targets = np.sort(drawn.choice(n, int(drawn.integers(1, 6)), replace=trial % 2 == 0))
        order, takers = take_turns(Rankings(quantized, targets, listed), code, counts)
        wanted, products = whole_rankings(quantized.points, targets, code, counts)
        assert order.tolist() == wanted
        assert quantized.cosines(order, targets[takers]).tolist() == [
            product / quantized.scale**2 for product in products
        ]


def test_targets_named_by_sql_are_those_named_by_id(candidates):
    rare = np.flatnonzero(candidates.pool.samples["modality"].to_numpy() == "ultrasound")
    ids = [candidates.sample_ids[row] for row in rare]
    by_sql = chosen(candidates, {"kind": "target", "where": "modality = 'ultrasound'"})
    by_id = chosen(candidates, {"kind": "target", "sample_ids": ids})
    assert by_sql.order.tolist() == by_id.order.tolist()


@pytest.mark.parametrize(
    ("target", "values"),
    [
        ({"where": "modality = 'pet'"}, {"targets": 0}),
        ({"where": "no_such_column = 1"}, {"where": "no_such_column = 1"}),
        (
            {"where": "modality FROM read_csv('/etc/passwd')"},
            {"where": "modality FROM read_csv('/etc/passwd')"},
        ),
        ({"where": "true", "max_targets": 10}, {"targets": 200, "max_targets": 10}),
        ({"sample_ids": ["nobody"]}, {"missing": ["nobody"]}),
    ],
)
def test_targets_that_cannot_be_are_refused(candidates, target, values):
    with raises_code("target_invalid", **values) as caught:
        chosen(candidates, {"kind": "target", **target})
    assert "\n" not in str(caught.value)


# Baselines.


def test_a_samples_random_place_depends_on_no_other_sample(candidates, make_candidates):
    kept = np.sort(np.random.default_rng(1).permutation(200)[:90])
    pool = candidates.pool
    part = replace(
        candidates, pool=replace(pool, samples=pool.samples.take(pa.array(kept)), mass=pool.mass)
    )
    order = context(candidates, seed=5).shuffle()
    inside = order[np.isin(order, kept)]
    assert kept[SelectionContext(part, one_group(part), np.ones(90), 5).shuffle()].tolist() == (
        inside.tolist()
    )


def test_random_takes_every_sample_about_equally_often(make_candidates):
    candidates = make_candidates(n=50)
    taken = np.zeros(50)
    for seed in range(400):
        made = SelectionContext(candidates, one_group(candidates), np.ones(50), seed)
        taken[RandomConfig().picker(made)(np.array([10])).order] += 1
    # 80 times each with a deviation of 8: five of those is one in a million.
    assert abs(taken - 80).max() < 40


def test_top_score_and_longest_take_the_greatest(candidates):
    made = context(candidates, groups=one_group(candidates))
    best = TopScoreConfig().picker(made)(np.array([20])).order
    assert made.quality[best].min() >= np.delete(made.quality, best).max()
    longest = chosen(candidates, {"kind": "longest"}, budget=20).order
    answers = candidates.pool.samples["answer"].to_pylist()
    length = np.array([len(answer) for answer in answers])
    assert length[longest].min() >= np.delete(length, longest).max()
