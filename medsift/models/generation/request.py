"""Define what a model is asked, what it replies, and how its reply is generated."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pydantic import Field

from medsift.config import Config
from medsift.models.chat_format import Turn

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True, slots=True)
class Request:
    """An item in one variant, put into words.

    `turns` end with a user's; ``<image>`` (medsift.vocabulary.IMAGE_MARK) marks in them where
    each of the `pictures` (mode L or RGB) belongs. A generator that does not look gets turns
    without marks, and no pictures. `candidates` are the short answers whose probabilities are
    wanted: the letters of the options, or yes and no; none where the answer is open. Of several
    sampled replies to one request, each has another `draw`.
    """

    benchmark: str
    item_id: str
    variant: str
    turns: tuple[Turn, ...]
    pictures: tuple[Image, ...] = ()
    candidates: tuple[str, ...] = ()
    draw: int = 0


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back: text, or None and the reason why there is none.

    `probabilities` are those of the request's candidates, in their order, summing to 1; None
    where the model gives none. `tokens` were generated, the end of the turn included; `token_ids`
    are these, of a model that is loaded here. `cut` says whether the reply ended at the limit; None
    where that is not known.
    """

    text: str | None
    probabilities: tuple[float, ...] | None = None
    tokens: int | None = None
    error: str | None = None
    # How a reply was written does not make it another one.
    token_ids: tuple[int, ...] = field(default=(), compare=False)
    cut: bool | None = field(default=None, compare=False)


class GenerationConfig(Config):
    """Settings of how a model continues its prompt."""

    max_new_tokens: int = Field(64, ge=1)
    """Number of tokens after which a reply is cut."""
    temperature: float = Field(0.0, ge=0.0)
    """Temperature of sampling; at 0, the default, the likeliest token is taken each time."""
    seed: int = Field(0, ge=0)
    """Seed of sampling; it changes nothing at temperature 0."""
