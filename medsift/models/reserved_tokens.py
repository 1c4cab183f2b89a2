"""Find texts that spell a token which a model reads as structure.

A tokenizer does not know who wrote `<|im_end|>`: in a question it ends the turn as the template's
own does, and a picture's token asks the processor for a picture that is not there. Such a text
cannot be given to the model.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any, Final

BRACKETED: Final = re.compile(r"[<\[{(]\S*[>\])}]")
SIGNS: Final = frozenset("<>[]{}|｜")
# Tokens in vocabularies that are text: parts of HTML, and marks of thoughts in answers.
OF_TEXT: Final = re.compile(
    r"</?(?:table|caption|thead|tbody|tfoot|tr|th|td|h[1-6]|blockquote|sub|sup|code|strong|em|b|i"
    r"|u|ul|ol|li|p|br|think|thinking)/?>"
)


class ReservedTokens:
    """The tokens of a tokenizer, and of the processor around it, that no text may spell.

    These are all special tokens, and of the other added tokens those in brackets. Added words (a
    domain's vocabulary), runs of blanks, HTML and thoughts are text, and so is a plain sign that is
    used as padding. A text spells a token when it contains it letter by letter, or when the
    tokenizer reads it as one after its own normalisation.
    """

    def __init__(self, tokenizer: Any, processor: Any = None) -> None:
        self.tokenizer, self.processor = tokenizer, processor

    def spelled(self, texts: Sequence[str]) -> list[str | None]:
        """Return the first reserved token that each text spells; None where there is none."""
        if not texts:
            return []
        matches = [self._pattern.search(text) if self._pattern else None for text in texts]
        tokens = [None if match is None else match.group() for match in matches]
        remaining = [index for index, token in enumerate(tokens) if token is None]
        if self._ids and remaining:
            batch = [texts[index] for index in remaining]
            encoded = self.tokenizer(batch, add_special_tokens=False)["input_ids"]
            for index, ids in zip(remaining, encoded, strict=True):
                tokens[index] = next((self._ids[key] for key in ids if key in self._ids), None)
        return tokens

    def has(self, token: int) -> bool:
        """Return whether a token id is reserved."""
        return token in self._ids

    def first(self, texts: Iterable[str]) -> str | None:
        """Return the first reserved token that any of the texts spells."""
        return next((token for token in self.spelled(list(texts)) if token is not None), None)

    @cached_property
    def _ids(self) -> dict[int, str]:
        """Reserved tokens by id, without `unk`, as which unknown letters are read."""
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
        # A processor replaces these texts by the tokens of a picture, film or sound.
        attributes = vars(self.processor) if self.processor is not None else {}
        marks = {
            str(value)
            for name, value in attributes.items()
            if name.endswith("_token") and _is_mark(str(value))
        }
        marks |= {*self._ids.values()} | ({unknown} if _is_mark(unknown, special=True) else set())
        ordered = sorted(marks, key=lambda mark: (-len(mark), mark))
        return re.compile("|".join(map(re.escape, ordered))) if ordered else None


def _is_mark(token: str, special: bool = False) -> bool:
    if special:
        return not SIGNS.isdisjoint(token)
    return bool(BRACKETED.fullmatch(token)) and not OF_TEXT.fullmatch(token)
