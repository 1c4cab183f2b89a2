"""Define the settings of direct preference optimisation."""

from __future__ import annotations

from pydantic import Field

from medsift.config import Config
from medsift.manifest.preference_queries import ReplySource


class PreferenceConfig(Config):
    """Settings of preference optimisation: where its pairs of replies come from, and the loss."""

    source: ReplySource = "rollouts"
    """`rollouts`: right and wrong replies of a model; `attempts`: accepted and wrong ones of a
    teacher, with their reasoning."""
    name: str | None = None
    """Name of the rollouts, or of the construction; all of the run when not given."""
    per_sample: int = Field(4, ge=1)
    """Most pairs of one sample."""
    beta: float = Field(0.1, gt=0.0)
    """How strongly the model is kept near the one before training (arXiv 2305.18290)."""
