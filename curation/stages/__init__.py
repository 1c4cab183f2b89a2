"""Stages in their order; a stage exists by being listed here."""

from __future__ import annotations

from typing import Final

from curation.stages.decontaminate import DecontaminateStage
from curation.stages.dedup import DedupStage
from curation.stages.embed import EmbedStage
from curation.stages.filter import FilterStage
from curation.stages.images import ImagesStage
from curation.stages.ingest import IngestStage
from curation.stages.score import ScoreStage
from curation.stages.select import SelectStage
from curation.stages.split import SplitStage
from curation.stages.stage import Stage

STAGES: Final[tuple[Stage, ...]] = (
    IngestStage(),
    ImagesStage(),
    FilterStage(),
    EmbedStage(),
    DedupStage(),
    SplitStage(),
    DecontaminateStage(),
    ScoreStage(),
    SelectStage(),
)
