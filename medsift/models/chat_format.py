"""Format a conversation for a model: the tokens before an answer, and the answer's own.

Prompt and answer are encoded separately and joined as tokens, so that the start of the answer is
known and need not be searched for.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, Final, NamedTuple

from medsift.errors import ModelError

FRAMING_VERSION: Final = 2
"""Raised when equal texts give other tokens, or are newly refused."""
ASK: Final = "Answer:"
SPEAKERS: Final = {"system": "", "user": "Question: ", "assistant": "Answer: "}

Turn = tuple[str, str]
"""Role and content."""


class Tokens(NamedTuple):
    """A sequence of tokens, and the position where the answer starts."""

    ids: list[int]
    start: int


class ChatFormat:
    """A model's own chat template; without one, `Question:` and `Answer:` in plain words."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.chats = bool(tokenizer.chat_template)
        begin = tokenizer.bos_token_id
        self.first = [] if self.chats or begin is None else [begin]

    @cached_property
    def opening(self) -> list[int]:
        """Return the tokens before an answer to no question. Raises ModelError without any."""
        if not self.chats:
            return self.first + self._encode([ASK])[0]
        example = self.chat([("user", "?")])
        if example is None:
            message = "the model's chat template refuses a question; name a chat model"
            raise ModelError(message, code="chat_template_unusable")
        heading = example.removeprefix(self.chat([("user", "?")], ask=False) or "")
        ids, begin = self._encode([heading])[0], self.tokenizer.bos_token_id
        if self._encode([example])[0][0] == begin and ids[:1] != [begin]:
            ids = [begin, *ids]
        if not ids:
            raise ModelError(
                "the model's chat template puts nothing before an answer, so that an answer alone "
                "has no likelihood; name a model whose template opens the assistant's turn",
                code="chat_template_unusable",
            )
        return ids

    def prompt(self, turns: Sequence[Turn]) -> str | None:
        """Return the text before the answer to some turns; None where the template refuses them."""
        if not self.chats:
            return "\n".join([*(SPEAKERS[role] + words for role, words in turns), ASK])
        return self.chat(turns)

    def prompts(self, conversations: Sequence[Sequence[Turn]]) -> list[list[int] | None]:
        """Return the tokens before each conversation's answer; None where it is refused."""
        texts = [self.prompt(turns) for turns in conversations]
        encoded = iter(self._encode([text for text in texts if text is not None]))
        return [None if text is None else self.first + next(encoded) for text in texts]

    def answers(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the tokens of each answer, without the end of the turn."""
        return self._encode([text if self.chats else f" {text}" for text in texts])

    def chat(self, turns: Sequence[Turn], *, ask: bool = True) -> str | None:
        """Return turns in the template, with `ask` an answer's heading too; None if it refuses."""
        return in_template(self.tokenizer, turns, ask)

    def _encode(self, texts: Sequence[str]) -> list[list[int]]:
        if not texts:
            return []
        ids: list[list[int]] = self.tokenizer(list(texts), add_special_tokens=False)["input_ids"]
        return ids


def in_template(chat: Any, turns: Sequence[tuple[str, Any]], ask: bool) -> str | None:
    """Return turns in the template of a tokenizer or processor; None where it refuses them."""
    from jinja2 import TemplateError

    messages = [{"role": role, "content": content} for role, content in turns]
    try:
        text: str = chat.apply_chat_template(messages, add_generation_prompt=ask, tokenize=False)
    except TemplateError:
        return None
    return text


def with_reasoning(reasoning: str, answer: str) -> str:
    """Return the content of a turn that reasons before it answers, as reasoning models write it."""
    return f"<think>\n{reasoning.strip()}\n</think>\n\n{answer}"
