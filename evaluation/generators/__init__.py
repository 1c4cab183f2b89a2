"""Generators that an evaluation may name; a new one is one file and one entry in `AnyGenerator`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from evaluation.generators.baselines import MajorityGenerator, PriorGenerator
from evaluation.generators.causal import CausalGenerator
from evaluation.generators.endpoint import EndpointGenerator
from evaluation.generators.generator import Generator, GeneratorConfig
from evaluation.generators.image_text import ImageTextGenerator
from evaluation.generators.replay import RecordedGenerator
from medsift.models.generation.request import GenerationConfig, Reply, Request

AnyGenerator = Annotated[
    CausalGenerator
    | ImageTextGenerator
    | EndpointGenerator
    | RecordedGenerator
    | MajorityGenerator
    | PriorGenerator,
    Field(discriminator="kind"),
]

__all__ = [
    "AnyGenerator",
    "CausalGenerator",
    "EndpointGenerator",
    "GenerationConfig",
    "Generator",
    "GeneratorConfig",
    "ImageTextGenerator",
    "MajorityGenerator",
    "PriorGenerator",
    "RecordedGenerator",
    "Reply",
    "Request",
]
