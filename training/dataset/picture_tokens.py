"""Count the tokens of a picture in a chat, and check that a chat shows all of its pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cached_property

from medsift.models.reserved_tokens import ReservedTokens
from medsift.vocabulary import IMAGE_MARK
from training.dataset.samples import limit_size
from training.model.base_model import Base


class PictureTokens:
    """Measure what a model's template and processor make of pictures."""

    def __init__(self, base: Base, reserved: ReservedTokens, max_pixels: int | None) -> None:
        self.base, self.reserved, self.max_pixels = base, reserved, max_pixels
        self.sizes: dict[tuple[int, int], int] = {}

    def added(self, width: int, height: int) -> int:
        """Return how many tokens the processor adds for a picture of this size, beyond its mark.

        Measured on a blank picture. Raises ValueError where the processor refuses the size.
        """
        size = limit_size(width, height, self.max_pixels)
        # Collections have few sizes, and a processor takes long for a large picture.
        if size not in self.sizes:
            from PIL import Image

            text = self.base.ask(f"{IMAGE_MARK}?")
            processed = self.base.processor(
                text=[text], images=[[Image.new("RGB", size)]], add_special_tokens=False
            )
            self.sizes[size] = len(processed["input_ids"][0]) - len(self._tokens(text))
        return self.sizes[size]

    def all_shown(self, chat: Sequence[int], pictures: int) -> bool:
        """Return whether a chat's tokens contain the template's marks of so many pictures.

        A template that drops earlier turns drops their pictures, and the processor then fails on
        pictures without a mark.
        """
        return not pictures or all(
            chat.count(token) == count * pictures for token, count in self._marks.items()
        )

    @cached_property
    def _marks(self) -> dict[int, int]:
        """Reserved tokens that each picture brings into a chat, and how many of each.

        A template may add others once for all pictures, or elsewhere because there is one. Tokens
        that also appear in a chat without pictures, or not twice as often with two, are left out.
        """
        one, none = (Counter(self._tokens(self.base.ask(text))) for text in (f"{IMAGE_MARK}?", "?"))
        pair = self.base.chat.chat([("user", f"{IMAGE_MARK}{IMAGE_MARK}?")])
        two = None if pair is None else Counter(self._tokens(pair))
        return {
            token: count
            for token, count in one.items()
            if self.reserved.has(token)
            and token not in none
            and (two is None or two[token] == 2 * count)
        }

    def _tokens(self, text: str) -> list[int]:
        ids: list[int] = self.base.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids
