"""Find what the splits that a source came with share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from medsift.leakage_groups import LEVELS, Level, components

TRAIN = "train"
HELD_OUT_LAST = ("train", "validation", "test")


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
    splits = np.array(samples["split"].fill_null(TRAIN).to_pylist(), dtype=object).astype(str)
    names = sorted(set(splits.tolist()), key=_strictness)
    found = []
    for level in known_levels(samples):
        labels = components(samples, groups, level)
        for looser, stricter in combinations(names, 2):
            found.append(_compare(samples, splits, labels, level, looser, stricter))
    return found


def _strictness(split: str) -> tuple[int, str]:
    place = HELD_OUT_LAST.index(split) if split in HELD_OUT_LAST else 1
    return place, split


def known_levels(samples: pa.Table) -> Iterator[Level]:
    """Levels that the samples have ids for: without patient ids there is no such level."""
    tags: dict[Level, str] = {"case": "study_id", "patient": "patient_id"}
    for level in LEVELS:
        if level == "image" or samples[tags[level]].null_count < samples.num_rows:
            yield level


def _compare(
    samples: pa.Table,
    splits: NDArray[np.str_],
    labels: NDArray[np.int64],
    level: Level,
    looser: str,
    stricter: str,
) -> SplitLeak:
    held = splits == stricter
    shared = held & np.isin(labels, labels[splits == looser])
    return SplitLeak(
        level=level,
        split=looser,
        held_out=stricter,
        samples=int(held.sum()),
        leaked_samples=int(shared.sum()),
        images=_images(samples, held),
        leaked_images=_images(samples, shared),
    )


def _images(samples: pa.Table, mask: NDArray[np.bool_]) -> int:
    lists = samples["images"].filter(pa.array(mask)).to_pylist()
    return len({image for images in lists for image in images or ()})
