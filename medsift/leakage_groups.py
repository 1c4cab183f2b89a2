"""Group samples that no split may separate: one picture, one case, one patient."""

from __future__ import annotations

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
    group_of = dict(zip(*(groups[name].to_pylist() for name in GROUPS.names), strict=True))
    tags = [TAG_OF_LEVEL[wider] for wider in LEVELS[1 : LEVELS.index(level) + 1]]
    rows = samples.select(["images", "question", "answer", "source", *tags]).to_pylist()
    # A link to the first sample of each key is enough, as links chain: all pairs are quadratic.
    links: list[tuple[int, int]] = []
    first: dict[tuple[str, str], int] = {}
    for sample, row in enumerate(rows):
        keys = [("image", group_of[image]) for image in row["images"] or ()]
        if not keys:
            words = f"{row['question'] or ''}\n{row['answer'] or ''}"
            keys = [("text", text_id(words.casefold()))]
        # Each source numbers its own ids: two sources may use one for two patients.
        keys += [(tag, f"{row['source']}\n{row[tag]}") for tag in tags if row[tag]]
        links += [(first.setdefault(key, sample), sample) for key in keys]
    left, right = np.array(links, np.int64).reshape(-1, 2).T
    return connected_components(samples.num_rows, left, right)
