"""Declare the settings of the split."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field, field_validator

from curation.matching.registration import PROMISING
from medsift.config import Config
from medsift.leakage_groups import Level
from medsift.vocabulary import plain_split


class SplitsConfig(Config):
    """Settings of whether samples keep their source's split or get a new one that cuts no group."""

    renamed_keys: ClassVar[Mapping[str, str]] = {"slices": "slice_correlation"}

    assign: Level | None = None
    """Give every sample a new split that cuts no group of this level; null keeps the source's."""
    shares: dict[str, float] = Field(
        default={"train": 0.8, "validation": 0.1, "test": 0.1}, min_length=1
    )
    """Share of the samples that each split should get, with `assign`; shares sum to 1."""
    slice_correlation: float | None = Field(0.97, ge=PROMISING, le=1.0)
    """Correlation of registered miniatures from which two pictures of one size and modality count
    as neighbouring slices of one body, which no split cuts; null links copies alone.

    At 0.97, of neighbouring slices of an MR head (an averaged one, in three planes) 96 % are found
    3 mm apart, 74 % 5 mm and 40 % 8 mm apart. Without a look at their size, no two of VQA-RAD's 315
    pictures are linked, and 16 of 2,000 phantoms (10 of 354,024 pairs of other patients in one
    view). Wrong links grow with the square of the pictures of one view.
    """

    @field_validator("shares")
    @classmethod
    def _check_shares(cls, shares: dict[str, float]) -> dict[str, float]:
        shares = {plain_split(name): share for name, share in shares.items()}
        for name, share in shares.items():
            if not 0.0 < share <= 1.0:
                raise ValueError(f"share of {name} is {share}; a share is above 0 and at most 1")
        total = math.fsum(shares.values())
        if abs(total - 1.0) > 1e-6:
            raise ValueError(f"shares sum to {total:g}; make them sum to 1")
        if "train" not in shares:
            raise ValueError("no share for 'train'; selection and training look at that split")
        return shares
