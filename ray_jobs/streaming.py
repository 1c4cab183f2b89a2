"""Pictures of a training as a Ray Data stream: decoded wherever the cluster has a CPU to spare."""

from __future__ import annotations

import pickle
from collections.abc import Generator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from curation.errors import MedSiftError
from ray_jobs.executor import MOST_BLOCKS, quiet
from training.pictures import load_picture
from training.samples import Picture

if TYPE_CHECKING:
    from PIL.Image import Image
    from ray.data import Dataset

PER_BLOCK: Final = 8  # pictures, at least: so many are worth a task

Row = dict[str, Any]


def stream_pictures(
    pictures: Sequence[Picture], max_pixels: int | None
) -> Generator[Image, None, None]:
    """Yield pictures in their order, as `load_picture` makes them.

    Ray Data decodes ahead as far as its share of the object store goes. Raises what `load_picture`
    raises, where the picture would have come.
    """
    from PIL import Image

    if not pictures:
        return
    for row in _decoded(pictures, max_pixels).iter_rows():
        if row["error"]:
            raise pickle.loads(row["error"])
        yield Image.frombytes("RGB", (row["width"], row["height"]), row["pixels"])


def _decoded(pictures: Sequence[Picture], max_pixels: int | None) -> Dataset:
    import ray

    quiet()
    context = ray.data.DataContext.get_current().copy()
    context.execution_options.preserve_order = True
    table = pa.Table.from_pylist([picture._asdict() for picture in pictures])
    rows = max(PER_BLOCK, -(-len(pictures) // MOST_BLOCKS))
    blocks = [table.slice(start, rows) for start in range(0, len(table), rows)]
    with ray.data.DataContext.current(context):
        return ray.data.from_arrow(blocks).map(partial(_decode, max_pixels=max_pixels), num_cpus=1)


def _decode(row: Row, max_pixels: int | None) -> Row:
    """Pixels, or our error as a value: Ray keeps only the text of what is raised."""
    try:
        image = load_picture(Picture(**row), max_pixels)
    except MedSiftError as problem:
        return {"width": 0, "height": 0, "pixels": b"", "error": pickle.dumps(problem)}
    return {
        "width": image.width,
        "height": image.height,
        "pixels": image.tobytes(),
        "error": b"",
    }
