"""Pairs of replies: which are made, which are left out with a reason, and what is refused."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from medsift.manifest import append_tables
from medsift.manifest.preference_queries import reply_pairs
from medsift.manifest.schema import arrow_schema
from tests.expect import raises_code
from tests.training.conftest import MakeRun, asked, recipe
from tests.training.preference.conftest import append_replies, question, reply
from tests.training.preference.test_preference_steps import SMALL
from training.dataset.samples import read_selection
from training.preference.pairs import PairPlan, both_replies
from training.preference.preference_settings import PreferenceConfig
from training.prepare import prepare
from training.recipe import BatchesConfig
from training.training_id import open_training


def pairs_of(run: Path, **settings: Any) -> list[dict[str, Any]]:
    config = PreferenceConfig(**settings)
    manifest = run / "manifest.duckdb"
    found = reply_pairs(manifest, "one", "chosen", config.source, config.name, config.per_sample)
    return found.to_pylist()


def test_every_reply_of_the_larger_side_is_paired_within_one_prompt(make_run: MakeRun):
    run = make_run([asked(f"q{k}", "a") for k in range(4)])
    rng = np.random.default_rng(0)
    made = []
    for _ in range(200):
        index, order = int(rng.integers(4)), int(rng.integers(2))
        word, good = int(rng.integers(4)), bool(rng.random() < 0.3)
        text = f"{'good' if good else 'bad'} {word}"
        made.append(reply(index, f"q{index} in order {order}", text, correct=good))
    append_replies(run, made)
    found = pairs_of(run, per_sample=100)
    assert len(found) == len({tuple(pair.items()) for pair in found})
    replies = {(one["sample_id"], one["prompt"], one["reply"], one["correct"]) for one in made}
    sides: dict[tuple[str, str], Counter[bool]] = {}
    for sample, prompt, _, good in replies:
        sides.setdefault((sample, prompt), Counter())[good] += 1
    wanted = {
        key: max(count.values()) for key, count in sides.items() if count[True] and count[False]
    }
    assert Counter((pair["sample_id"], pair["prompt"]) for pair in found) == Counter(wanted)
    for pair in found:
        head = pair["sample_id"], pair["prompt"]
        assert (*head, pair["chosen"], True) in replies
        assert (*head, pair["rejected"], False) in replies
    few = Counter(pair["sample_id"] for pair in pairs_of(run, per_sample=2))
    assert set(few.values()) == {2}


def test_replies_that_are_cut_blank_or_empty_make_no_pair(make_run: MakeRun):
    run = make_run([asked("q", "a")])
    good, bad = (reply(0, "q", text, correct=text == "a") for text in ("a", "b"))
    for odd in ({"cut": True}, {"blank": True}, {"reply": "  "}, {"reply": None, "correct": None}):
        append_replies(run, [good, bad | odd], name="other")
        assert not pairs_of(run), odd
    append_replies(run, [good, bad], name="some")
    assert len(pairs_of(run)) == 1
    assert not pairs_of(run, name="other")


def test_attempts_of_a_teacher_are_paired_with_their_reasoning(make_run: MakeRun):
    run = make_run([asked("is it clear?", "yes")])

    def attempt(number: int, answer: str, verdict: str, **more: Any) -> dict[str, Any]:
        return {
            "construct_id": "c-1",
            "sample_id": "id0",
            "kind": "plain",
            "attempt": number,
            "reply_id": str(number),
            "reasoning": f"thought {number}",
            "answer": answer,
            "verdict": verdict,
            "accepted": verdict == "right",
        } | more

    lines = [
        attempt(0, "no", "wrong"),
        attempt(1, "yes", "right"),
        attempt(2, "yes", "right", accepted=False),
        attempt(3, "perhaps", "undecided"),
        attempt(4, "no", "wrong", kind="blind"),
        attempt(5, "no", "wrong", finish_reason="length"),
    ]
    table = pa.Table.from_pylist(lines, schema=arrow_schema("attempts"))
    append_tables(run / "manifest.duckdb", "one", {"attempts": table})
    [sample] = read_selection(run, preference=PreferenceConfig(source="attempts", name="c")).samples
    assert sample.turns == (
        ("user", "is it clear?"),
        ("assistant", "<think>\nthought 1\n</think>\n\nyes"),
    )
    assert sample.rejected == "<think>\nthought 0\n</think>\n\nno"
    chosen, rejected = both_replies([sample])
    assert chosen.turns[:-1] == rejected.turns[:-1]
    assert rejected.turns[-1] == ("assistant", sample.rejected)


def test_a_selection_without_pairs_is_refused_before_a_model_is_loaded(
    make_run: MakeRun, tmp_path: Path
):
    run = make_run([asked("q", "a")])
    made = recipe(run, tmp_path, **SMALL)
    with raises_code("pairs_missing", selection="chosen", source="rollouts"):
        read_selection(run, preference=made.preference)
    append_replies(run, [reply(0, "q", "a", correct=True), reply(0, "q", "A", correct=True)])
    with raises_code("pairs_missing"):
        read_selection(run, preference=made.preference)


def test_equal_replies_and_replies_beyond_the_context_are_left_out_with_a_reason(
    llama: Path, make_run: MakeRun
):
    run = make_run([asked(f"is lung {k} clear?", "yes") for k in range(4)])
    made = recipe(run, llama, **SMALL)
    long = "left lung " * 600

    def say(index: int, chosen: str, rejected: str) -> None:
        append_replies(
            run,
            [
                reply(index, question(index), chosen, correct=True),
                reply(index, question(index), rejected, correct=False),
            ],
            name=f"of {index}",
        )

    # Another set of rollouts may call a reply wrong that this one calls right.
    say(0, "yes", "yes")
    say(1, "yes", long)
    with raises_code("selection_untrainable", reasons={"too_long": 1}):
        prepare(made)
    say(2, "yes", "no")
    say(3, long, "no")
    prepared = prepare(made)
    prepared.close()
    drops = [(drop.row_id, drop.reason, drop.threshold) for drop in prepared.dropped]
    # The model reads 512 tokens.
    assert drops == [
        ("s:f.jsonl:0", "equal_replies", None),
        ("s:f.jsonl:1", "too_long", 512),
        ("s:f.jsonl:3", "too_long", 512),
    ]
    assert prepared.trained_on == 1


def test_the_replies_of_a_pair_share_a_batch_that_fits(tmp_path: Path):
    lengths = np.random.default_rng(0).integers(5, 60, 2 * 37)
    plan = PairPlan(lengths, BatchesConfig(max_tokens=240, max_samples=5), 3, 2, epochs=2.0)
    for epoch in range(2):
        batches = plan.make_epoch(epoch)
        rows = [row for batch in batches for row in batch.rows]
        assert sorted(rows) == [(sample,) for sample in range(len(lengths))]
        for batch in batches:
            chosen, rejected = batch.members[::2], batch.members[1::2]
            assert rejected == [sample + 1 for sample in chosen]
            assert all(sample % 2 == 0 for sample in chosen)
            assert len(chosen) <= 5
            assert lengths[batch.members].max() * len(batch.members) <= 240
    assert plan.make_epoch(0) != plan.make_epoch(1)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"batches": {"packing": True}}, "packing"),
        ({"workers": {"strategy": "fsdp"}}, "strategy"),
        ({"lora": {"full": True}}, "full"),
        ({"preference": {"beta": 0.0}}, "beta"),
        ({"preference": {"source": "traces"}}, "source"),
    ],
)
def test_settings_without_meaning_are_refused(tmp_path: Path, settings: dict[str, Any], words: str):
    with pytest.raises(ValueError, match=words):
        recipe(tmp_path, "base", **{"objective": "dpo"} | settings)


def test_other_replies_are_another_training(llama: Path, make_run: MakeRun):
    run = make_run([asked("q", "a")])
    made = recipe(run, llama, **SMALL)
    append_replies(run, [reply(0, "q", "a", correct=True), reply(0, "q", "b", correct=False)])
    first = open_training(made).training_id
    assert open_training(made).training_id == first
    append_replies(run, [reply(0, "q", "a", correct=True), reply(0, "q", "c", correct=False)])
    assert open_training(made).training_id != first
