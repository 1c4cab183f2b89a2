"""Selection methods a recipe may name; a new one is one file and one entry in `AnyMethod`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from curation.selection.baselines import (
    LongestConfig,
    RandomConfig,
    StratifiedRandomConfig,
    TopScoreConfig,
)
from curation.selection.centered_gram import CenteredGramConfig
from curation.selection.cluster_temperature import ClusterTemperatureConfig
from curation.selection.deita import DeitaConfig
from curation.selection.facility_location import FacilityLocationConfig
from curation.selection.k_center import KCenterConfig
from curation.selection.method import MethodConfig, SelectionContext
from curation.selection.ofa import OfaConfig
from curation.selection.prototype_pruning import PrototypePruningConfig
from curation.selection.target import TargetConfig

AnyMethod = Annotated[
    FacilityLocationConfig
    | KCenterConfig
    | DeitaConfig
    | ClusterTemperatureConfig
    | PrototypePruningConfig
    | OfaConfig
    | CenteredGramConfig
    | TargetConfig
    | TopScoreConfig
    | RandomConfig
    | StratifiedRandomConfig
    | LongestConfig,
    Field(discriminator="kind"),
]

__all__ = ["AnyMethod", "MethodConfig", "SelectionContext"]
