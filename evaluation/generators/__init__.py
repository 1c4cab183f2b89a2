"""Generators that an evaluation may name; a new one is one file and one entry in `AnyGenerator`."""

from __future__ import annotations

from evaluation.generators.base import (
    GenerationConfig,
    Generator,
    GeneratorConfig,
    Reply,
    Request,
)

__all__ = ["GenerationConfig", "Generator", "GeneratorConfig", "Reply", "Request"]
