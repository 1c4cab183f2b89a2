"""Rewards: their parts, read by the evaluation's parser, and the verdict on a training."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from evaluation.scoring import AnswerKey
from tests.training.conftest import recipe
from training.dataset.chat_labels import Refused
from training.dataset.samples import Picture, Sample
from training.policy.losses import group_advantages, has_contrast
from training.policy.policy_settings import PolicyConfig
from training.policy.questions import Question, question_of
from training.policy.rewards import reward
from training.policy.verdict import verdict_of
from training.recipe import TrainingRecipe

YES = AnswerKey("", "closed", "yes")
SIDES = AnswerKey("", "choice", "left", ("right", "left"))


@pytest.mark.parametrize(
    ("key", "text", "cut", "expected"),
    [
        (YES, "Yes, there is.", False, 1.0),
        (YES, "No.", False, 0.1),
        (YES, "It is hard to say.", False, 0.0),
        # A reply that was cut has no complete form, right or not.
        (YES, "yes", True, 0.9),
        (SIDES, "B", False, 1.0),
        (SIDES, "<think>Not the right one.</think> left", False, 1.0),
        (SIDES, "A. left", False, 0.0),
    ],
)
def test_the_right_answer_earns_most_and_a_readable_one_the_rest(
    key: AnswerKey, text: str, cut: bool, expected: float
):
    found = reward(key, text, 5, cut, PolicyConfig())
    assert found.total == pytest.approx(expected)
    assert found.total == pytest.approx(0.9 * found.correct + 0.1 * found.format + found.overlong)


@pytest.mark.parametrize(("tokens", "lost"), [(48, 0.0), (56, 0.25), (64, 0.5)])
def test_the_last_tokens_before_the_limit_cost_in_proportion(tokens: int, lost: float):
    config = PolicyConfig(max_new_tokens=64, overlong=16)
    assert reward(YES, "yes", tokens, False, config).overlong == pytest.approx(-lost)


def test_a_group_of_equal_rewards_has_no_contrast_and_no_advantage():
    equal, differing = np.full((1, 8), 0.3), np.array([[0.3, 0.4] * 4])
    assert not has_contrast(equal[0])
    assert has_contrast(differing[0])
    np.testing.assert_allclose(group_advantages(equal, "group"), 0.0, atol=1e-9)
    assert group_advantages(differing, "none").sum() == pytest.approx(0.0, abs=1e-12)


def sample(question: str, answer: str, answer_type: str, pictures: int = 0) -> Sample:
    tags = dict.fromkeys(("source", "stratum", "language"), None) | {"answer_type": answer_type}
    shown = tuple(Picture(str(k), f"{k}.png", 4, 4) for k in range(pictures))
    text = "<image>" * pictures + question
    return Sample("s", "r", (("user", text), ("assistant", answer)), shown, 1.0, tags)


def test_options_and_pictures_stand_in_the_prompt_as_in_an_evaluation():
    made = question_of(sample("which side? A. left B. right", "B", "choice", 2), PolicyConfig())
    assert isinstance(made, Question)
    assert made.key.options == ("left", "right")
    [(role, text)] = made.turns
    assert role == "user"
    assert text.count("<image>") == 2
    assert "A. left\nB. right" in text


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (sample("what is it?", "a long finding", "open"), "not_verifiable"),
        (sample("which side? A. left B. right", "front", "choice"), "not_verifiable"),
        (
            Sample(
                "s", "r", (("user", "a"), ("assistant", "b")) * 2, (), 1.0, {"answer_type": None}
            ),
            "several_turns",
        ),
    ],
)
def test_what_no_rule_can_check_is_not_asked(made: Sample, reason: str):
    found = question_of(made, PolicyConfig())
    assert isinstance(found, Refused)
    assert found.reason == reason


@pytest.mark.parametrize(
    "settings",
    [
        {"batches": {"packing": True}},
        {"workers": {"strategy": "fsdp"}},
        {"workers": {"decoding": "ray_data"}},
        {"policy": {"group": 2}},
        {"policy": {"updates": 9, "prompts": 8}},
    ],
)
def test_settings_without_meaning_are_refused(tmp_path: Any, settings: dict[str, Any]):
    with pytest.raises(ValueError, match=r"grpo|group|updates"):
        recipe(tmp_path, "base", objective="grpo", **settings)


def test_an_answer_training_has_no_trace_of_the_policy_in_its_identity(tmp_path: Any):
    made: TrainingRecipe = recipe(tmp_path, "base").model_copy(
        update={
            "base": TrainingRecipe.model_validate(
                {"name": "a", "run": tmp_path, "base": {"kind": "embedded"}}
            ).base
        }
    )
    assert not {"objective", "policy"} & set(made.decisive())


def lines(correct: list[float], shown: float, blank: float) -> list[dict[str, Any]]:
    return [
        {
            "correct": one,
            "blank_prompts": 2,
            "shown_correct": shown + 0.01 * (place % 2),
            "blank_correct": blank,
        }
        for place, one in enumerate(correct)
    ]


def test_the_verdict_says_whether_a_gain_needs_the_picture():
    rising = [0.2, 0.21, 0.2, 0.5, 0.5, 0.52, 0.8, 0.81, 0.8]
    needs, blind = verdict_of(lines(rising, 0.8, 0.3)), verdict_of(lines(rising, 0.8, 0.805))
    flat = verdict_of(lines([0.5, 0.6, 0.4] * 3, 0.5, 0.3))
    assert needs["gain"]["low"] > 0
    assert needs["reliance"]["low"] > 0
    assert blind["gain"] == needs["gain"]
    assert blind["reliance"]["low"] <= 0
    assert flat["gain"]["low"] <= 0
    assert len({needs["verdict"], blind["verdict"], flat["verdict"]}) == 3
