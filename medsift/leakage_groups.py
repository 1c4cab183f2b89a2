"""Group samples that no split may separate: one picture, one case, one patient."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal, get_args

import numpy as np
import pyarrow as pa

from medsift.arrays import Indices
from medsift.connected import connected_components
from medsift.records import GROUPS, text_id

Level = Literal["image", "case", "patient"]
LEVELS: Final[tuple[Level, ...]] = get_args(Level)
TAG_OF_LEVEL: Final = {"case": "study_id", "patient": "patient_id"}


def components(samples: pa.Table, groups: pa.Table, level: Level) -> Indices:
    """Label samples (n,), equal where something of this level, or below, connects them.

    `image` connects samples that show one picture, or pictures of one group (`groups`: image_id,
    group_id; copies, and neighbouring slices where they were sought), or that have no picture and
    the same words; `case` also those of one study of one source, `patient` also those of one
    patient. Connections chain. A label is the first member's place.
    """
    keys = [_image_keys(samples, groups), _text_keys(samples)]
    for wider in LEVELS[1 : LEVELS.index(level) + 1]:
        keys.append(_tag_keys(samples, TAG_OF_LEVEL[wider]))
    # A link to the first sample of each key is enough, as links chain: all pairs are quadratic.
    links: list[tuple[int, int]] = []
    for column in keys:
        first: dict[str, int] = {}
        links += [(first.setdefault(key, sample), sample) for sample, key in column]
    left, right = np.array(links, np.int64).reshape(-1, 2).T
    return connected_components(samples.num_rows, left, right)


def _image_keys(samples: pa.Table, groups: pa.Table) -> Iterator[tuple[int, str]]:
    group_of = dict(zip(*(groups[name].to_pylist() for name in GROUPS.names), strict=True))
    for sample, images in enumerate(samples["images"].to_pylist()):
        for image in images or ():
            yield sample, group_of[image]


def _text_keys(samples: pa.Table) -> Iterator[tuple[int, str]]:
    columns = (samples[name].to_pylist() for name in ("images", "question", "answer"))
    for sample, (images, question, answer) in enumerate(zip(*columns, strict=True)):
        if not images:
            yield sample, text_id(f"{question or ''}\n{answer or ''}".casefold())


def _tag_keys(samples: pa.Table, tag: str) -> Iterator[tuple[int, str]]:
    # Each source numbers its own ids: two sources may use one for two patients.
    columns = (samples[name].to_pylist() for name in ("source", tag))
    for sample, (source, value) in enumerate(zip(*columns, strict=True)):
        if value:
            yield sample, f"{source}\n{value}"
