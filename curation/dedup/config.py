"""Settings of the duplicate search."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from curation.matching.settings import ImageCopyConfig, SampleConfig
from medsift.config import Config


class TextConfig(Config):
    """When two samples without a picture are near-duplicates."""

    renamed_keys: ClassVar[Mapping[str, str]] = {"shingle": "shingle_words", "pairs": "max_pairs"}

    jaccard: float = Field(0.85, gt=0.0, le=1.0)
    """Jaccard similarity of the word shingles of whole conversations."""
    shingle_words: int = Field(3, ge=1, le=10)
    """Words of a shingle."""
    permutations: int = Field(128, ge=8, le=4096)
    """MinHash values of a text."""
    max_pairs: int = Field(20_000_000, ge=1)
    """Most pairs of texts that are compared; more end the run, as texts from one template can."""


class SemanticConfig(Config):
    """Redundancy of the joint vector: image mean, question and answer, each with its weight."""

    action: Literal["off", "report", "drop"] = "report"
    """`report` counts rows a threshold would drop; `drop` drops them at `threshold`."""
    threshold: float = Field(0.98, gt=0.0, le=1.0)
    """Cosine of joint vectors from which a row is redundant."""
    image: float = Field(1.0, ge=0.0)
    """Weight of the mean of the image vectors."""
    question: float = Field(1.0, ge=0.0)
    """Weight of the question vector."""
    answer: float = Field(1.0, ge=0.0)
    """Weight of the answer vector."""
    report_rows: int = Field(10_000, ge=1)
    """Rows the report looks at; of more, a sample drawn by seed and sample id."""

    @model_validator(mode="after")
    def _some_weight(self) -> SemanticConfig:
        if self.image + self.question + self.answer <= 0.0:
            raise ValueError("all weights are 0; give the image, question or answer some weight")
        return self


class DedupConfig(Config):
    """What counts as a duplicate, and who survives."""

    priority: tuple[str, ...] = ("coalesce(split, 'train') <> 'train'",)
    """SQL expressions over the samples table; the row with the higher value survives."""
    image: ImageCopyConfig = ImageCopyConfig()
    sample: SampleConfig = SampleConfig()
    text: TextConfig = TextConfig()
    semantic: SemanticConfig = SemanticConfig()
    sweep_images: int = Field(50_000, ge=1)
    """Images the threshold sweep looks at; of more, a sample drawn by seed and image id."""
