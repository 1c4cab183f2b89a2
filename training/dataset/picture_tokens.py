"""Count the tokens of a picture in a chat, and check that a chat shows all of its pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cached_property

from medsift.errors import ModelError
from medsift.models.reserved_tokens import ReservedTokens
from medsift.vocabulary import IMAGE_MARK
from training.dataset.samples import limited
from training.model.base_model import Base


class PictureTokens:
    """Measures what template and processor of a model make of pictures."""

    def __init__(self, base: Base, reserved: ReservedTokens, max_pixels: int | None) -> None:
        self.base, self.reserved, self.max_pixels = base, reserved, max_pixels
        self.sizes: dict[tuple[int, int], int] = {}

    def added(self, width: int, height: int) -> int:
        """Tokens that the processor puts in for a picture of this size, beyond its mark.

        Measured on a blank one. Raises ValueError where the processor refuses the size.
        """
        size = limited(width, height, self.max_pixels)
        if size not in self.sizes:
            from PIL import Image

            text = self._asked(f"{IMAGE_MARK}?")
            shown = self.base.processor(
                text=[text], images=[[Image.new("RGB", size)]], add_special_tokens=False
            )
            self.sizes[size] = len(shown["input_ids"][0]) - len(self._tokens(text))
        return self.sizes[size]

    def all_shown(self, chat: Sequence[int], pictures: int) -> bool:
        """Whether a chat's tokens hold what the template puts in for so many pictures.

        A template that drops earlier turns drops their pictures, which the processor then looks
        for in vain.
        """
        return not pictures or all(
            chat.count(token) == count * pictures for token, count in self._marks.items()
        )

    @cached_property
    def _marks(self) -> dict[int, int]:
        """Reserved tokens that each picture brings into a chat, and how many of each.

        A template may set others once for all pictures, or elsewhere because there is one: those
        that stand in a chat without pictures, or are not twice as many with two, say nothing.
        """
        one, none = (Counter(self._tokens(self._asked(text))) for text in (f"{IMAGE_MARK}?", "?"))
        pair = self.base.chat.chat([("user", f"{IMAGE_MARK}{IMAGE_MARK}?")])
        two = None if pair is None else Counter(self._tokens(pair))
        return {
            token: count
            for token, count in one.items()
            if self.reserved.has(token)
            and token not in none
            and (two is None or two[token] == 2 * count)
        }

    def _asked(self, question: str) -> str:
        text = self.base.chat.chat([("user", question)])
        if text is None:
            raise ModelError(
                f"the chat template of {self.base.name} refuses a picture",
                code="chat_template_unusable",
            )
        return text

    def _tokens(self, text: str) -> list[int]:
        found: list[int] = self.base.tokenizer(text, add_special_tokens=False)["input_ids"]
        return found
