"""Score how well a sample's pictures are made, compared with pictures of the same modality."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Final, Literal

import numpy as np
import pyarrow as pa

from curation.pool import Pool
from curation.scoring.percentiles import rank_percentiles
from curation.scoring.scorer import ScorerConfig, ScoringContext
from medsift.arrays import Doubles

UNKNOWN: Final = "unknown"


class ImageQualityConfig(ScorerConfig):
    """Settings of `image_quality`; it has none."""

    kind: Literal["image_quality"]

    def score(self, context: ScoringContext) -> Doubles:
        """Return the quality (n,), 0 to 1, of each sample's worst picture, NaN without one."""
        pool = context.pool
        ids = pool.images["image_id"].to_pylist()
        modality = find_modalities(pool)
        quality = picture_quality(pool.images, [modality[image] for image in ids])
        known = dict(zip(ids, quality.tolist(), strict=True))
        lists = pool.samples["images"].to_pylist()
        return np.array(
            [min((known[image] for image in images or ()), default=np.nan) for images in lists]
        )


def picture_quality(images: pa.Table, modality: list[str]) -> Doubles:
    """Return the mean (m,) of five percentiles of each IMAGES row within its own modality.

    Sharpness, contrast, entropy and number of pixels count upwards, blank share downwards. Within
    a modality, as an ultrasound is smooth and a radiograph grey without being bad.
    """

    def column(name: str) -> Doubles:
        return np.array(images[name].to_pylist(), np.float64)

    facts = [column(name) for name in ("sharpness", "contrast", "entropy")]
    facts += [column("width") * column("height"), -column("blank_share")]
    percentiles = [rank_percentiles(fact, modality) for fact in facts]
    return np.asarray(np.mean(percentiles, axis=0), np.float64)


def find_modalities(pool: Pool) -> dict[str, str]:
    """Return the modality of each picture: the commonest tag of the samples that show it."""
    tags: defaultdict[str, Counter[str]] = defaultdict(Counter)
    tag_of = pool.samples["modality"].fill_null(UNKNOWN).to_pylist()
    for images, tag in zip(pool.samples["images"].to_pylist(), tag_of, strict=True):
        for image in images or ():
            tags[image][tag] += 1
    # Of equally common tags the first by name, so that no order of samples decides.
    return {
        image: min(counts, key=lambda tag: (-counts[tag], tag)) for image, counts in tags.items()
    }
