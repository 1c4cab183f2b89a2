"""Robustness against plain loops over the rows."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.perturb import FAMILIES
from evaluation.perturb.apply import find_variants, vary
from evaluation.records import ITEMS
from evaluation.robustness import FOUR_WAY, robustness
from evaluation.scoring.predictions import score_predictions
from medsift.statistics import METRICS, Resampling
from tests.expect import raises_code

QUICK = Resampling(draws=199)
INVARIANT = [family.family for family in FAMILIES if family.role == "invariant"]
COLUMNS = {
    "evaluation_id": pa.string(),
    "benchmark": pa.string(),
    "item_id": pa.string(),
    "variant": pa.string(),
    "image_id": pa.string(),
    "patient_id": pa.string(),
    "options": pa.list_(pa.string()),
    "gold": pa.string(),
    "parsed": pa.string(),
    "score": pa.float64(),
}


def table(rows):
    return pa.Table.from_pylist(
        [dict.fromkeys(COLUMNS) | {"evaluation_id": "e", "benchmark": "b"} | row for row in rows],
        schema=pa.schema(COLUMNS),
    )


def figures(scored, **settings):
    found = robustness(scored, QUICK, **settings)
    assert found.schema.equals(METRICS)
    return {(line["variant"], line["metric"]): line for line in found.to_pylist()}


def row(item, variant, parsed, gold="yes", **more):
    score = None if parsed is ... else float(parsed == gold)
    said = None if parsed is ... else parsed
    return {
        "item_id": item,
        "image_id": f"image of {item}",
        "variant": variant,
        "parsed": said,
        "gold": gold,
        "score": 0.0 if parsed is None else score,
        **more,
    }


ANSWERS = st.sampled_from(["yes", "no", None])
REPLIES = st.fixed_dictionaries(
    {"original": ANSWERS},
    optional={
        name: ANSWERS
        for name in (
            "no_image",
            "blank",
            "noise@1",
            "noise@3",
            "typos",
            "paraphrase@1",
            "paraphrase@2",
            "mask_region",
            "mask_elsewhere",
            "negated_premise",
        )
    },
)


def asked(replies):
    """Rows of closed items; a negated premise turns the gold, and the reply with it."""
    rows = []
    for at, of_item in enumerate(replies):
        for variant, answer in of_item.items():
            gold = "no" if variant == "negated_premise" else "yes"
            rows.append(row(f"i{at}", variant, answer, gold))
    return rows


def mean(values):
    return sum(values) / len(values) if values else None


def brute(replies):
    """Every figure by plain loops; None where nothing was asked."""

    def score(variant, answer):
        return float(answer == ("no" if variant == "negated_premise" else "yes"))

    def meant(variant, answer):
        turned = {"yes": "no", "no": "yes", None: None}
        return turned[answer] if variant == "negated_premise" else answer

    expected = defaultdict(list)
    for of_item in replies:
        original = of_item["original"]
        for variant, answer in of_item.items():
            if variant != "original":
                lost = score("original", original) - score(variant, answer)
                expected[variant, "drop"].append(lost)
                flipped = meant(variant, answer) != original
                expected[variant, "flip_rate"].append(float(flipped))
        kept = [name for name in of_item if name.partition("@")[0] in INVARIANT]
        if kept:
            lowest = min(score(name, of_item[name]) for name in ("original", *kept))
            expected["all", "worst_case"].append(lowest)
        if {"mask_region", "mask_elsewhere"} <= of_item.keys():
            gained = of_item["mask_elsewhere"] == "yes", of_item["mask_region"] == "yes"
            expected["mask_region", "grounding"].append(float(gained[0]) - float(gained[1]))
        rephrased = [of_item[name] for name in of_item if name.startswith("paraphrase")]
        if rephrased and "no_image" in of_item:
            consistent = all(answer == original for answer in rephrased)
            reliant = of_item["no_image"] != original
            for cell, wanted in FOUR_WAY.items():
                expected["all", cell].append(float((consistent, reliant) == wanted))
    return {key: mean(values) for key, values in expected.items()}


@settings(deadline=None, max_examples=60)
@given(st.lists(REPLIES, min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_every_figure_is_what_plain_loops_give_in_any_order(replies, random):
    rows = asked(replies)
    random.shuffle(rows)
    expected = brute(replies)
    if not expected:
        assert robustness(table(rows), QUICK).num_rows == 0
        return
    found = figures(table(rows))
    assert {key: line["value"] for key, line in found.items()} == pytest.approx(expected)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.lists(st.integers(-1, 2), min_size=3, max_size=3), min_size=1, max_size=6))
def test_rotations_against_plain_loops(places):
    """Each item has options x, y, z with y right; a place is what was chosen in each order."""
    names = ["x", "y", "z"]
    rows, means, rights, flips = [], [], [], defaultdict(list)
    for at, chosen in enumerate(places):
        orders = [names[step:] + names[:step] for step in range(3)]
        words = []
        for step, (order, place) in enumerate(zip(orders, chosen, strict=True)):
            variant = f"rotation@{step}" if step else None
            parsed = None if place < 0 else "ABC"[place]
            gold = "ABC"[order.index("y")]
            rows.append(row(f"i{at}", variant, parsed, gold, options=order))
            words.append(None if place < 0 else order[place])
        right = [word == "y" for word in words]
        means.append(mean(right))
        rights.append(float(all(right)))
        for step in (1, 2):
            flips[step].append(float(words[step] != words[0]))
    found = figures(table(rows))
    assert found["rotation", "rotation_mean"]["value"] == pytest.approx(mean(means))
    assert found["rotation", "all_rotations_right"]["value"] == pytest.approx(mean(rights))
    for step in (1, 2):
        value = found[f"rotation@{step}", "flip_rate"]["value"]
        assert value == pytest.approx(mean(flips[step]))


def test_an_answer_that_moves_with_its_option_is_no_flip_and_one_that_keeps_its_letter_is():
    options, turned = ["CT", "MRI"], ["MRI", "CT"]
    rows = [
        row("moves", "original", "A", "A", options=options),
        row("moves", "rotation@1", "B", "B", options=turned),
        row("stays", "original", "A", "A", options=options),
        row("stays", "rotation@1", "A", "B", options=turned),
    ]
    found = figures(table(rows))
    assert found["rotation@1", "flip_rate"]["value"] == 0.5
    assert found["rotation", "all_rotations_right"]["value"] == 0.5
    assert found["rotation", "rotation_mean"]["value"] == 0.75


def test_an_answer_that_follows_a_negated_premise_is_no_flip():
    rows = [
        row("follows", "original", "yes"),
        row("follows", "negated_premise", "no", gold="no"),
        row("parrots", "original", "yes"),
        row("parrots", "negated_premise", "yes", gold="no"),
    ]
    found = figures(table(rows))
    assert found["negated_premise", "flip_rate"]["value"] == 0.5
    assert found["negated_premise", "drop"]["value"] == 0.5


def test_the_cells_of_the_four_way_table_add_up_to_one():
    random = np.random.default_rng(0)
    replies = [
        {
            name: ["yes", "no", None][random.integers(3)]
            for name in ("original", "no_image", "paraphrase@1", "paraphrase@4")
        }
        for _ in range(200)
    ]
    found = figures(table(asked(replies)))
    cells = [found["all", name] for name in FOUR_WAY]
    assert sum(cell["value"] for cell in cells) == pytest.approx(1)
    assert {cell["n"] for cell in cells} == {200}
    for cell in cells:
        assert cell["low"] < cell["value"] < cell["high"]


def test_another_control_may_stand_for_the_removed_picture():
    rows = [
        row("i", "original", "yes"),
        row("i", "paraphrase@1", "yes"),
        row("i", "blank", "no"),
    ]
    assert ("all", "consistent_reliant") not in figures(table(rows))
    found = figures(table(rows), removed="blank")
    assert found["all", "consistent_reliant"]["value"] == 1


def test_scores_that_a_protocol_leaves_out_are_in_no_mean():
    rows = [
        row("i", "original", "yes"),
        row("i", "noise@1", "no") | {"score": None},
        row("j", "original", "yes"),
        row("j", "noise@1", "yes"),
    ]
    found = figures(table(rows))
    assert (found["noise@1", "drop"]["value"], found["noise@1", "drop"]["n"]) == (0, 1)
    assert (found["noise@1", "flip_rate"]["value"], found["noise@1", "flip_rate"]["n"]) == (0.5, 2)
    assert found["all", "worst_case"]["value"] == 1


def test_the_unparsed_share_is_that_of_the_replies_behind_a_figure():
    rows = [
        row("i", "original", "yes"),
        row("i", "noise@1", None),
        row("j", "original", None),
        row("j", "noise@1", None),
        row("k", "original", "yes"),
    ]
    found = figures(table(rows))
    assert found["noise@1", "drop"]["unparsed_rate"] == 1
    assert found["all", "worst_case"]["unparsed_rate"] == 0.75


def test_evaluations_and_benchmarks_are_kept_apart_and_clusters_are_pictures():
    rows = []
    for at in range(6):
        for evaluation, benchmark, reply in (("e", "b", "no"), ("e", "c", "yes"), ("f", "b", None)):
            head = {"evaluation_id": evaluation, "benchmark": benchmark}
            picture = {"image_id": f"p{at // 2}"}
            rows.append(row(f"i{at}", "original", "yes") | head | picture)
            rows.append(row(f"i{at}", "blank", reply) | head | picture)
    found = robustness(table(rows), QUICK)
    drops = found.filter(pc.equal(found["metric"], "drop")).to_pylist()
    values = {(line["evaluation_id"], line["benchmark"]): line["value"] for line in drops}
    assert values == {("e", "b"): 1, ("e", "c"): 0, ("f", "b"): 1}
    assert {(line["n"], line["clusters"]) for line in drops} == {(6, 3)}


@pytest.mark.parametrize(
    ("rows", "code", "values"),
    [
        (
            [row("i", "noise@1", "yes")],
            "predictions_incomplete",
            {"items": 1, "first": "i"},
        ),
        (
            [row("i", "original", "yes"), row("i", "noise@1", "yes"), row("i", "noise@1", "no")],
            "predictions_incomplete",
            {},
        ),
        (
            [row("i", "original", "yes"), row("i", "fog", "yes")],
            "variant_unknown",
            {"variant": "fog"},
        ),
        (
            [
                row("i", "original", "A", "A", options=["x", "y", "z"]),
                row("i", "rotation@1", "A", "C", options=["y", "z", "x"]),
            ],
            "predictions_incomplete",
            {"items": 1},
        ),
    ],
)
def test_replies_that_do_not_fit_together_are_refused_in_one_line(rows, code, values):
    with raises_code(code, **values) as error:
        robustness(table(rows), QUICK)
    assert "\n" not in str(error.value)


def test_a_missing_column_is_named():
    with raises_code("predictions_incomplete", missing=["parsed"]):
        robustness(table([row("i", "original", "yes")]).drop_columns("parsed"), QUICK)


def test_models_that_know_only_letters_only_words_or_the_right_answer_show_it():
    """Items, variants, replies, scoring and robustness together, with three known characters."""
    options = ["liver", "spleen", "kidney", "heart"]
    base = dict.fromkeys(ITEMS.names) | {"benchmark": "b", "language": "en", "modality": "ct"}
    items = pa.Table.from_pylist(
        [
            base
            | {
                "item_id": f"i{at}",
                "question": "Which organ is shown?",
                "options": options,
                "gold": "ABCD"[at % 4],
                "answer_type": "choice",
                "images": [f"{at}.png"],
                "image_id": str(at),
            }
            for at in range(40)
        ],
        schema=ITEMS,
    )
    variants = find_variants(["original", "rotation", "no_image", "paraphrase"], items)
    varied = vary(items, variants, 0).items
    lines = varied.to_pylist()
    replies = {
        "letter": ["A"] * len(lines),
        "words": ["liver"] * len(lines),
        "right": [line["gold"] if line["images"] else "I cannot see it" for line in lines],
    }
    found = {}
    for name, said in replies.items():
        asked = varied.append_column("reply", pa.array(said))
        asked = asked.append_column("evaluation_id", pa.array([name] * len(lines)))
        found[name] = figures(score_predictions(asked, "strict"))
    for name, share in (("letter", 0.25), ("words", 0.25), ("right", 1.0)):
        assert found[name]["rotation", "rotation_mean"]["value"] == share
    assert found["letter"]["rotation", "all_rotations_right"]["value"] == 0
    assert found["words"]["rotation", "all_rotations_right"]["value"] == 0.25
    assert found["right"]["rotation", "all_rotations_right"]["value"] == 1
    assert found["letter"]["rotation@1", "flip_rate"]["value"] == 1
    assert found["words"]["rotation@1", "flip_rate"]["value"] == 0
    assert found["words"]["all", "consistent_unreliant"]["value"] == 1
    assert found["right"]["all", "consistent_reliant"]["value"] == 1
    assert found["right"]["no_image", "drop"]["value"] == 1
    assert found["right"]["no_image", "drop"]["unparsed_rate"] == 1
