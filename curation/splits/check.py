"""Find what the splits that a source came with share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pyarrow as pa

from medsift.arrays import Flags
from medsift.leakage_groups import LEVELS, TAG_OF_LEVEL, Level, components
from medsift.vocabulary import SPLITS


@dataclass(frozen=True, slots=True)
class SplitLeak:
    """What split `held_out` shares with split `split`, at one level.

    Of the `samples` (and distinct `images`) of the held-out split, `leaked_samples` (and
    `leaked_images`) belong to a group that also has samples in the other split.
    """

    level: Level
    split: str
    held_out: str
    samples: int
    leaked_samples: int
    images: int
    leaked_images: int


def check_splits(samples: pa.Table, groups: pa.Table) -> list[SplitLeak]:
    """Compare every two splits at every level whose ids the samples have; null counts as train."""
    column = samples["split"].fill_null("train").to_pylist()
    splits = np.array(column, dtype=object).astype(str)
    # Validation is held out from train, test from both; a split of another name is in between.
    names = sorted(
        set(splits.tolist()), key=lambda name: (SPLITS.index(name) if name in SPLITS else 1, name)
    )
    leaks = []
    for level in known_levels(samples):
        labels = components(samples, groups, level)
        for split, held_out in combinations(names, 2):
            tested = splits == held_out
            leaked = tested & np.isin(labels, labels[splits == split])
            leaks.append(
                SplitLeak(
                    level=level,
                    split=split,
                    held_out=held_out,
                    samples=int(tested.sum()),
                    leaked_samples=int(leaked.sum()),
                    images=_count_images(samples, tested),
                    leaked_images=_count_images(samples, leaked),
                )
            )
    return leaks


def known_levels(samples: pa.Table) -> Iterator[Level]:
    """Yield the levels that the samples have ids for."""
    for level in LEVELS:
        if level == "image" or samples[TAG_OF_LEVEL[level]].null_count < samples.num_rows:
            yield level


def _count_images(samples: pa.Table, mask: Flags) -> int:
    lists = samples["images"].filter(pa.array(mask)).to_pylist()
    return len({image for images in lists for image in images or ()})
