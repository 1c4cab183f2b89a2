"""Items put into words: the question, its options, and how to answer."""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_uppercase as LETTERS
from types import MappingProxyType
from typing import Any, Final

from pydantic import Field

from evaluation.perturb.item import IMAGE_MARKER, ItemRow, language_of
from medsift.config import Config
from medsift.models.chat_format import Turn
from medsift.replies.closed import polarity
from medsift.vocabulary import IMAGE_MARK

PROMPTS_VERSION: Final = 1
"""Raised when equal items and settings give other words."""
YES_NO: Final = MappingProxyType({"en": ("yes", "no"), "zh": ("是", "否")})
"""What the instruction of a closed question offers: yes first."""
CLOSED, CHOICE, OPEN = ANSWER_KINDS = ("closed", "choice", "open")
INSTRUCTIONS: Final = MappingProxyType(
    {
        "en": {
            CLOSED: "Answer with yes or no.",
            CHOICE: "Answer with the letter of the right option.",
            OPEN: "Answer with a single word or a short phrase.",
        },
        "zh": {
            CLOSED: "请回答“是”或“否”。",
            CHOICE: "请回答正确选项的字母。",
            OPEN: "请用一个词或短语回答。",
        },
    }
)


class PromptConfig(Config):
    """How items are asked. Small changes here move scores: the settings stand next to results."""

    system: str | None = None
    """What a system turn says; None for no such turn."""
    instructions: dict[str, str] = Field(default_factory=dict)
    """Replaces our own last line of closed, choice and open questions, in whatever language."""

    def model_post_init(self, context: Any, /) -> None:
        """Refuse instructions for a kind of question that there is not."""
        unknown = sorted(set(self.instructions) - set(ANSWER_KINDS))
        if unknown:
            raise ValueError(
                f"{unknown[0]!r} is no answer type; allowed: {', '.join(ANSWER_KINDS)}"
            )


def ask(item: ItemRow, config: PromptConfig, *, looks: bool) -> tuple[Turn, ...]:
    """The turns that put an item to a model, with a mark for each picture where the model looks.

    A closed question whose answer is not yes or no ("left or right?") is asked as an open one.
    """
    pictures = len(item["images"] or ()) if looks else 0
    kind = _kind(item)
    instruction = config.instructions.get(kind, INSTRUCTIONS[_language(item)][kind])
    words = "\n".join([str(item["question"]).strip(), *lettered(item["options"]), instruction])
    turn: Turn = ("user", _placed(words, pictures))
    return (("system", config.system), turn) if config.system else (turn,)


def candidates(item: ItemRow) -> tuple[str, ...]:
    """Short answers to weigh: letters of the options, or yes and no in the instruction's language.

    None of an open question.
    """
    if item["options"]:
        return tuple(LETTERS[: len(item["options"])])
    return YES_NO[_language(item)] if _kind(item) == CLOSED else ()


def _kind(item: ItemRow) -> str:
    if item["options"]:
        return CHOICE
    yes_or_no = item["answer_type"] == CLOSED and polarity(item["gold"]) is not None
    return CLOSED if yes_or_no else OPEN


def lettered(options: Sequence[str] | None) -> list[str]:
    """Return a line for each option, under its letter."""
    return [f"{letter}. {text}" for letter, text in zip(LETTERS, options or (), strict=False)]


def _language(item: ItemRow) -> str:
    return language_of(item, INSTRUCTIONS) or "en"


def _placed(words: str, pictures: int) -> str:
    """Words with a mark a picture: where the item shows them all in order, else all first."""
    found = [int(number or 0) for number in IMAGE_MARKER.findall(words)]
    in_order = found in ([0] * pictures, list(range(1, pictures + 1)))
    if pictures and in_order:
        return IMAGE_MARKER.sub(f" {IMAGE_MARK} ", words).strip()
    bare = IMAGE_MARKER.sub(lambda shown: f" image {shown[1]} " if shown[1] else " ", words)
    return IMAGE_MARK * pictures + bare.strip()
