"""Scorers a recipe may name; a new one is one file and one entry in `AnyScorer`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from curation.scoring.alignment import AlignmentConfig
from curation.scoring.answer_losses import IfdConfig, PerplexityConfig
from curation.scoring.caption_specificity import CaptionSpecificityConfig
from curation.scoring.compound import CompoundConfig
from curation.scoring.image_quality import ImageQualityConfig
from curation.scoring.is_scan import IsScanConfig
from curation.scoring.label_noise import LabelNoiseConfig
from curation.scoring.multimodal_gain import MultimodalGainConfig
from curation.scoring.neighborhood import DensityConfig, RarityConfig
from curation.scoring.question_gain import QuestionGainConfig
from curation.scoring.scorer import ScorerConfig, ScoringContext
from curation.scoring.tag_rarity import TagRarityConfig
from curation.scoring.text_quality import TextQualityConfig

AnyScorer = Annotated[
    AlignmentConfig
    | CaptionSpecificityConfig
    | CompoundConfig
    | DensityConfig
    | IfdConfig
    | ImageQualityConfig
    | IsScanConfig
    | LabelNoiseConfig
    | MultimodalGainConfig
    | PerplexityConfig
    | QuestionGainConfig
    | RarityConfig
    | TagRarityConfig
    | TextQualityConfig,
    Field(discriminator="kind"),
]

__all__ = ["AnyScorer", "ScorerConfig", "ScoringContext"]
