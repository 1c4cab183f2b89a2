"""`strict` against replies that a careful reader has labelled."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from evaluation.scoring import PROTOCOLS, AnswerKey
from medsift.replies.choice import LETTERS

FILE = Path(__file__).with_name("labelled_replies.yaml")
GROUPS = yaml.safe_load(FILE.read_text(encoding="utf-8"))
UNPARSED = "unparsed"
LINES = [(group, label, reply) for group in GROUPS for label, reply in group["replies"]]
# An open reply that should not be read must be right under none of these.
OPEN_GOLDS = ("left lung", "right lung", "none", "左肺")


def score(group, gold, reply):
    item = AnswerKey("labelled", group["kind"], gold, tuple(group.get("options", ())))
    return PROTOCOLS["strict"].score(item, reply)


def golds(group, label):
    """Every right answer that the group's question could have."""
    if group["kind"] == "choice":
        return list(LETTERS[: len(group["options"])])
    return ["yes", "no"] if group["kind"] == "closed" else [*OPEN_GOLDS, label]


def agrees(group, label, reply):
    """Whether what is read is what the label says, or nothing where it says so."""
    if label == UNPARSED:
        return score(group, golds(group, label)[0], reply).parsed is None
    if group["kind"] == "open":
        return score(group, label, reply).score == 1
    return score(group, golds(group, label)[0], reply).parsed == label


def test_there_are_many_replies_of_each_kind_and_language():
    kinds = {(group["kind"], group["language"]) for group in GROUPS}
    assert kinds == {
        (kind, tongue) for kind in ("choice", "closed", "open") for tongue in ("en", "zh")
    }
    assert len(LINES) >= 520
    assert len({(group["kind"], group["question"], reply) for group, _, reply in LINES}) == len(
        LINES
    )
    assert sum(group.get("held_back", False) for group, _, _ in LINES) >= 150


def test_what_is_read_is_what_a_careful_reader_reads():
    missed = [(label, reply) for group, label, reply in LINES if not agrees(group, label, reply)]
    assert 1 - len(missed) / len(LINES) >= 0.99, missed


def test_no_reply_is_right_where_the_reader_calls_it_wrong():
    credited = [
        (gold, label, reply)
        for group, label, reply in LINES
        for gold in golds(group, label)
        if gold != label and group["kind"] != "open" and score(group, gold, reply).score
    ]
    assert credited == []


@pytest.mark.parametrize("kind", ["choice", "closed", "open"])
def test_every_score_says_what_was_read_and_by_which_rule(kind):
    import json

    for group, label, reply in LINES:
        if group["kind"] != kind:
            continue
        explanation = json.loads(score(group, golds(group, label)[0], reply).explanation)
        assert set(explanation) == {"rule", "where", "span"}
        assert explanation["rule"]
        assert explanation["span"] or label == UNPARSED
