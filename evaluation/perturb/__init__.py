"""Variants of benchmark items: one file a family; a family exists by being listed here."""

from __future__ import annotations

from typing import Final

from evaluation.perturb.blank import Blank
from evaluation.perturb.blur import Blur
from evaluation.perturb.contrast import Contrast
from evaluation.perturb.jpeg import Jpeg
from evaluation.perturb.mask_region import MaskElsewhere, MaskRegion
from evaluation.perturb.negated_premise import NegatedPremise
from evaluation.perturb.no_image import NoImage
from evaluation.perturb.noise import Noise
from evaluation.perturb.option_rotation import OptionRotation
from evaluation.perturb.paraphrase import Paraphrase
from evaluation.perturb.perturbation import Original, Variant
from evaluation.perturb.swapped_image import SwappedImage
from evaluation.perturb.typos import Typos

FAMILIES: Final[tuple[type[Variant], ...]] = (
    Original,
    NoImage,
    Blank,
    SwappedImage,
    Noise,
    Blur,
    Contrast,
    Jpeg,
    OptionRotation,
    Paraphrase,
    Typos,
    NegatedPremise,
    MaskRegion,
    MaskElsewhere,
)
