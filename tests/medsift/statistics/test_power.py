"""What a benchmark can show: known figures, simulation, the command."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.stats import norm

from medsift.statistics import PlannedComparison
from ray_jobs.cli import run
from tests.expect import raises_code

KNOWN = [
    # items, accuracy of the half-width, half-width, smallest gain at rho .5 and .8, in points
    (251, 0.79, 5.0, 8.8, 5.6),
    (451, 0.645, 4.4, 6.6, 4.2),
    (1061, 0.8, 2.4, 4.3, 2.7),
    (2000, 0.5, 2.2, 3.1, 2.0),
    (6719, 0.5, 1.2, 1.7, 1.1),
]


@pytest.mark.parametrize(("n", "baseline", "half", "gain", "gain_close"), KNOWN)
def test_known_figures_of_the_field(n, baseline, half, gain, gain_close):
    assert round(100 * PlannedComparison(n=n, clusters=n, baseline=baseline).half_width, 1) == half
    for rho, wanted in ((0.5, gain), (0.8, gain_close)):
        found = 100 * PlannedComparison(n=n, clusters=n, rho=rho).smallest_difference
        assert round(found, 1) == wanted


def simulated_difference(plan, gain, sets, seed):
    """Mean differences (sets,) of two normal scores with the plan's variance and correlations.

    Each score is a picture's part, an item's part and its own, so that two items of a picture
    correlate by icc, two models on an item by rho, and the pictures' parts of the models alike.
    """
    rng = np.random.default_rng(seed)
    size = plan.n // plan.clusters
    spread = np.sqrt(plan.baseline * (1 - plan.baseline))
    mix = np.linalg.cholesky([[1, plan.rho], [plan.rho, 1]])
    picture = rng.normal(size=(sets, plan.clusters, 1, 2)) @ mix.T
    item = rng.normal(size=(sets, plan.clusters, size, 2)) @ mix.T
    scores = spread * (np.sqrt(plan.icc) * picture + np.sqrt(1 - plan.icc) * item)
    means = scores.mean((1, 2))
    return gain + means[:, 0] - means[:, 1], means[:, 0]


@pytest.mark.parametrize(("size", "icc", "rho"), [(1, 0.0, 0.5), (4, 0.3, 0.5), (4, 0.6, 0.8)])
def test_the_smallest_gain_is_found_in_four_of_five_simulated_comparisons(size, icc, rho):
    plan = PlannedComparison(n=60 * size, clusters=60, icc=icc, rho=rho, baseline=0.6)
    apart, alone = simulated_difference(plan, plan.smallest_difference, 6000, seed=1)
    error = plan.smallest_difference / (norm.ppf(0.975) + norm.ppf(0.8))
    assert np.mean(apart / error > norm.ppf(0.975)) == pytest.approx(0.8, abs=0.015)
    assert np.mean(np.abs(alone) < plan.half_width) == pytest.approx(0.95, abs=0.01)


def test_as_many_items_as_a_margin_needs_show_it():
    plan = PlannedComparison(n=451, clusters=203, icc=0.2, baseline=0.6)
    needed = plan.items_for(0.02)
    enough = PlannedComparison(
        n=needed, clusters=round(needed * 203 / 451), icc=0.2, baseline=0.6
    ).smallest_difference
    assert enough == pytest.approx(0.02, rel=0.001)


def test_clusters_cost_what_their_design_effect_says():
    assert PlannedComparison(n=600, clusters=100, icc=0.2).design_effect == pytest.approx(2.0)
    # Items that answer as one are worth one item a cluster.
    alike = PlannedComparison(n=600, clusters=100, icc=1.0)
    assert alike.half_width == pytest.approx(PlannedComparison(n=100, clusters=100).half_width)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n", 1),
        ("clusters", 101),
        ("clusters", 0),
        ("icc", -0.1),
        ("icc", float("nan")),
        ("rho", 1.0),
        ("baseline", 0.0),
    ],
)
def test_values_outside_their_range_are_refused(name, value):
    with raises_code("statistic_input_invalid", name=name, value=value):
        PlannedComparison(**{"n": 100, "clusters": 1 if name == "n" else 50, name: value})


def test_the_command_prints_points_for_people(capsys):
    arguments = ["--n", "451", "--clusters", "203", "--icc", "0.2", "--baseline", "0.6"]
    assert run(["power", *arguments, "--margin", "0.02"]) == 0
    said = capsys.readouterr().out
    assert "451 on 203 images" in said
    assert "95% half-width   5.0 points" in said
    assert "smallest gain    7.2 points" in said
    assert "for 2 points     5,860 on 2,638 images" in said


def test_the_command_prints_shares_for_programs(capsys):
    assert run(["power", "--n", "451", "--format", "json"]) == 0
    said = json.loads(capsys.readouterr().out)
    plan = PlannedComparison(n=451, clusters=451)
    assert said["smallest_gain"] == plan.smallest_difference
    assert said["half_width"] == plan.half_width
    assert "margin" not in said


def test_a_gain_that_would_pass_100_percent_is_none(capsys):
    assert run(["power", "--n", "20", "--baseline", "0.9", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["smallest_gain"] is None


@pytest.mark.parametrize(
    "arguments",
    [
        ["--n", "451", "--icc", "0.2"],
        ["--n", "0"],
        ["--n", "9", "--clusters", "0"],
        ["--n", "9", "--margin", "1"],
    ],
)
def test_the_command_refuses_in_one_line(arguments, capsys):
    assert run(["power", *arguments]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
