"""Score how well a sample's pictures are made, compared with pictures of the same modality."""

from __future__ import annotations

from typing import Final, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.pool import Pool
from curation.scoring.percentiles import rank_percentiles
from curation.scoring.scorer import ScorerConfig, ScoringContext
from medsift.arrays import Doubles, Indices
from medsift.reorder import ranked

UNKNOWN: Final = "unknown"


class ImageQualityConfig(ScorerConfig):
    """Settings of `image_quality`; it has none."""

    kind: Literal["image_quality"]

    def score(self, context: ScoringContext) -> Doubles:
        """Return the quality (n,), 0 to 1, of each sample's worst picture, NaN without one."""
        pool = context.pool
        names, modality = find_modalities(pool)
        quality = picture_quality(pool.images, names.take(pa.array(modality)))
        sample, image = shown_pictures(pool)
        worst = np.full(len(pool), np.inf)
        np.fmin.at(worst, sample, quality[image])
        return np.where(np.isinf(worst), np.nan, worst)


def picture_quality(images: pa.Table, modality: pa.Array) -> Doubles:
    """Return the mean (m,) of five percentiles of each IMAGES row within its own modality.

    Sharpness, contrast, entropy and number of pixels count upwards, blank share downwards. Within
    a modality, as an ultrasound is smooth and a radiograph grey without being bad.
    """

    def column(name: str) -> Doubles:
        return np.asarray(images[name].cast(pa.float64()).to_numpy(), np.float64)

    facts = [column(name) for name in ("sharpness", "contrast", "entropy")]
    facts += [column("width") * column("height"), -column("blank_share")]
    percentiles = [rank_percentiles(fact, modality) for fact in facts]
    return np.asarray(np.mean(percentiles, axis=0), np.float64)


def find_modalities(pool: Pool) -> tuple[pa.Array, Indices]:
    """Return the modalities, and each picture's (m,): the commonest of the samples that show it.

    Of equally common ones it is the first by name, so that no order of samples decides.
    """
    tags = pc.dictionary_encode(pool.samples["modality"].fill_null(UNKNOWN).combine_chunks())
    names, code = tags.dictionary.take(pc.sort_indices(tags.dictionary)), ranked(tags)
    sample, image = shown_pictures(pool)
    return names, commonest(image, code[sample], pool.images.num_rows, len(names))


def commonest(key: Indices, value: Indices, keys: int, values: int) -> Indices:
    """Return each key's commonest value (keys,), the smallest of equals; 0 for a key without one.

    Args:
        key: Keys (p,), from 0.
        value: A value of each (p,), from 0.
        keys: Number of keys.
        values: Number of values.
    """
    pairs, count = np.unique(key * max(values, 1) + value, return_counts=True)
    owner, named = pairs // max(values, 1), pairs % max(values, 1)
    order = np.lexsort((named, -count, owner))
    first = order[np.unique(owner[order], return_index=True)[1]]
    best = np.zeros(keys, np.int64)
    best[owner[first]] = named[first]
    return best


def shown_pictures(pool: Pool) -> tuple[Indices, Indices]:
    """Return which sample (p,) shows which picture (p,) of the pool."""
    lists = pool.samples["images"]
    count = pc.fill_null(pc.list_value_length(lists), 0).to_numpy()
    ids = pool.images["image_id"].combine_chunks()
    place = pc.index_in(pc.list_flatten(lists), ids).to_numpy().astype(np.int64)
    return np.repeat(np.arange(len(pool)), count), place
