"""Rows and pictures that Ray Data streams: the same, in order, and an error where it belongs."""

# Fixtures of another file are imported, and then named by whoever wants them.
# ruff: noqa: F811

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from medsift.images import ImagesConfig, decode
from medsift.manifest import resolve_selection
from ray_jobs.streaming import PICTURES_PER_BLOCK, stream_pictures, stream_rows, write_rows
from tests.conftest import cpus_taken
from tests.expect import raises_code
from tests.training.conftest import MakeRun, asked, draw, make_run  # noqa: F401 - a fixture
from training.dataset.samples import (
    Picture,
    gather,
    load_picture,
    manifest_of,
    read_rows,
    read_selection,
)

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
    order = np.random.default_rng(0).integers(len(few), size=5 * PICTURES_PER_BLOCK + 3)
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
    stream = stream_pictures([first] * PICTURES_PER_BLOCK + [gone], None)
    assert len(list(islice(stream, PICTURES_PER_BLOCK))) == PICTURES_PER_BLOCK
    with raises_code("picture_changed") as caught:
        next(stream)
    assert gone.ref in str(caught.value)


def test_no_pictures_are_no_stream():
    assert list(stream_pictures([], None)) == []


@pytest.mark.ray
def test_rows_stream_as_the_manifest_has_them_while_every_cpu_is_taken(
    ray_session: None, make_run: MakeRun, tmp_path: Path
):
    lines = [asked(f"q{k}?", f"a{k}", weight=k / 7, source=f"s{k % 3}") for k in range(40)]
    lines += [asked("and?", "yes", draw(tmp_path / "seen.png", 1))]
    held = [asked("what?", "this", draw(tmp_path / "held.png", 2), split="test")]
    manifest = manifest_of(make_run(lines, held))
    run_id, selection = resolve_selection(manifest)
    wanted = pa.concat_tables(read_rows(manifest, run_id, selection, "test"))
    store = tmp_path / "rows"
    write_rows((wanted.slice(start, 9) for start in range(0, len(wanted), 9)), store)
    with cpus_taken(left=0):
        found = pa.concat_tables(stream_rows(store))
    assert found.equals(wanted)
    assert gather(run_id, selection, [found]) == read_selection(manifest, split="test")


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("")
    target = tmp_path / "file" / "rows"
    with raises_code("training_storage_failed", path=str(target / "part-0.parquet")):
        write_rows([], target)


def test_a_place_that_a_worker_does_not_reach_is_named(tmp_path: Path):
    with raises_code("training_storage_unreachable"):
        next(stream_rows(tmp_path / "elsewhere"))
