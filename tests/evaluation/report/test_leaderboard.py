"""Who is named ahead, and how cells find their places."""

from __future__ import annotations

from typing import Any

import pytest

from evaluation.report.data import Evaluation
from evaluation.report.format import ends, few, left_out, points, signed_ends
from evaluation.report.leaderboard import cautions, measures, verdict
from evaluation.report.strata import heat_map
from medsift.pages.number_format import listed, percent


def line(metric: str = "accuracy", value: float | None = 0.5, **more: Any) -> dict[str, Any]:
    return {
        "metric": metric,
        "variant": "original",
        "facet": "all",
        "facet_value": "all",
        "value": value,
        "low": None if value is None else value - 0.05,
        "high": None if value is None else value + 0.05,
        "n": 100,
        "clusters": 100,
    } | more


def model(name: str, *lines: dict[str, Any], **facts: Any) -> Evaluation:
    return Evaluation(name, {"protocol": "strict", "content_hash": "c"} | facts, lines, [])


def test_nobody_is_best_while_intervals_overlap() -> None:
    first, second = model("a", line(value=0.60)), model("b", line(value=0.52))
    third = model("c", line(value=0.4))
    words = verdict([first, second, third])
    assert words is not None
    assert words.startswith("No best is named: the interval of a, the highest, overlaps that of b.")
    assert verdict([first, third]) == "a is ahead: its interval lies above those of all others."


def test_intervals_that_touch_overlap() -> None:
    touching = model("b", line(value=0.5, high=0.55))
    assert "No best" in str(verdict([model("a", line(value=0.6, low=0.55)), touching]))


@pytest.mark.parametrize("unknown", [{"low": None}, {"low": None, "high": None}])
def test_nobody_is_best_by_an_interval_that_is_not_known(unknown: dict[str, None]) -> None:
    found = verdict([model("a", line(value=0.9, **unknown)), model("b", line(value=0.1))])
    assert "No best" in str(found)


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (model("b", line(value=0.1), protocol="medevalkit"), "the scoring protocols differ"),
        (model("b", line(value=0.1), content_hash="d"), "the items or pictures differ"),
        (model("b", line(value=0.1, n=90)), "the numbers of scored replies differ"),
    ],
)
def test_what_was_not_asked_alike_is_not_compared(other: Evaluation, words: str) -> None:
    found = verdict([model("a", line(value=0.9)), other])
    assert found is not None
    assert found.startswith(f"No best is named: {words}")


def test_one_scored_model_has_nobody_to_be_ahead_of() -> None:
    assert verdict([model("a", line())]) is None
    assert verdict([model("a", line()), model("b"), model("c", line(value=None))]) is None


def test_cautions_name_the_models_they_are_true_of() -> None:
    few = model("few", line(clusters=1))
    assert cautions([few]) == ["one cluster: no interval"]
    assert cautions([few, model("many", line())]) == ["few: one cluster: no interval"]


def test_measures_are_those_that_some_model_has() -> None:
    one = model("a", line(), line("rouge_l"), line("ece"), line("own_measure"))
    other = model("b", line("token_f1"), line("judge", None), line("drop", variant="blank"))
    assert measures([one, other]) == [
        ("token_f1", "token F1"),
        ("rouge_l", "ROUGE-L"),
        ("own_measure", "own measure"),
    ]


def test_names_that_hold_the_joint_are_split_where_both_sides_are_known() -> None:
    one = model(
        "a",
        line(facet="modality", facet_value="ct / contrast", n=9),
        line(facet="modality", facet_value="ct", n=4),
        line(facet="task_type", facet_value="presence"),
        line(facet="modality / task_type", facet_value="ct / contrast / presence", n=9),
        line(facet="modality / task_type", facet_value="ct / presence", n=4),
        line(facet="modality / task_type", facet_value=None, n=2),
    )
    found = heat_map(one)
    assert found is not None
    assert [name for name, _ in found.rows] == ["ct / contrast", "ct"]
    assert [name for name, _ in found.columns] == ["presence"]
    assert [[cell and cell["n"] for cell in row] for row in found.cells] == [[9], [4]]
    assert found.unnamed is not None
    assert found.unnamed["n"] == 2
    assert heat_map(model("b", line())) is None


def test_shares_and_differences_are_written_for_readers() -> None:
    assert (percent(0.6349), percent(None)) == ("63.5%", "–")
    assert [points(one) for one in (0.123, -0.0123, -0.0001, None)] == ["12.3", "−1.2", "0.0", "–"]
    assert ends(line(value=0.5)) == "45.0–55.0%"
    assert signed_ends(line(value=0.0)) == "−5.0 to 5.0"
    assert ends(line(value=None)) == signed_ends(None) == ""
    assert few(line(n=29))
    assert not few(line(n=30))
    assert not few(line(value=None, n=0))
    assert listed(["a"]) == "a"
    assert listed(["a", "b", "c"]) == "a, b and c"
    assert left_out('{"blank": {"no image": 3}}') == [("blank", "no image", 3)]
