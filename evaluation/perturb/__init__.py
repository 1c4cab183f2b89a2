"""Variants of benchmark items: one file a family; a family exists by being listed here."""

from __future__ import annotations

from typing import Final

from evaluation.perturb.corruptions import Blur, Contrast, Jpeg, Noise
from evaluation.perturb.image_controls import Blank, NoImage, SwappedImage
from evaluation.perturb.mask_region import MaskElsewhere, MaskRegion
from evaluation.perturb.negated_premise import NegatedPremise
from evaluation.perturb.option_rotation import OptionRotation
from evaluation.perturb.paraphrase import Paraphrase
from evaluation.perturb.perturbation import Original, Variant
from evaluation.perturb.typos import Typos

FAMILIES: Final[tuple[type[Variant], ...]] = (
    *(Original, NoImage, Blank, SwappedImage, Noise, Blur, Contrast, Jpeg),
    *(OptionRotation, Paraphrase, Typos, NegatedPremise, MaskRegion, MaskElsewhere),
)
