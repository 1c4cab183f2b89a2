"""Pictures are compared within their modality, and a sample is as good as its worst one."""

from __future__ import annotations

import math

import pytest

from curation.scoring.image_quality import ImageQualityConfig

EVEN = {"sharpness": 1.0, "contrast": 1.0, "entropy": 1.0, "blank_share": 0.5}


def picture(**changes: float) -> dict[str, float]:
    return {**EVEN, "width": 10.0, "height": 10.0, **changes}


def scored(make_pool, make_context, facts, lines) -> list[float]:
    pool = make_pool(lines, facts=facts)
    return ImageQualityConfig(kind="image_quality").score(make_context(pool)).tolist()


@pytest.mark.parametrize(
    "better", [{"sharpness": 2.0}, {"contrast": 2.0}, {"entropy": 2.0}, {"width": 20.0}]
)
def test_more_of_a_fact_is_better(make_pool, make_context, better) -> None:
    facts = {"a": picture(), "b": picture(**better)}
    lines = [{"images": ["a"], "modality": "ct"}, {"images": ["b"], "modality": "ct"}]
    found = scored(make_pool, make_context, facts, lines)
    # Two pictures have percentiles 1/4 and 3/4 in one fact and 1/2 in the other four.
    assert found == pytest.approx([0.45, 0.55])


def test_less_blank_is_better(make_pool, make_context) -> None:
    facts = {"a": picture(blank_share=0.9), "b": picture()}
    lines = [{"images": ["a"], "modality": "ct"}, {"images": ["b"], "modality": "ct"}]
    assert scored(make_pool, make_context, facts, lines) == pytest.approx([0.45, 0.55])


def test_a_smooth_modality_is_not_a_bad_one(make_pool, make_context) -> None:
    facts = {f"us{n}": picture(sharpness=n) for n in range(3)}
    facts |= {f"ct{n}": picture(sharpness=100.0 + n) for n in range(3)}
    lines = [{"images": [name], "modality": name[:2]} for name in facts]
    found = scored(make_pool, make_context, facts, lines)
    assert found[:3] == found[3:]
    assert found[0] < found[1] < found[2]


def test_the_worst_picture_decides_and_a_text_has_none(make_pool, make_context) -> None:
    facts = {"a": picture(), "b": picture(sharpness=2.0), "c": picture(sharpness=3.0)}
    lines = [
        {"images": ["c", "a"], "modality": "ct"},
        {"images": ["a"], "modality": "ct"},
        {"images": ["b"], "modality": "ct"},
        {"images": ["c"], "modality": "ct"},
        {"images": [], "modality": "ct"},
    ]
    both, a, b, c, text = scored(make_pool, make_context, facts, lines)
    assert both == a < b < c
    assert math.isnan(text)


def test_a_picture_has_the_modality_most_samples_give_it(make_pool, make_context) -> None:
    facts = {"a": picture(), "b": picture(sharpness=9.0), "c": picture(sharpness=5.0)}
    tags = [("a", "ct"), ("a", "ct"), ("a", None), ("b", "mr"), ("c", "ct")]
    lines = [{"images": [name], "modality": tag} for name, tag in tags]
    found = scored(make_pool, make_context, facts, lines)
    assert found[:3] == pytest.approx([0.45] * 3)
    assert found[3] == pytest.approx(0.5)
    assert found[4] == pytest.approx(0.55)
