"""Where the answer stands in a reply."""

from __future__ import annotations

import pytest

from evaluation.scoring import PROTOCOLS, AnswerKey
from medsift.replies.reasoning import without_reasoning
from medsift.replies.spans import spans

LONG = 20_000


@pytest.mark.parametrize(
    ("reply", "rest"),
    [
        ("<think>a</think>b", "b"),
        ("a <think>b</think> c", "a c"),
        ("<THINK>a<think>b</think>c", "c"),
        ("<thinking>a</thinking>b<think>c</think>d", "b d"),
        ("a</think>b", "b"),
        ("a</think>b</think>c", "c"),
        ("a<think>b", "a"),
        ("<think>b", ""),
        ("a < b", "a < b"),
        ("[THINK]a[/THINK]b", "b"),
        ("[ think ] a [ / think ] b", "b"),
        ("◁think▷a◁/think▷b", "b"),
        ("<reasoning>a</reasoning>b", "b"),
        ("<thought>a</thought>b", "b"),
        ("<reflection>a</reflection>b", "b"),
        ("<scratchpad>a</scratchpad>b", "b"),
        ("<thinking>a<reflection>b</reflection>c</thinking>d", "d"),
        ("<think type='long'>a</think>b", "b"),
        ("<|begin_of_thought|>a<|end_of_thought|>b", "b"),
        ("<|START_THINKING|>a<|END_THINKING|>b", "b"),
        ("<unused94>thought a<unused95>b", "b"),
        (
            "<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>final<|message|>b",
            "b",
        ),
        ("<|channel|>analysis<|message|>a", ""),
        ("analysisa b cassistantfinalb", "b"),
        ("analysis of b", "analysis of b"),
        ("## Thinking\na\n## Final Response\nb", "b"),
        ("a[/THINK]b", "b"),
        ("◁think▷b", ""),
        ("[THINK]b", ""),
        ("【思考】a【/思考】b", "b"),
        ("b<|im_end|>", "b"),
        ("a thought [1] b", "a thought [1] b"),
    ],
)
def test_reasoning_is_cut_opened_or_closed(reply, rest):
    assert without_reasoning(reply).split() == rest.split()


@pytest.mark.parametrize(
    ("reply", "span"),
    [
        ("I see a mass. \\boxed{left} or \\boxed{ }", "left"),
        ("\\boxed{\\text{left lung}}", "left lung"),
        ("\\boxed{a} then \\boxed{b", "a"),
        ("$\\boxed{\\boxed{b}}$", "b"),
        ("x \\boxed{y} <answer>z</answer>", "y"),
        ("<answer>a</answer> so <answer>b</answer>", "b"),
        ("<answer>a</answer><answer></answer>", "a"),
        ("so <answer>left", "left"),
        ("<answer></answer>", ""),
        ("<answer>The answer is **B**</answer>", "b"),
        ("Answer: a\nbecause of b", "a"),
        ("The answer is a. No: the final answer is: b", "b"),
        ("The answer to the question is left.", "left."),
        ("The answer is:\n\nleft", "left"),
        ("Answer: left. The answer is", "left. the"),
        ("答案：左肺\n因为", "左肺"),
        ("所以答案是左肺", "左肺"),
        ("答案应该是：左肺", "左肺"),
        ("I cannot answer", "i cannot answer"),
        ("unanswered: a", "unanswered: a"),
        ("> ## **Left** `lung`", "left lung"),
        ("- left\n- right", "left\nright"),
        ("-5 mm", "-5 mm"),
        ("ＬＥＦＴ：１", "left:1"),
        ("", ""),
        (" \n ", ""),
    ],
)
def test_the_last_stated_answer_is_taken(reply, span):
    stated = (found.text for found in spans(reply) if found.where != "correction")
    assert next(stated, "") == span


NOISES = (
    *(
        "<think>",
        "</think>",
        "\\boxed{",
        "}",
        "{",
        "<answer>",
        "</answer>",
        "\\a{",
        "$",
        "- ",
        "\\",
    ),
    *(
        "#",
        ">",
        "(",
        "[",
        " ",
        "\n",
        "*",
        "_",
        "> ",
        "# ",
        "-",
        "1,",
        "1.",
        "'",
        "a.",
        "a b ",
        "(a)",
    ),
    *("answer ", "answer is ", "answer:", "答案是", "是否", "无法", "没有足够", "不", "是", "有"),
    *("yes", "yes ", "yes or ", "no/", "no-", "٣", "é", "\x00", "\ud800"),
)


# Work is not counted here: a pattern that backtracks without bound runs into the tests' time limit,
# and `benchmarks/replies.py` measures that time grows no faster than the reply.
@pytest.mark.parametrize("length", [LONG, pytest.param(5 * LONG, marks=pytest.mark.nightly)])
@pytest.mark.parametrize("protocol", list(PROTOCOLS))
def test_a_long_reply_and_one_twice_as_long_are_scored(protocol, length):
    options = ("Left", "Right")
    items = (
        AnswerKey("vqa_rad", "closed", "yes"),
        AnswerKey("slake", "open", "left"),
        AnswerKey("pmc_vqa", "choice", "A", options),
    )
    for noise in NOISES:
        for item in items:
            if item.answer_type not in PROTOCOLS[protocol].answer_types:
                continue
            for size in (length, 2 * length):
                scored = PROTOCOLS[protocol].score(item, (noise * size)[:size])
                assert (scored.parsed is None) == (scored.parse_status == "unparsed"), noise
                assert scored.score is None or 0 <= scored.score <= 1, noise


def test_a_stated_answer_is_found_at_the_end_of_a_long_reply():
    item = AnswerKey("vqa_rad", "closed", "yes")
    reply = "no mass and no nodule. " * 5_000 + "The answer is yes."
    assert PROTOCOLS["strict"].score(item, reply).score == 1
