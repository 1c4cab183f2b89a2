"""The probe's figures: what is drawn, in which order, with which bands."""

from __future__ import annotations

from typing import Any

import pytest

from curation.probe.figure import accuracy_curve, arm_colours, facet_curves, facet_values
from medsift.pages.chart_style import COLOURS, as_json


def row(arm: str, samples: float, accuracy: float, **more: Any) -> dict[str, Any]:
    low, high = accuracy - 0.1, accuracy + 0.1
    line = {"arm": arm, "budget": samples / 100, "samples": samples, "accuracy": accuracy}
    return line | {"low": low, "high": high, "facet": "all", "facet_value": None, "n": 50} | more


def probe(**more: Any) -> list[dict[str, Any]]:
    return [
        row(arm, size, level + size / 200, **more)
        for size in (50, 10)
        for arm, level in (("random", 0.2), ("b", 0.4), ("a", 0.3))
    ] + [row("full", 100, 0.8, **more)]


def drawn(traces: list, fill: bool) -> dict[str, dict[str, Any]]:
    return (
        {trace["legendgroup"]: trace for trace in traces if trace.get("fill", "") == "toself"}
        if (fill)
        else {trace["name"]: trace for trace in traces if "name" in trace}
    )


def test_lines_go_by_size_and_bands_are_those_of_random_and_the_first_arm() -> None:
    traces, frame = accuracy_curve(
        [*probe(), *probe(facet="modality", facet_value="ct")], ["b", "a"]
    )
    lines, bands = drawn(traces, False), drawn(traces, True)
    assert list(lines) == ["random", "b", "a", "all rows"]
    assert lines["b"]["x"] == [10, 50]
    assert lines["b"]["y"] == pytest.approx([0.45, 0.65])
    assert list(bands) == ["random", "b"]
    assert bands["b"]["x"] == [10, 50, 50, 10]
    assert bands["b"]["y"] == pytest.approx([0.55, 0.75, 0.55, 0.35])
    assert lines["all rows"]["y"] == [0.8, 0.8]
    assert max(frame["xaxis"]["tickvals"]) <= 100
    assert as_json(traces, frame)


def test_a_band_without_ends_is_left_out_and_its_line_drawn() -> None:
    rows = [line | ({"low": None} if line["arm"] == "b" else {}) for line in probe()]
    traces, _ = accuracy_curve(rows, ["b", "a"])
    assert list(drawn(traces, True)) == ["random"]
    assert "b" in drawn(traces, False)


def test_each_value_of_a_tag_has_a_figure_the_commonest_first() -> None:
    rows = [*probe(facet="task_type", facet_value="side"), *probe()]
    rows += probe(facet="task_type", facet_value="count", n=90)
    rows += probe(facet="modality", facet_value="ct")
    assert facet_values(rows, "task_type") == ["count", "side"]
    figures = list(facet_curves(rows, ["b", "a"], "task_type"))
    assert len(figures) == 2
    assert all(frame["showlegend"] is False for _, frame in figures)


def test_lines_of_one_colour_differ_by_dash() -> None:
    arms = [f"arm{number}" for number in range(len(COLOURS) + 2)]
    rows = [row(arm, 10, 0.5) for arm in ("random", *arms)] + [row("full", 100, 0.8)]
    lines = drawn(accuracy_curve(rows, arms)[0], False)
    styles = [
        (lines[arm]["line"]["color"], lines[arm]["line"]["dash"]) for arm in ("random", *arms)
    ]
    assert len(set(styles)) == len(styles)
    assert list(arm_colours(arms)) == ["random", *arms]
