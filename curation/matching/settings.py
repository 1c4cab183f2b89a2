"""Declare the settings of what counts as the same picture, question and answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from medsift.config import Config


class ImageCopyConfig(Config):
    """Settings of when two pictures are copies of each other.

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
    """Number of differing bits, of the 64 of the perceptual hash, up to which two pictures are
    candidates."""
    cosine: float = Field(0.90, gt=0.0, le=1.0)
    """Cosine of image vectors from which two pictures are candidates."""
    registered_correlation: float = Field(0.95, gt=0.0, le=1.0)
    """Correlation of the registered miniatures that two pictures need at least to be copies."""
    candidates_per_image: int = Field(32, ge=1)
    """Number of candidates of one picture that are compared: the best by hash, by cosine and by
    correlation of blurred miniatures."""
    detail_correlation: float = Field(0.94, gt=0.0, le=1.0)
    """Correlation of the fine structure that two pictures need at least to be copies; it separates
    patients in one view."""


class SampleConfig(Config):
    """Settings of when two samples on one picture, or on copies of it, say the same."""

    renamed_keys: ClassVar[Mapping[str, str]] = {
        "question": "question_cosine",
        "answer": "answer_cosine",
    }

    question_cosine: float = Field(0.88, gt=0.0, le=1.0)
    """Cosine of question vectors from which questions are compared in meaning.

    Of VQA-RAD's questions on one image with one answer, 99 % of those this near are linked as
    rephrasings by its authors (MiniLM vectors).
    """
    answer_cosine: float = Field(0.95, gt=0.0, le=1.0)
    """Cosine of answer vectors from which answers that are neither closed nor a choice are compared
    in meaning."""
