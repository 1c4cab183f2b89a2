"""Tokens that a model reads as structure, and texts that spell one of them.

A tokenizer does not know who wrote `<|im_end|>`: in a question it ends the turn as the template's
own does, and a picture's token asks the processor for a picture that is not there. Such a text
cannot be put to the model as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any, Final

BRACKETED: Final = re.compile(r"[<\[{(]\S*[>\])}]")
SIGNS: Final = frozenset("<>[]{}|｜")
# Tokens that vocabularies keep for text: parts of HTML, and thoughts that answers may hold.
OF_TEXT: Final = re.compile(
    r"</?(?:table|caption|thead|tbody|tfoot|tr|th|td|h[1-6]|blockquote|sub|sup|code|strong|em|b|i"
    r"|u|ul|ol|li|p|br|think|thinking)/?>"
)


class ReservedTokens:
    """The tokens of a tokenizer, and of the processor around it, that no text may spell.

    All that the tokenizer calls special, and of its other added tokens those in brackets; added
    words (a domain's vocabulary), runs of blanks, HTML and thoughts are text, and so is a plain
    sign that serves as padding. A text spells a token when it holds it letter by letter, or when
    the tokenizer reads it as one after its own normalisation.
    """

    def __init__(self, tokenizer: Any, processor: Any = None) -> None:
        self.tokenizer = tokenizer
        self.processor = processor

    def spelled(self, texts: Sequence[str]) -> list[str | None]:
        """The first reserved token that each text spells; None where there is none."""
        if not texts:
            return []
        found = [self._written(text) for text in texts]
        open_places = [place for place, token in enumerate(found) if token is None]
        if self._ids and open_places:
            asked = [texts[place] for place in open_places]
            encoded = self.tokenizer(asked, add_special_tokens=False)["input_ids"]
            for place, ids in zip(open_places, encoded, strict=True):
                read = next((one for one in ids if one in self._ids), None)
                found[place] = None if read is None else self._ids[read]
        return found

    def has(self, token: int) -> bool:
        """Whether a token is one of them."""
        return token in self._ids

    def first(self, texts: Iterable[str]) -> str | None:
        """The first reserved token that any of some texts spells."""
        return next((token for token in self.spelled(list(texts)) if token is not None), None)

    def _written(self, text: str) -> str | None:
        match = self._pattern.search(text) if self._pattern is not None else None
        return None if match is None else match.group()

    @cached_property
    def _ids(self) -> dict[int, str]:
        """Reserved tokens by id. Letters that a vocabulary lacks are `unk`, and no mark."""
        reserved = {
            number: str(token.content)
            for number, token in getattr(self.tokenizer, "added_tokens_decoder", {}).items()
            if _is_mark(str(token.content), token.special)
        }
        named = zip(self.tokenizer.all_special_ids, self.tokenizer.all_special_tokens, strict=True)
        reserved |= {
            number: str(token) for number, token in named if _is_mark(str(token), special=True)
        }
        reserved.pop(self.tokenizer.unk_token_id, None)
        return reserved

    @cached_property
    def _pattern(self) -> re.Pattern[str] | None:
        """Any reserved token, the longest first: a token may begin another."""
        unknown = str(self.tokenizer.unk_token or "")
        marks = {*self._ids.values(), *_of_processor(self.processor)}
        marks |= {unknown} if _is_mark(unknown, special=True) else set()
        ordered = sorted(marks, key=lambda mark: (-len(mark), mark))
        return re.compile("|".join(map(re.escape, ordered))) if ordered else None


def _is_mark(token: str, special: bool = False) -> bool:
    if special:
        return not SIGNS.isdisjoint(token)
    return bool(BRACKETED.fullmatch(token)) and not OF_TEXT.fullmatch(token)


def _of_processor(processor: Any) -> set[str]:
    """Texts that a processor replaces by a picture's, film's or sound's own tokens."""
    held = vars(processor) if processor is not None else {}
    return {
        str(value)
        for name, value in held.items()
        if name.endswith("_token") and _is_mark(str(value))
    }
