"""Settings of what counts as the same picture, question and answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from medsift.config import Config


class ImageCopyConfig(Config):
    """When two pictures are copies of each other.

    Candidates are near by perceptual hash or by cosine; pixels decide. The pixel thresholds do not
    depend on the encoder, `cosine` does (chosen for the embedded one). Altered copies of VQA-RAD
    images have a detail of 0.954 or more, different and mirrored images 0.926 or less.
    """

    renamed_keys: ClassVar[Mapping[str, str]] = {
        "correlation": "registered_correlation",
        "detail": "detail_correlation",
        "partners": "candidates_per_image",
    }

    hash_distance: int = Field(16, ge=0, le=28)
    """Differing bits, of the 64 of the perceptual hash, up to which a pair is a candidate."""
    cosine: float = Field(0.90, gt=0.0, le=1.0)
    """Cosine of image vectors from which a pair is a candidate."""
    registered_correlation: float = Field(0.95, gt=0.0, le=1.0)
    """Least correlation of the registered miniatures of copies."""
    candidates_per_image: int = Field(32, ge=1)
    """Candidates of one picture that are compared: the best by hash, by cosine and by glance."""
    detail_correlation: float = Field(0.94, gt=0.0, le=1.0)
    """Least correlation of their fine structure, which tells patients in one view apart."""


class SampleConfig(Config):
    """When two samples on one picture, or on copies of it, say the same."""

    renamed_keys: ClassVar[Mapping[str, str]] = {
        "question": "question_cosine",
        "answer": "answer_cosine",
    }

    question_cosine: float = Field(0.88, gt=0.0, le=1.0)
    """Cosine of question vectors from which questions without a contrast mean the same.

    Of VQA-RAD's questions on one image with one answer, 99 % of those this near are linked as
    rephrasings by its authors (MiniLM vectors).
    """
    answer_cosine: float = Field(0.95, gt=0.0, le=1.0)
    """The same for answers that are neither closed nor a choice."""
