"""Draw replies of the model in training, and put them into tensors to learn from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from medsift.arrays import Doubles, Indices
from medsift.models import ImageTextModel, LanguageModel
from medsift.models.generation.asking import AskInText, AskWithPictures
from medsift.models.generation.continuation import Asking, Continuation
from medsift.models.generation.request import GenerationConfig, Reply, Request
from medsift.models.image_text import append_answers
from training.dataset.collate import MicroBatch
from training.dataset.samples import Picture
from training.model.base_model import Base
from training.model.sharding import without_adapters
from training.model.trainable import set_training
from training.policy.losses import group_advantages, has_contrast
from training.policy.policy_settings import PolicyConfig
from training.policy.questions import Question
from training.policy.rewards import Reward, reward

if TYPE_CHECKING:
    from PIL.Image import Image

GREY: Final = 127
"""Every channel of a blank picture."""

Show = Callable[[Picture], "Image"]


@dataclass(frozen=True, slots=True)
class Group:
    """The replies to one question with their rewards."""

    question: Question
    replies: tuple[Reply, ...]
    rewards: tuple[Reward, ...]
    advantages: Doubles
    """(G,)."""
    contrast: bool
    """Whether the rewards differ."""

    @property
    def lengths(self) -> Indices:
        """Tokens (G,) of each reply, the end of the turn included."""
        return np.array([len(reply.token_ids) for reply in self.replies], np.int64)

    @property
    def correct(self) -> float:
        """Share of right replies."""
        return float(np.mean([one.correct for one in self.rewards]))


class Replier:
    """Draw replies under a model in training, which is in evaluation mode meanwhile."""

    def __init__(
        self, base: Base, model: Any, vision: str, config: PolicyConfig, seed: int
    ) -> None:
        self.base, self.model, self.vision, self.config = base, model, vision, config
        inner = without_adapters(model)
        own = inner.generation_config
        drawing = GenerationConfig(
            max_new_tokens=config.max_new_tokens, temperature=config.temperature, seed=seed
        )
        # A group has one prompt, so that nothing in a batch is padded on the left.
        self.continuation = Continuation(model, self._asking(), drawing, config.group)
        self.settings, inner.generation_config = inner.generation_config, own

    def draw(self, asked: Sequence[tuple[Question, int]], show: Show) -> list[Group | None]:
        """Return the group of each question; None for a question that the model refuses.

        Args:
            asked: each question, and the number of its first draw: equal numbers draw equal
                replies.
            show: returns a picture.

        Raises:
            StorageError: a picture is gone or has changed.
        """
        count = self.config.group
        requests = [
            replace(self.request(question, show), draw=first + number)
            for question, first in asked
            for number in range(count)
        ]
        with self._generating():
            replies = self.continuation.generate(requests)
        return [
            self._group(question, replies[count * place : count * (place + 1)])
            for place, (question, _) in enumerate(asked)
        ]

    def request(self, question: Question, show: Show) -> Request:
        """Return the request that asks a question."""
        pictures = tuple(show(picture) for picture in question.sample.pictures)
        return Request("", question.sample.sample_id, "", question.turns, pictures)

    def micro_batch(
        self, group: Group, rows: Sequence[int], weights: Doubles, show: Show
    ) -> MicroBatch:
        """Return some replies of a group as tensors, with the weight (G,) of each reply's tokens.

        Raises StorageError where a picture is gone or has changed.
        """
        import torch

        [prompt] = self.continuation.asking.prompts([self.request(group.question, show)])
        assert prompt is not None, "a prompt that was replied to"
        inputs = self.continuation.inputs_of([prompt] * len(rows))
        width = inputs["input_ids"].shape[1]
        answers = [group.replies[row].token_ids for row in rows]
        lengths = [len(ids) for ids in answers]
        # What is predicted at a position is the token after it.
        positions = [width - 1 + place for length in lengths for place in range(length)]
        kinds = (np.int64, np.int64, np.int64, np.float32)
        columns = (
            np.repeat(np.arange(len(rows)), lengths),
            positions,
            [token for ids in answers for token in ids],
            np.repeat(weights[list(rows)], lengths),
        )
        arrays = (np.asarray(column, kind) for column, kind in zip(columns, kinds, strict=True))
        tensors = (torch.from_numpy(array).to(self.base.device) for array in arrays)
        pad = int(self.base.tokenizer.pad_token_id)
        return MicroBatch(append_answers(inputs, answers, pad), *tensors)

    def prompt_tokens(self, question: Question, show: Show) -> int:
        """Return how many tokens a question has, those of its pictures included."""
        [prompt] = self.continuation.asking.prompts([self.request(question, show)])
        assert prompt is not None, "a prompt that was replied to"
        return int(self.continuation.inputs_of([prompt])["input_ids"].shape[1])

    def _group(self, question: Question, replies: Sequence[Reply]) -> Group | None:
        if any(reply.text is None for reply in replies):
            return None
        rewards = tuple(
            reward(
                question.key, reply.text or "", len(reply.token_ids), bool(reply.cut), self.config
            )
            for reply in replies
        )
        totals = np.array([one.total for one in rewards])
        contrast = has_contrast(totals)
        advantages = group_advantages(totals[None], self.config.scaled_by)[0]
        return Group(question, tuple(replies), rewards, advantages * contrast, contrast)

    def _asking(self) -> Asking:
        base = self.base
        if base.processor is None:
            return AskInText(LanguageModel(base.name, self.model, base.tokenizer, base.device))
        loaded = ImageTextModel(base.name, self.model, base.processor, base.device)
        return AskWithPictures(loaded, None)

    @contextmanager
    def _generating(self) -> Iterator[None]:
        inner = without_adapters(self.model)
        own, inner.generation_config = inner.generation_config, self.settings
        self.model.eval()
        try:
            yield
        finally:
            inner.generation_config = own
            set_training(self.model, self.vision)


def blank(picture: Image) -> Image:
    """Return a grey picture of the same size and mode."""
    from PIL import Image as Images

    return Images.new(picture.mode, picture.size, (GREY,) * len(picture.getbands()))
