"""Items and pictures that the tests of variants share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from evaluation.benchmarks.vqa_rad import VqaRad
from evaluation.records import ITEMS

MakeItem = Callable[..., dict[str, Any]]


@pytest.fixture(scope="session")
def make_item() -> MakeItem:
    """One row of ``ITEMS``, of a closed question about one picture unless told otherwise."""

    def made(**values: Any) -> dict[str, Any]:
        row = dict.fromkeys(ITEMS.names) | {
            "benchmark": "set",
            "item_id": "1",
            "question": "Is there a pleural effusion?",
            "options": [],
            "gold": "yes",
            "answer_type": "closed",
            "images": ["a.png"],
            "image_id": "a",
            "modality": "xray",
            "language": "en",
        }
        assert values.keys() <= row.keys()
        return row | values

    return made


@pytest.fixture(scope="session")
def real_items(vqa_rad, tmp_path_factory) -> pa.Table:
    """The 451 test questions of VQA-RAD."""
    return VqaRad(path=str(vqa_rad)).load(tmp_path_factory.mktemp("cache")).items


@pytest.fixture(scope="session", params=["L", "RGB"])
def picture(request) -> Image.Image:
    """A structured picture, brighter to the right, with fine texture."""
    rows, columns = np.mgrid[0:120, 0:160]
    grey = 40 + columns + 30 * ((rows + columns) % 7 == 0)
    return Image.fromarray(grey.astype(np.uint8)).convert(request.param)
