"""Answers from counts: as a brute count says, in any order, and never from an item's own gold."""

from __future__ import annotations

from collections import Counter
from string import ascii_uppercase as LETTERS

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.generators import MajorityGenerator, PriorGenerator, Request
from evaluation.prompts import candidates
from evaluation.records import ITEMS
from tests.expect import raises_code

WORDS = ("left lung", "Left  Lung", "CT", "heart", "MRI")


def row(place, **values):
    known = {
        "benchmark": "b",
        "item_id": f"i{place:03}",
        "question": "?",
        "options": None,
        "gold": "yes",
        "answer_type": "closed",
        "image_id": None,
        "patient_id": None,
        "language": None,
    }
    return known | values


def items_of(rows):
    return pa.Table.from_pylist(list(rows), schema=ITEMS)


def request(line, variant="original"):
    turns = (("user", line["question"]),)
    return Request(line["benchmark"], line["item_id"], variant, turns, (), candidates(line))


def reply_to(config, rows, asked=None, variant="original"):
    generator = config.build(items_of(rows))
    return generator.generate([request(line, variant) for line in asked or rows])


@st.composite
def benchmarks(draw):
    """Items of all kinds on few pictures and patients; a picture belongs to one patient."""
    rows = []
    for place in range(draw(st.integers(1, 30))):
        form = draw(st.sampled_from(["yes/no", "either", "open", "choice"]))
        options, kind = None, "closed" if form in ("yes/no", "either") else form
        if form == "choice":
            options = [f"o{at}" for at in range(draw(st.integers(2, 4)))]
            at = draw(st.integers(0, len(options) - 1))
            gold = draw(st.sampled_from([LETTERS[at], options[at]]))
        elif form == "yes/no":
            gold = draw(st.sampled_from(["yes", "Yes", "no", "否"]))
        else:
            gold = draw(st.sampled_from(WORDS))
        image = draw(st.sampled_from([None, 0, 1, 2, 3]))
        patient = None if image is None else [None, "p", "p", None][image]
        rows.append(
            row(
                place,
                benchmark=draw(st.sampled_from(["b", "c"])),
                answer_type=kind,
                options=options,
                gold=gold,
                image_id=None if image is None else f"m{image}",
                patient_id=patient,
            )
        )
    return rows


def cluster(line):
    return line["patient_id"] or line["image_id"] or (line["benchmark"], line["item_id"])


def answer(line):
    """Form and answer, written down a second time."""
    if line["options"]:
        if line["gold"] in LETTERS:
            return "letter", line["gold"]
        return "letter", LETTERS[line["options"].index(line["gold"])]
    if line["answer_type"] == "closed" and line["gold"].lower() in ("yes", "no", "否"):
        return "yes/no", "yes" if line["gold"].lower() == "yes" else "no"
    return "words", " ".join(line["gold"].lower().split())


def others(line, rows):
    """Counts of the answers that an item may be given."""
    return Counter(
        answer(one)[1]
        for one in rows
        if one["benchmark"] == line["benchmark"]
        and one["answer_type"] == line["answer_type"]
        and answer(one)[0] == answer(line)[0]
        and cluster(one) != cluster(line)
        and (not line["options"] or answer(one)[1] in LETTERS[: len(line["options"])])
    )


@settings(max_examples=150, deadline=None)
@given(benchmarks())
def test_majority_is_what_a_brute_count_says(rows):
    for line, reply in zip(rows, reply_to(MajorityGenerator(), rows), strict=True):
        counts = others(line, rows)
        if not counts:
            assert (reply.text, reply.probabilities) == (None, None)
            assert reply.error == f"no other {line['answer_type']} question to count"
            continue
        expected = min(counts, key=lambda text: (-counts[text], text))
        assert (reply.text, reply.error, reply.probabilities) == (expected, None, None)


@settings(max_examples=60, deadline=None)
@given(benchmarks(), st.randoms(use_true_random=False), st.integers(0, 3))
def test_the_order_of_items_and_requests_is_nothing(rows, random, seed):
    shuffled = random.sample(rows, len(rows))
    for config in (MajorityGenerator(), PriorGenerator(seed=seed)):
        expected = reply_to(config, rows)
        found = reply_to(config, shuffled, asked=rows)
        assert found == expected
        one_at_a_time = config.build(items_of(rows))
        assert [one_at_a_time.generate([request(line)])[0] for line in rows] == expected


@settings(max_examples=60, deadline=None)
@given(benchmarks(), st.integers(0, 10**6))
def test_prior_gives_only_answers_of_others(rows, seed):
    for line, reply in zip(rows, reply_to(PriorGenerator(seed=seed), rows), strict=True):
        counts = others(line, rows)
        assert (reply.text in counts) if counts else (reply.text is None)
        assert reply.probabilities is None


@settings(max_examples=60, deadline=None)
@given(benchmarks(), st.data())
def test_an_items_own_cluster_never_answers_it(rows, data):
    """Whatever golds of its kind a cluster is given, its items get the replies they got."""
    chosen = data.draw(st.sampled_from(rows))
    changed = [
        line | {"gold": "unheard of"}
        if cluster(line) == cluster(chosen) and answer(line)[0] == "words"
        else line | {"gold": data.draw(st.sampled_from(["yes", "no"]))}
        if cluster(line) == cluster(chosen) and answer(line)[0] == "yes/no"
        else line | {"gold": data.draw(st.sampled_from(LETTERS[: len(line["options"])]))}
        if cluster(line) == cluster(chosen)
        else line
        for line in rows
    ]
    own = [line for line in rows if cluster(line) == cluster(chosen)]
    for config in (MajorityGenerator(), PriorGenerator(seed=1)):
        assert reply_to(config, rows, asked=own) == reply_to(config, changed, asked=own)


def test_prior_draws_in_proportion_to_the_counts():
    rows = [row(at, gold="yes" if at < 300 else "no") for at in range(400)]
    draws = [
        reply.text for seed in range(10) for reply in reply_to(PriorGenerator(seed=seed), rows)
    ]
    assert np.mean([text == "yes" for text in draws]) == pytest.approx(0.75, abs=0.03)


def test_prior_draws_anew_for_each_seed_benchmark_item_and_variant():
    rows = [
        row(at, benchmark=bench, gold=f"w{at}", answer_type="open")
        for bench in "bc"
        for at in range(50)
    ]
    base = reply_to(PriorGenerator(), rows)
    assert base == reply_to(PriorGenerator(), rows)
    assert len({reply.text for reply in base[:50]}) > 20
    assert base[:50] != base[50:]
    assert base != reply_to(PriorGenerator(seed=1), rows)
    assert base != reply_to(PriorGenerator(), rows, variant="typos")


def test_a_tie_goes_to_the_smallest_text():
    golds = ["mri", "ct", "mri", "ct", "x-ray"]
    rows = [row(at, gold=gold, answer_type="open") for at, gold in enumerate(golds)]
    assert reply_to(MajorityGenerator(), rows)[-1].text == "ct"


def test_letters_that_an_item_has_not_are_not_counted():
    rows = [
        row(at, options=["a", "b", "c", "d"], gold="D", answer_type="choice") for at in range(5)
    ]
    rows += [row(5, options=["a", "b", "c", "d"], gold="A", answer_type="choice")]
    rows += [row(6, options=["a", "b"], gold="b", answer_type="choice")]
    found = reply_to(MajorityGenerator(), rows)
    assert (found[0].text, found[6].text) == ("D", "A")


def test_a_gold_that_is_no_option_is_named():
    with raises_code("benchmark_unreadable", gold="E", options=["a", "b"]):
        reply_to(MajorityGenerator(), [row(0, options=["a", "b"], gold="E")])


def test_an_item_that_was_not_counted_is_named():
    with raises_code("baseline_unfit", item="b i001"):
        reply_to(MajorityGenerator(), [row(0)], asked=[row(1)])


@pytest.fixture
def trained(tmp_path):
    """A manifest whose training split has these (question, answer, answer type)."""
    from datetime import datetime

    from medsift import records
    from medsift.manifest import RunRecord, write_manifest

    def written(*lines, name="manifest.duckdb"):
        samples = [
            {
                "sample_id": f"s{at}",
                "row_id": records.row_id("s", "f.jsonl", at),
                "source": "s",
                "split": split,
                "answer_type": kind,
                "question": question,
                "answer": gold,
                "messages": [
                    {"role": "user", "content": question},
                    {"role": "assistant", "content": gold},
                ],
                "refs": ["gone.png"],
                "images": ["gone"],
            }
            for at, (question, gold, kind, split) in enumerate(lines)
        ]
        rows = [
            {"row_id": one["row_id"], "source": "s", "file": "f.jsonl", "index": at}
            for at, one in enumerate(samples)
        ]
        tables = {
            "rows": pa.Table.from_pylist(rows, schema=records.ROWS),
            "samples": pa.Table.from_pylist(samples, schema=records.SAMPLES),
            "decisions": records.decisions([]),
        }
        path = tmp_path / name
        write_manifest(path, tables, RunRecord("a", "t", datetime(2026, 1, 1), packages={}, seed=0))
        return path

    return written


def test_the_training_split_may_be_counted_instead(trained):
    lines = [
        ("Mass?", "no", "closed", "train"),
        ("Mass?", "No", "closed", "train"),
        ("Mass?", "yes", "closed", "train"),
        *[("Mass?", "yes", "closed", "test")] * 9,
        ("Which?", "heart", "open", "train"),
        ("Which? (A) x (B) y (C) z", "C", "choice", "train"),
        ("Which? (A) x (B) y", "y", "choice", "train"),
    ]
    path = trained(*lines)
    rows = [row(at, gold="yes") for at in range(5)]
    rows += [row(5, answer_type="open", gold="lung")]
    rows += [row(6, answer_type="choice", gold="A", options=["x", "y"])]
    rows += [row(7, answer_type="closed", gold="left")]
    found = reply_to(MajorityGenerator(train=path), rows)
    assert [one.text for one in found] == ["no"] * 5 + ["heart", "B", None]
    assert found[0].probabilities == pytest.approx((1 / 3, 2 / 3))
    chinese = row(8, gold="否", language="zh")
    assert reply_to(MajorityGenerator(train=path), [chinese])[0].probabilities == pytest.approx(
        (1 / 3, 2 / 3)
    )
    drawn = {
        one.text
        for seed in range(6)
        for one in reply_to(PriorGenerator(train=path, seed=seed), rows)[:5]
    }
    assert drawn == {"yes", "no"}


def test_the_fingerprint_is_that_of_the_training_answers(trained, tmp_path):
    one = trained(("a", "yes", "closed", "train"), ("b", "no", "closed", "train"))
    same = trained(("x", "no", "closed", "train"), ("y", "yes", "closed", "train"), name="b.duckdb")
    other = trained(("a", "yes", "closed", "train"), name="c.duckdb")
    prints = [MajorityGenerator(train=path).fingerprint() for path in (one, same, other, None)]
    assert prints[0] == prints[1]
    assert len(set(prints)) == 3
    assert PriorGenerator().fingerprint() != PriorGenerator(seed=1).fingerprint() != prints[3]
    with raises_code("split_unknown"):
        MajorityGenerator(train=trained(("a", "b", "open", "test"), name="d.duckdb")).fingerprint()


def test_they_neither_look_nor_last():
    for config in (MajorityGenerator(), PriorGenerator()):
        assert config.name == config.kind
        assert not config.looks
        assert not config.lasting
        assert not config.resources.accelerated
