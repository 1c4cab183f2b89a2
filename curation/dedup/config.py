"""Settings of the duplicate search."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from curation.matching.settings import ImageCopyConfig, SampleConfig
from medsift.config import Config


class TextConfig(Config):
    """Settings of when two samples without a picture are near-duplicates."""

    renamed_keys: ClassVar[Mapping[str, str]] = {"shingle": "shingle_words", "pairs": "max_pairs"}

    jaccard: float = Field(0.85, gt=0.0, le=1.0)
    """Jaccard similarity of the shingles of two whole conversations from which they are near."""
    shingle_words: int = Field(3, ge=1, le=10)
    """Number of words in a shingle, a run of words that texts are compared by."""
    permutations: int = Field(128, ge=8, le=4096)
    """Number of MinHash values of a text; more find near texts more surely and cost more time."""
    max_pairs: int = Field(20_000_000, ge=1)
    """Most pairs of texts that are compared. Texts from one template can exceed it, and the run
    then ends with an error."""


class SemanticConfig(Config):
    """Settings of redundancy by the joint vector of image mean, question and answer."""

    action: Literal["off", "report", "drop"] = "report"
    """`report` counts the rows that each threshold would drop, `drop` drops the rows that reach
    `threshold`, and `off` does neither."""
    threshold: float = Field(0.98, gt=0.0, le=1.0)
    """Cosine of two joint vectors from which a row is redundant, with `drop`."""
    image: float = Field(1.0, ge=0.0)
    """Weight of the mean of the image vectors in the joint vector; 0 leaves it out."""
    question: float = Field(1.0, ge=0.0)
    """Weight of the vector of the first question in the joint vector; 0 leaves it out."""
    answer: float = Field(1.0, ge=0.0)
    """Weight of the vector of the last answer in the joint vector; 0 leaves it out."""
    report_rows: int = Field(10_000, ge=1)
    """Rows that the report looks at; of more, a sample is drawn by seed and sample id."""

    @model_validator(mode="after")
    def _some_weight(self) -> SemanticConfig:
        if self.image + self.question + self.answer <= 0.0:
            raise ValueError("all weights are 0; give the image, question or answer some weight")
        return self


class DedupConfig(Config):
    """Settings of what counts as a duplicate, and which row survives."""

    priority: tuple[str, ...] = ("coalesce(split, 'train') <> 'train'",)
    """SQL expressions over the columns of one sample, the most important first. The row with the
    higher value survives; by default a held-out row survives a training row."""
    image: ImageCopyConfig = ImageCopyConfig()
    """When two pictures are copies of each other."""
    sample: SampleConfig = SampleConfig()
    """When two samples on one picture say the same."""
    text: TextConfig = TextConfig()
    """When two samples without a picture are near-duplicates."""
    semantic: SemanticConfig = SemanticConfig()
    """What becomes of samples whose pictures and texts together are redundant."""
    sweep_images: int = Field(50_000, ge=1)
    """Images that the threshold sweep looks at; of more, a sample is drawn by seed and image
    id."""
