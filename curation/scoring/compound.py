"""Score how many panels a figure has: a caption of many panels fits no single picture."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import chain
from typing import ClassVar, Final, Literal

import numpy as np

from curation.scoring.panel_layout import caption_panels, picture_panels
from curation.scoring.scorer import ScorerConfig, ScoringContext
from curation.sources.caption import CAPTION
from medsift.arrays import Doubles
from medsift.images.curated import read_picture

PICTURES_A_TASK: Final = 64


class CompoundConfig(ScorerConfig):
    """Settings of `compound`: the panels of a sample's picture, 1 for a single one; high is bad.

    The larger of two counts: the parts that straight white or black gutters cut the picture into,
    and the letters that its caption names from (A) on. Letters do not count for a row that names
    its own `panel`. Black gutters between black borders of scans cannot be seen. Null without a
    picture.
    """

    higher_is_better: ClassVar[bool] = False
    kind: Literal["compound"] = "compound"

    def score(self, context: ScoringContext) -> Doubles:
        """Return the panels (n,)."""
        samples = context.pool.samples
        columns = [samples[name].to_pylist() for name in ("refs", "images")]
        shown = [
            tuple(zip(refs or (), images or (), strict=True))
            for refs, images in zip(*columns, strict=True)
        ]
        # One reference of each picture, by content id: it is decoded once.
        place = {image: ref for ref, image in sorted(set(chain(*shown)), reverse=True)}
        items = sorted(place.items())
        tasks = [items[at : at + PICTURES_A_TASK] for at in range(0, len(items), PICTURES_A_TASK)]
        counts: dict[str, int] = {}
        for task, found in zip(tasks, context.executor.run(count_panels, tasks), strict=True):
            counts |= dict(zip((image for image, _ in task), found, strict=True))
            context.advance(len(task))
        names = ("answer", "extra", "task_type")
        lettered = map(_lettered, *(samples[name].to_pylist() for name in names))
        return np.array(
            [
                max(letters, *(counts[image] for _, image in pictures)) if pictures else np.nan
                for pictures, letters in zip(shown, lettered, strict=True)
            ],
            np.float64,
        )


def count_panels(pictures: Sequence[tuple[str, str]]) -> list[int]:
    """Return the panels of each picture, given as content id and reference. Raises StorageError."""
    return [
        picture_panels(np.asarray(read_picture(ref, image).convert("L"))) for image, ref in pictures
    ]


def _lettered(answer: str | None, extra: str | None, task: str | None) -> int:
    if task != CAPTION or (extra and json.loads(extra).get("panel")):
        return 1
    return caption_panels(answer or "")
