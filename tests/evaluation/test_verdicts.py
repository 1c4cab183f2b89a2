"""Verdicts in words: never more than the interval carries, and what it could have carried."""

from __future__ import annotations

import pyarrow.compute as pc
import pytest

from evaluation.study_results import study_results
from evaluation.study_text import sentence, study_table, summary
from medsift.statistics import Resampling
from tests.study_trials import GAINS, trials_of


def line(verdict="inconclusive", low=-0.05, high=0.026, test="non-inferiority", **changed):
    found = {
        "arm": "small",
        "budget": "10%",
        "samples": 120,
        "seeds": 3,
        "n": 451,
        "clusters": 203,
        "versus": "full" if test == "non-inferiority" else "random",
        "difference": (low + high) / 2,
        "diff_low": low,
        "diff_high": high,
        "test": test,
        "margin": 0.03 if test == "non-inferiority" else None,
        "verdict": verdict,
        "detectable": 0.054,
        "detectable_by_items": 0.054,
    }
    return found | changed


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            line("non-inferior", -0.02, 0.01),
            "small at 10% is not worse than full data by more than 3.0 points: "
            "−0.5 points [−2.0, +1.0].",
        ),
        (
            line("non-inferior", -0.02, -0.01),
            "small at 10% is not worse than full data by more than 3.0 points: "
            "−1.5 points [−2.0, −1.0]. It is worse, by less than that.",
        ),
        (
            line("inferior", -0.09, -0.04),
            "small at 10% is worse than full data by more than 3.0 points: "
            "−6.5 points [−9.0, −4.0].",
        ),
        (
            line("superior", 0.01, 0.03, "superiority"),
            "small at 10% is better than random at the same budget: +2.0 points [+1.0, +3.0].",
        ),
        (
            line("superior", 0.01, 0.03, "superiority", arm="full", versus="untrained"),
            "Full data is better than the untrained model: +2.0 points [+1.0, +3.0].",
        ),
        (
            line("worse", -0.03, -0.01, "superiority", versus="longest"),
            "small at 10% is worse than longest at the same budget: −2.0 points [−3.0, −1.0].",
        ),
    ],
)
def test_a_verdict_says_what_its_interval_says(given, words):
    assert sentence(given) == words


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (
            {},
            "within 5.4 points 8 times in 10; 3.0 take some 1,462 such items, whatever the seeds.",
        ),
        ({"detectable_by_items": 0.02}, "; with more seeds these items could show 3.0."),
    ],
)
def test_what_is_open_says_what_could_have_been_shown(changed, words):
    said = sentence(line(**changed))
    assert said.startswith(
        "It is open whether small at 10% is worse than full data by more than 3.0"
    )
    assert "(451 items on 203 images)" in said
    assert said.endswith(words)


@pytest.mark.parametrize(
    ("by_items", "words"),
    [
        (0.054, "shows a gain of 5.4 points 8 times in 10."),
        (0.03, "shows a gain of 5.4 points 8 times in 10, with many seeds one of 3.0."),
    ],
)
def test_arms_that_are_not_told_apart_say_which_gain_would_have_been(by_items, words):
    said = sentence(line(test="superiority", detectable_by_items=by_items))
    assert said.startswith("small at 10% and random at the same budget are not told apart: ")
    assert said.endswith(words)


def test_few_images_and_no_interval_are_said():
    given = line(low=-0.01, high=0.01, clusters=1, diff_low=None, diff_high=None, detectable=None)
    assert sentence(given) == (
        "It is open whether small at 10% is worse than full data by more than 3.0 points: "
        "0.0 points. (one cluster: no interval)"
    )


def test_the_summary_names_the_smallest_budget_that_is_enough_and_what_is_beaten_where():
    lines = [
        line("inferior", budget="5%", samples=60),
        line("non-inferior", budget="10%", samples=120),
        line("non-inferior", budget="20%", samples=240),
        line("inconclusive", budget="50%", samples=600),
        line("superior", 0.01, 0.03, "superiority", budget="5%", samples=60),
        line("inconclusive", test="superiority", budget="10%"),
        line("inconclusive", test="superiority", budget="10%", versus="longest"),
    ]
    assert summary(lines) == [
        "small is shown not to be worse than full data by more than 3.0 points at 10% (120 "
        "samples), the smallest budget that shows it, and yet not at 50%.",
        "It is better than random at 5%.",
        "It is not told apart from longest at any budget.",
        "7 verdicts, each from a 95% interval and none corrected for the others: of twenty "
        "intervals one misses by chance.",
    ]


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"seeds": 1}, "One seed: the intervals do not hold what another seed would have given."),
        ({"seeds": 2}, "2 seeds: how far seeds differ is hardly known, and intervals are wide."),
    ],
)
def test_the_summary_warns_of_few_seeds(changed, words):
    assert words in summary([line(**changed)])


def test_the_summary_warns_where_full_data_is_no_better_than_no_training():
    full = line("inconclusive", test="superiority", arm="full", versus="untrained")
    [words, *_] = summary([full])
    assert words.startswith("Full data itself is not shown to be better than the untrained model")


def test_nothing_is_said_to_be_enough_that_is_not_shown_to_be():
    assert "At no budget is small shown" in summary([line()])[0]


def test_the_table_has_a_row_for_every_arm_and_budget():
    results = study_results(trials_of(), 0.05, ("modality",), Resampling(draws=199))
    table = study_table(results)
    assert set(table["arm"].to_pylist()) == {*GAINS, "untrained"}
    assert table.num_rows == 2 * 4 + 2
    [full] = table.filter(pc.equal(table["arm"], "full")).to_pylist()
    assert (full["- full"], full["no worse"]) == ("–", "–")
    [small] = table.filter(
        pc.and_(pc.equal(table["arm"], "small"), pc.equal(table["budget"], "10%"))
    ).to_pylist()
    [line] = [
        line
        for line in results.to_pylist()
        if (line["arm"], line["budget"], line["versus"], line["facet"])
        == ("small", "10%", "full", "all")
    ]
    assert small["no worse"] == line["verdict"]
    assert small["- full"] == (
        f"{line['difference']:+.3f} [{line['diff_low']:+.3f}, {line['diff_high']:+.3f}]"
    )
