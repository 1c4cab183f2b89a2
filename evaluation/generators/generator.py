"""Define a generator: models, endpoints, recordings and baselines that answer questions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Protocol

import pyarrow as pa
from pydantic import Field

from medsift.config import Config
from medsift.execution import Resources
from medsift.models.generation.request import Reply, Request


class Generator(Protocol):
    """Something that replies."""

    def generate(self, requests: Sequence[Request]) -> list[Reply]:
        """Return one reply a request, in order; none depends on the other requests."""
        ...


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
