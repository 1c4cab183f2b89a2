"""What no reply can change about `strict`: dress does not count, nothing unread is ever right."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from evaluation.scoring import PROTOCOLS, AnswerKey
from evaluation.scoring.scored import stands_apart

OPTIONS = ("Pneumonia", "Pleural effusion", "Left lung", "Normal")
ITEMS = st.sampled_from(
    [
        AnswerKey("vqa_rad", "closed", "yes"),
        AnswerKey("vqa_rad", "closed", "No"),
        AnswerKey("slake", "closed", "没有"),
        AnswerKey("slake", "closed", "left"),
        AnswerKey("vqa_rad", "closed", "yes", ("yes", "no")),
        AnswerKey("pmc_vqa", "choice", "B", OPTIONS),
        AnswerKey("pmc_vqa", "choice", "Left lung", OPTIONS),
        AnswerKey("vqa_rad", "open", "left lung"),
        AnswerKey("vqa_rad", "open", "5.6 cm"),
        AnswerKey("slake", "open", "左肺"),
    ]
)
PIECES = st.sampled_from(
    [
        *("yes", "no", "Yes,", "No.", "nodule", "normal", "not", "or", "the", "a", "left", "lung"),
        *("B", "(B)", "A.", "C:", "E", "pleural effusion", "Left lung", "5.6 cm", "-5", "HER2+"),
        *("是", "不是", "没有", "有", "左肺", "是否", "无法判断", "，", "。", "？"),
        *("The answer is", "Answer:", "答案：", "\\boxed{yes}", "<answer>B</answer>", "\n"),
        *("<think>", "</think>", "\\boxed{", "}", "$", "1,000"),
    ]
)
REPLIES = st.lists(PIECES, max_size=7).map(" ".join) | st.text(
    st.characters(codec="ascii", exclude_categories=("Cc",)), max_size=20
)
# Words of an answer, and of the statements that are read as one.
SAYS = {
    "yes": ("yes", "yeah", "yep", "y", "true", "correct", "present", "positive", "sure", "it is"),
    "no": (
        "no",
        "nope",
        "nah",
        "n",
        "not",
        "false",
        "wrong",
        "absent",
        "negative",
        "none",
        "never",
    ),
}
DRESSES = ("**{}**", "*{}*", "__{}__", "_{}_", "`{}`", "# {}", "> {}", "- {}", "> **{}**")


def strict(item, reply):
    return PROTOCOLS["strict"].score(item, reply)


def verdict(item, reply):
    """All of a score but the words that explain it, which quote the reply."""
    return strict(item, reply)._replace(explanation=None)


@settings(deadline=None)
@given(ITEMS, REPLIES)
@example(AnswerKey("vqa_rad", "closed", "yes"), "")
def test_unread_is_wrong_and_no_reply_is_left_out(item, reply):
    scored = strict(item, reply)
    assert scored.score in (0.0, 1.0)
    assert scored.fault is None
    assert (scored.parsed is None) == (scored.parse_status == "unparsed")
    assert scored.parsed is not None or scored.score == 0


@settings(deadline=None)
@given(ITEMS, REPLIES, st.sampled_from([str.upper, str.lower, str.title, str.swapcase]))
def test_case_does_not_count(item, reply, change):
    assert strict(item, change(reply)) == strict(item, reply)


@settings(deadline=None)
@given(ITEMS, REPLIES, st.text(" \t\n", max_size=4), st.text(" \t\n", max_size=4))
@example(AnswerKey("vqa_rad", "open", "left lung"), "left lung\\", "", " ")
@example(AnswerKey("pmc_vqa", "choice", "B", OPTIONS), "It is pleural effusion - B \\", " ", "\n")
def test_surrounding_space_does_not_count(item, reply, before, behind):
    assert strict(item, before + reply + behind) == strict(item, reply)


@settings(deadline=None)
@given(ITEMS, REPLIES, st.sampled_from(DRESSES))
@example(AnswerKey("vqa_rad", "open", "left lung"), "<think> left lung", "- {}")
@example(AnswerKey("vqa_rad", "open", "left lung"), "$ <think>", "- {}")
@example(AnswerKey("slake", "closed", "left"), "-", "__{}__")
def test_markdown_does_not_count(item, reply, dress):
    line = " ".join(reply.split())
    # "> 5 cm" and "> **5** cm" are comparisons and no quotations.
    assume(line and not (dress.startswith(">") and re.match(r"[\W_]*\d", line)))
    assert verdict(item, dress.format(line)) == verdict(item, line)


@settings(deadline=None)
@given(ITEMS, REPLIES, REPLIES)
def test_closed_reasoning_does_not_count(item, reasoning, reply):
    answer = re.sub("</?think>", "", reply)
    thought = re.sub("</?think>", "", reasoning)
    assert verdict(item, f"<think>{thought}</think>{answer}") == verdict(item, answer)


@settings(deadline=None)
@given(ITEMS, PIECES)
def test_a_stated_answer_overrides_what_went_before(item, piece):
    assume(any(map(str.isalnum, piece)) and "think" not in piece)
    stated = verdict(item, f"<answer>{piece}</answer>")
    assert verdict(item, f"No, yes, A or B? <answer>{piece}</answer>") == stated


@settings(deadline=None)
@given(REPLIES, st.sampled_from(["yes", "no"]))
def test_a_right_yes_or_no_stands_in_the_reply_as_a_word(reply, gold):
    english = re.sub(r"[^\x00-\x7f]", " ", reply)
    if strict(AnswerKey("vqa_rad", "closed", gold), english).score:
        assert any(stands_apart(word, english.lower()) for word in SAYS[gold])


@settings(deadline=None)
@given(REPLIES)
def test_at_most_one_gold_answer_is_right(reply):
    yes, no = (strict(AnswerKey("vqa_rad", "closed", gold), reply).score for gold in ("yes", "no"))
    letters = [
        strict(AnswerKey("pmc_vqa", "choice", gold, OPTIONS), reply).score for gold in "ABCD"
    ]
    assert yes + no <= 1
    assert sum(letters) <= 1


@settings(deadline=None)
@given(REPLIES)
def test_an_open_score_is_never_above_any_share(reply):
    scored = strict(AnswerKey("vqa_rad", "open", "left lung"), reply)
    shares = (scored.token_precision, scored.token_recall, scored.token_f1)
    assert scored.score == scored.exact_match
    assert scored.score <= min(*shares, scored.bleu_1, scored.rouge_l)


@pytest.mark.parametrize("frame", ["{}", "The answer is {}.", "<think>no</think> **{}**"])
def test_every_gold_answer_of_vqa_rad_is_right_as_a_reply(vqa_rad, frame):
    lines = (vqa_rad / "vqa_rad.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    items = {
        AnswerKey("vqa_rad", row["answer_type"].strip().lower(), str(row["answer"])) for row in rows
    }
    wrong = [item for item in items if not strict(item, frame.format(item.gold.strip())).score]
    assert len(items) > 500
    assert wrong == []
