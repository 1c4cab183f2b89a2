"""Define a generator: models, endpoints, recordings and baselines that answer questions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol

import pyarrow as pa
from pydantic import Field

from medsift.config import Config
from medsift.execution import Resources
from medsift.models.chat_format import Turn

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True, slots=True)
class Request:
    """An item in one variant, put into words.

    `turns` end with a user's; ``<image>`` (medsift.vocabulary.IMAGE_MARK) marks in them where
    each of the `pictures` (mode L or RGB) belongs. A generator that does not look gets turns
    without marks, and no pictures. `candidates` are the short answers whose probabilities are
    wanted: the letters of the options, or yes and no; none where the answer is open.
    """

    benchmark: str
    item_id: str
    variant: str
    turns: tuple[Turn, ...]
    pictures: tuple[Image, ...] = ()
    candidates: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back: text, or None and the reason why there is none.

    `probabilities` are those of the request's candidates, in their order, summing to 1; None
    where the model gives none. `tokens` were generated, the end of the turn included.
    """

    text: str | None
    probabilities: tuple[float, ...] | None = None
    tokens: int | None = None
    error: str | None = None


class Generator(Protocol):
    """Something that replies."""

    def generate(self, requests: Sequence[Request]) -> list[Reply]:
        """Return one reply a request, in order; none depends on the other requests."""
        ...


class GenerationConfig(Config):
    """Settings of how a model continues its prompt."""

    max_new_tokens: int = Field(64, ge=1)
    """Number of tokens after which a reply is cut."""
    temperature: float = Field(0.0, ge=0.0)
    """Temperature of sampling; at 0, the default, the likeliest token is taken each time."""
    seed: int = Field(0, ge=0)
    """Seed of sampling; it changes nothing at temperature 0."""


class GeneratorConfig(Config):
    """Settings of a generator; subclasses add a `kind: Literal[...]` tag and the methods."""

    label: str | None = Field(None, pattern=r"^[\w.-]+$")
    """Name of the model in tables and pages; by default it follows from the settings."""

    looks: ClassVar[bool] = True
    """Whether pictures reach it. One that does not look is asked once for all picture variants."""
    lasting: ClassVar[bool] = True
    """Whether its replies are worth keeping between runs, and it between batches."""

    @property
    def name(self) -> str:
        """Return the model's name in tables."""
        return self.label or self.own_name()

    @property
    def resources(self) -> Resources:
        """Return what one worker with this generator needs."""
        return Resources(lasting=self.lasting, accelerated=self.lasting)

    def own_name(self) -> str:
        """Return the name when no label is given."""
        raise NotImplementedError

    def fingerprint(self) -> str:
        """Return the identity of the replies: model, adapter, settings that can change a reply.

        Does not load the model. Raises ModelError when it cannot be loaded.
        """
        raise NotImplementedError

    def build(self, items: pa.Table) -> Generator:
        """Build the generator; `items` (``ITEMS``) are all of the benchmarks, asked or not.

        Only baselines look at the items. Raises ModelError, InputError or UsageError.
        """
        raise NotImplementedError
