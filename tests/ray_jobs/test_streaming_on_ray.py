"""Pictures that Ray Data decodes: the same ones, in order, and an error where it belongs."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from curation.errors import StorageError
from curation.images import ImagesConfig, decode
from ray_jobs.streaming import PER_BLOCK, stream_pictures
from tests.training.conftest import draw
from training.pictures import load_picture
from training.samples import Picture

LIMIT = 40 * 40


def pictures(folder: Path, count: int) -> list[Picture]:
    """Pictures of several sizes, some below the limit and some above."""
    files = [draw(folder / f"{k}.png", k, 28 + 14 * k, 42) for k in range(count)]
    ids = [decode(file.read_bytes(), file.name, ImagesConfig()).image_id for file in files]
    return [
        Picture(image, str(file), 28 + 14 * k, 42)
        for k, (image, file) in enumerate(zip(ids, files, strict=True))
    ]


@pytest.mark.ray
def test_pictures_stream_in_order_as_they_would_be_loaded(ray_session: None, tmp_path: Path):
    few = pictures(tmp_path, 5)
    order = np.random.default_rng(0).integers(len(few), size=5 * PER_BLOCK + 3)
    wanted = [few[place] for place in order]
    for limit in (LIMIT, None):
        found = list(stream_pictures(wanted, limit))
        assert len(found) == len(wanted)
        for image, picture in zip(found, wanted, strict=True):
            assert np.array_equal(np.asarray(image), np.asarray(load_picture(picture, limit)))


@pytest.mark.ray
def test_a_picture_that_vanished_is_named_where_it_would_have_come(
    ray_session: None, tmp_path: Path
):
    first, gone = pictures(tmp_path, 2)
    Path(gone.ref).unlink()
    stream = stream_pictures([first] * PER_BLOCK + [gone], None)
    assert len(list(islice(stream, PER_BLOCK))) == PER_BLOCK
    with pytest.raises(StorageError, match=r"1\.png is gone"):
        next(stream)


def test_no_pictures_are_no_stream():
    assert list(stream_pictures([], None)) == []
