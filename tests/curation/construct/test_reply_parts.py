"""Reasoning is split from the answer in each form that teachers use, and nothing is invented."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.construct.reply_parts import split_reply

PLAIN = st.text("abcdefgh ÄÖ肺 .,\n", min_size=1).filter(lambda text: text.strip())
PIECES = """<think> </think> <thinking> </reason> [/THINK] <answer> </answer> Answer: left yes
◁think▷ <channel> 答案： ##"""
MARKUP = st.sampled_from([*PIECES.split(), "\n", "## Thinking"])


@settings(deadline=None)
@given(PLAIN, PLAIN)
def test_the_same_reasoning_and_answer_come_out_of_each_form(reasoning, answer):
    wanted = (reasoning.strip(), answer.strip())
    assert split_reply(answer, reasoning) == (*wanted, "field")
    assert split_reply(f"<think>\n{reasoning}\n</think>\n{answer}") == (*wanted, "tag")
    assert split_reply(f"{reasoning}\nAnswer: {answer}") == (*wanted, "inline")


@settings(deadline=None)
@given(st.lists(MARKUP, max_size=12))
def test_no_text_is_invented_whatever_the_tags(pieces):
    content = "".join(pieces)
    reasoning, answer, form = split_reply(content)
    for part in (reasoning, answer):
        assert not Counter("".join(part.split())) - Counter("".join(content.split()))
    assert form != "field"
    assert form != "none" or reasoning == ""


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ("<think>it is dark", ("it is dark", "", "tag")),
        ("it is dark</think>Yes", ("it is dark", "Yes", "tag")),
        ("<think>a<think>b</think>Yes", ("a b", "Yes", "tag")),
        ("<think></think>Yes", ("", "Yes", "none")),
        ("<think>  \n</think>\n\n", ("", "", "none")),
        ("", ("", "", "none")),
        ("Dark on the left.\n**Answer:** left", ("Dark on the left.", "left", "inline")),
        (
            "Dark.\nAnswer: right\nNo:\nAnswer: left",
            ("Dark.\nAnswer: right\nNo:", "left", "inline"),
        ),
        ("Dark. <answer>left</answer>", ("Dark.", "left", "inline")),
        ("肺部发白。\n答案：肺炎", ("肺部发白。", "肺炎", "inline")),
    ],
)
def test_unclosed_nested_and_empty_tags(content, parts):
    assert split_reply(content) == parts


def test_tags_inside_an_answer_with_a_reasoning_field_are_left_out():
    assert split_reply("<think>again</think>B", "because") == ("because", "B", "field")
