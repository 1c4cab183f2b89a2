"""Project the calls and the cost of a construction before anything is asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from curation.construct.asking import Task, estimate_tokens, question_of
from curation.construct.settings import ConstructRecipe
from curation.construct.teacher import Teacher

PIXELS_PER_TOKEN = 28 * 28
"""Pixels of a picture that are one token of Qwen2.5-VL; other models differ."""


@dataclass(frozen=True, slots=True)
class Projection:
    """Calls of the teacher and their cost: the fewest, the expected and the most.

    `stored` replies are there already. Costs are None without prices; the most has replies of the
    greatest length. Calls of a judge come on top.
    """

    samples: int
    stored: int
    fewest: int
    expected: int
    most: int
    expected_cost: float | None
    most_cost: float | None

    def __str__(self) -> str:
        lines = [
            f"{self.samples:,} samples: {self.expected:,} calls expected ({self.fewest:,} at least,"
            f" {self.most:,} at most); {self.stored:,} replies are stored already"
        ]
        if self.expected_cost is not None and self.most_cost is not None:
            lines.append(f"cost {self.expected_cost:,.2f} expected, {self.most_cost:,.2f} at most")
        return "\n".join(lines)


def expected_draws(acceptance: float, wanted: int, most: int) -> float:
    """Return the expected number of draws until `wanted` are accepted or `most` are drawn."""
    # State: how many are accepted so far; a draw is made while fewer than wanted are.
    state = np.zeros(wanted)
    state[0] = 1.0
    draws = 0.0
    for _ in range(most):
        draws += state.sum()
        state = state * (1 - acceptance) + np.concatenate([[0.0], state[:-1]]) * acceptance
    return float(draws)


def project(tasks: Sequence[Task], teacher: Teacher, recipe: ConstructRecipe) -> Projection:
    """Count what the samples of a construction ask for, and what is stored of that already."""
    if recipe.purpose == "caption_to_qa":
        fewest, expected, most = _caption_calls(tasks, recipe)
        return _projection(tasks, teacher, recipe, fewest, expected, most)
    blind = recipe.blind.attempts if recipe.purpose == "reasoning" else 0
    illustrated = sum(task.pictures > 0 for task in tasks) if blind else 0
    # Half of them right or half of them wrong ends the attempts without the picture.
    fewest_blind = -(-blind // 2)
    with_label = len(tasks) if "label_told" in recipe.kinds else 0
    drawn = expected_draws(recipe.expected_acceptance, recipe.accepted, recipe.attempts)
    some = 1.0 - (1.0 - recipe.expected_acceptance) ** recipe.attempts
    expected = len(tasks) * drawn + illustrated * some * blind + with_label * (1.0 - some)
    most = len(tasks) * recipe.attempts + illustrated * blind + with_label
    fewest = len(tasks) * min(recipe.accepted, recipe.attempts) + illustrated * fewest_blind
    return _projection(tasks, teacher, recipe, fewest, expected, most)


def _caption_calls(tasks: Sequence[Task], recipe: ConstructRecipe) -> tuple[int, float, int]:
    """Return the fewest, expected and most calls for questions of captions.

    A question is read once, by the teacher where there is no judge, and then asked blind.
    """
    reader = int(recipe.judge is None)
    blind, accepted = recipe.blind.attempts, recipe.expected_acceptance
    fewest, expected, most = 0, 0.0, 0
    for task in tasks:
        unseen = blind if task.pictures else 0
        wanted = min(recipe.accepted, recipe.questions)
        fewest += 1 + wanted * (reader + -(-unseen // 2))
        expected += 1 + recipe.questions * (reader + accepted * unseen)
        most += recipe.attempts * (1 + recipe.questions * reader)
        most += (recipe.accepted - 1 + recipe.questions) * unseen
    return fewest, expected, most


def _projection(
    tasks: Sequence[Task],
    teacher: Teacher,
    recipe: ConstructRecipe,
    fewest: int,
    expected: float,
    most: int,
) -> Projection:
    """Return what calls cost, and how many of the first requests are stored already."""
    stored = sum(
        teacher.key(question_of(task, task.kind, number, recipe.questions)) in teacher.log
        for task in tasks
        for number in range(recipe.attempts)
    )
    prompt = [
        estimate_tokens(question_of(task, task.kind, 0, recipe.questions).turns[-1][1])
        + task.pictures * (recipe.teacher.max_pixels // PIXELS_PER_TOKEN)
        for task in tasks
    ]
    mean = float(np.mean(prompt)) if prompt else 0.0
    return Projection(
        samples=len(tasks),
        stored=stored,
        fewest=fewest,
        expected=round(expected),
        most=most,
        expected_cost=cost_of(recipe, expected * mean, expected * recipe.expected_tokens),
        most_cost=cost_of(recipe, most * mean, most * recipe.teacher.max_tokens),
    )


def cost_of(recipe: ConstructRecipe, prompt_tokens: float, tokens: float) -> float | None:
    """Return what tokens of prompts and replies cost; None without prices."""
    price = recipe.teacher.price
    if price is None:
        return None
    return (prompt_tokens * price.prompt_per_million + tokens * price.reply_per_million) / 1e6
