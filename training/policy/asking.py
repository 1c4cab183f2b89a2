"""Choose the questions of a step and draw their replies, again where all replies earn the same.

Which questions a step asks, which ones replace those without contrast, and all random numbers
follow from seed, step and place, so that neither a restart nor another number of workers changes
anything, and a checkpoint needs to hold no reply.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from training.policy.policy_settings import PolicyConfig
from training.policy.questions import Question
from training.policy.replies import Group, Replier, Show, blank

BLANK: Final = 1 << 20
"""Number that keeps random choices of blank pictures apart from those of questions."""


class Place(NamedTuple):
    """A place among the prompts of a step, and what is asked there."""

    number: int
    question: Question


class Drawn(NamedTuple):
    """The groups of a worker's places, and what it took to get them."""

    groups: dict[int, Group]
    """By place; a place without a question that the model takes has none."""
    refills: int
    refused: int
    watched: tuple[tuple[Group, Group], ...]
    """Groups that were also asked with blank pictures, and their blank groups."""


class StepQuestions:
    """Draws replies to the questions of a step, by their places in it."""

    def __init__(
        self,
        replier: Replier,
        questions: Sequence[Question],
        config: PolicyConfig,
        seed: int,
        show: Show,
    ) -> None:
        self.replier, self.questions, self.show = replier, questions, show
        self.config, self.seed = config, seed

    def draw(self, step: int, places: Sequence[Place]) -> Drawn:
        """Return the groups of a step's places. Raises StorageError where a picture has gone."""
        groups: dict[int, Group] = {}
        refills = refused = 0
        left = list(places)
        for attempt in range(self.config.refills + 1):
            if attempt:
                left = [Place(place.number, self._other(step, place, attempt)) for place in left]
                refills += len(left)
            asked = [(place.question, self._first_draw(step, place, attempt)) for place in left]
            answered = list(zip(left, self.replier.draw(asked, self.show), strict=True))
            for place, group in answered:
                refused += group is None
                if group is not None and (group.contrast or place.number not in groups):
                    groups[place.number] = group
            left = [place for place, group in answered if group is None or not group.contrast]
            if not left:
                break
        return Drawn(groups, refills, refused, self._watched(step, groups))

    def _other(self, step: int, place: Place, attempt: int) -> Question:
        """Return the question that is tried at a place in place of another."""
        generator = np.random.default_rng([self.seed, step, place.number, attempt])
        return self.questions[int(generator.integers(len(self.questions)))]

    def _first_draw(self, step: int, place: Place, attempt: int) -> int:
        """Return the number of a group's first draw, which no other group of the training has."""
        places = step * self.config.prompts + place.number
        return (places * (self.config.refills + 1) + attempt) * self.config.group

    def _watched(self, step: int, groups: dict[int, Group]) -> tuple[tuple[Group, Group], ...]:
        """Ask some questions with blank pictures too."""
        chosen = [
            Place(number, group.question)
            for number, group in sorted(groups.items())
            if group.question.sample.pictures and self._is_watched(step, number)
        ]
        asked = [(place.question, self._first_draw(step, place, 0)) for place in chosen]
        answered = self.replier.draw(asked, lambda picture: blank(self.show(picture)))
        pairs = zip(chosen, answered, strict=True)
        return tuple((groups[place.number], group) for place, group in pairs if group is not None)

    def _is_watched(self, step: int, number: int) -> bool:
        generator = np.random.default_rng([self.seed, step, number, BLANK])
        return bool(generator.random() < self.config.blank_share)
