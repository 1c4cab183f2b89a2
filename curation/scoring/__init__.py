"""Scorers a recipe may name; a new one is one file and one entry in `AnyScorer`."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Annotated, Any, Final

from pydantic import Field, field_validator, model_validator

from curation.scoring.alignment import AlignmentConfig
from curation.scoring.density import DensityConfig
from curation.scoring.ifd import IfdConfig
from curation.scoring.image_quality import ImageQualityConfig
from curation.scoring.label_noise import LabelNoiseConfig
from curation.scoring.multimodal_gain import MultimodalGainConfig
from curation.scoring.perplexity import PerplexityConfig
from curation.scoring.rarity import RarityConfig
from curation.scoring.scorer import ScorerConfig, ScoringContext
from curation.scoring.tag_rarity import TagRarityConfig
from curation.scoring.text_quality import TextQualityConfig
from medsift.config import Config

AnyScorer = Annotated[
    AlignmentConfig
    | DensityConfig
    | IfdConfig
    | ImageQualityConfig
    | LabelNoiseConfig
    | MultimodalGainConfig
    | PerplexityConfig
    | RarityConfig
    | TagRarityConfig
    | TextQualityConfig,
    Field(discriminator="kind"),
]
QUALITY: Final = "quality"
"""Name of the combined score."""


class ScoresConfig(Config):
    """Which scores a run computes, and how they combine."""

    scorers: tuple[AnyScorer, ...] = ()
    """Scorers, each at most once."""
    weights: dict[str, float] = Field(default_factory=dict)
    """Weights of the scorers' percentiles in the combined score `quality`; none, no such score."""

    @field_validator("scorers")
    @classmethod
    def _kinds_differ(cls, scorers: tuple[Any, ...]) -> tuple[Any, ...]:
        kinds = [scorer.kind for scorer in scorers]
        for kind in kinds:
            if kinds.count(kind) > 1:
                raise ValueError(f"scorer {kind!r} is listed twice; keep one of them")
        return scorers

    @model_validator(mode="after")
    def _weights_fit(self) -> ScoresConfig:
        names = [scorer.kind for scorer in self.scorers]
        for name, weight in self.weights.items():
            if name not in names:
                raise ValueError(_unknown(name, names))
            if not 0.0 <= weight < float("inf"):
                raise ValueError(f"weight of {name!r} is {weight}; allowed is 0 or more")
        if self.weights and not sum(self.weights.values()) > 0.0:
            raise ValueError("weights sum to 0; give one scorer a weight, or leave `weights` out")
        return self


def _unknown(name: str, names: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, names, n=1)
    mend = f"did you mean {close[0]!r}?" if close else f"scorers: {', '.join(names) or 'none'}"
    return f"weight of {name!r}, which is no scorer of this recipe; {mend}"


__all__ = ["QUALITY", "AnyScorer", "ScorerConfig", "ScoresConfig", "ScoringContext"]
