"""Score how well a sample's pictures are made, compared with pictures of the same modality."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Final, Literal

import numpy as np
import pyarrow as pa

from curation.pool import Pool
from curation.scoring.percentiles import percentiles
from curation.scoring.scorer import ScorerConfig, ScoringContext
from medsift.arrays import Doubles

UNKNOWN: Final = "unknown"


class ImageQualityConfig(ScorerConfig):
    """Settings of `image_quality`; it has none."""

    kind: Literal["image_quality"]

    def score(self, context: ScoringContext) -> Doubles:
        """Quality (n,) of each sample's worst picture, from 0 to 1; NaN for text-only samples."""
        pool = context.pool
        quality = picture_quality(pool.images, modalities(pool))
        of = dict(zip(pool.images["image_id"].to_pylist(), quality.tolist(), strict=True))
        shown = pool.samples["images"].to_pylist()
        return np.array(
            [min((of[image] for image in images or ()), default=np.nan) for images in shown]
        )


def picture_quality(images: pa.Table, modality: Mapping[str, str]) -> Doubles:
    """Mean (m,) of five percentiles of each IMAGES line within its own modality.

    Sharpness, contrast, entropy and number of pixels count upwards, blank share downwards. Within
    a modality, as an ultrasound is smooth and a radiograph grey without being bad.
    """
    groups = [modality[image] for image in images["image_id"].to_pylist()]
    column = {name: _doubles(images[name]) for name in FACTS}
    facts = (
        column["sharpness"],
        column["contrast"],
        column["entropy"],
        column["width"] * column["height"],
        -column["blank_share"],
    )
    mean: Doubles = np.mean([percentiles(fact, groups) for fact in facts], axis=0)
    return mean


FACTS: Final = ("sharpness", "contrast", "entropy", "width", "height", "blank_share")


def modalities(pool: Pool) -> dict[str, str]:
    """The modality of each picture: the commonest tag of the samples that show it."""
    tags: defaultdict[str, Counter[str]] = defaultdict(Counter)
    named = pool.samples["modality"].fill_null(UNKNOWN).to_pylist()
    for images, tag in zip(pool.samples["images"].to_pylist(), named, strict=True):
        for image in images or ():
            tags[image][tag] += 1
    return {image: _commonest(found) for image, found in tags.items()}


def _commonest(tags: Counter[str]) -> str:
    return min(tags, key=lambda tag: (-tags[tag], tag))


def _doubles(column: pa.ChunkedArray) -> Doubles:
    values: Sequence[float | None] = column.to_pylist()
    return np.array([np.nan if value is None else value for value in values], np.float64)
