"""Stream a training's rows and pictures by Ray Data.

Rows are written from the manifest to Parquet, which workers on any machine read; pictures are
decoded on whatever CPUs of the cluster are free.
"""

from __future__ import annotations

import pickle
from collections.abc import Generator, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from medsift.errors import MedSiftError, StorageError
from medsift.storage.atomic import atomic_file
from medsift.storage.mirror import fetch, location
from ray_jobs.executor import MAX_BLOCKS, silence_ray_data
from training.dataset.samples import ROWS, Picture, load_picture
from training.loop.checkpoint import OTHER_STORAGE

if TYPE_CHECKING:
    from PIL.Image import Image
    from ray.data import DataContext, Dataset

PART: Final = "part-0.parquet"
PICTURES_PER_BLOCK: Final = 8  # at least: fewer are not worth the overhead of a task

Row = dict[str, Any]


def write_rows(tables: Iterable[pa.Table], folder: Path) -> None:
    """Write rows as Parquet, replacing what was there. Raises StorageError."""
    from pyarrow.parquet import ParquetWriter

    path = folder / PART
    with (
        atomic_file(path, OTHER_STORAGE, "training_storage_failed") as partial,
        ParquetWriter(partial, ROWS) as writer,
    ):
        for table in tables:
            writer.write_table(table)


def stream_rows(folder: Path) -> Generator[pa.Table, None, None]:
    """Yield the rows of `write_rows`, in their order, as Ray Data reads them.

    Reading needs no CPU, because the workers that wait for rows may occupy them all. The listing
    of files by `ray.data.read_parquet` would need one, and wait for ever.

    Raises StorageError: this machine does not reach the folder or store.
    """
    import ray
    from pyarrow.parquet import ParquetFile

    silence_ray_data()
    path = folder / PART
    try:
        with ParquetFile(fetch(path)) as file:
            count = int(file.num_row_groups)
    except OSError as error:
        message = (
            f"this worker cannot read the training's rows at {location(path)}: {error}; name a "
            "checkpoints.storage that every machine reaches"
        )
        raise StorageError(
            message, code="training_storage_unreachable", path=location(path)
        ) from error
    groups = [pa.table({"group": [index]}) for index in range(count)]
    read = partial(_read_group, path=path)
    with ray.data.DataContext.current(_ordered()):
        rows = ray.data.from_blocks(groups).map_batches(
            read, batch_size=1, batch_format="pyarrow", num_cpus=0
        )
        yield from rows.iter_batches(batch_size=None, batch_format="pyarrow")


def _read_group(index: pa.Table, path: Path) -> pa.Table:
    from pyarrow.parquet import ParquetFile

    with ParquetFile(fetch(path)) as file:
        return file.read_row_group(index["group"][0].as_py())


def stream_pictures(
    pictures: Sequence[Picture], max_pixels: int | None
) -> Generator[Image, None, None]:
    """Yield pictures in their order, as `load_picture` makes them.

    Ray Data decodes ahead until its share of the object store is full. Raises what `load_picture`
    raises when the picture would be next.
    """
    if not pictures:
        return
    import ray
    from PIL import Image

    silence_ray_data()
    table = pa.Table.from_pylist([picture._asdict() for picture in pictures])
    size = max(PICTURES_PER_BLOCK, -(-len(pictures) // MAX_BLOCKS))
    blocks = [table.slice(start, size) for start in range(0, len(table), size)]
    with ray.data.DataContext.current(_ordered()):
        source: Dataset = ray.data.from_blocks(blocks)
        decoded = source.map(partial(_decode, max_pixels=max_pixels), num_cpus=1)
    for row in decoded.iter_rows():
        if row["error"]:
            raise pickle.loads(row["error"])
        yield Image.frombytes("RGB", (row["width"], row["height"]), row["pixels"])


def _ordered() -> DataContext:
    """Return this process's context of Ray Data, changed to preserve the order of rows."""
    import ray

    context = ray.data.DataContext.get_current().copy()
    context.execution_options.preserve_order = True
    return context


def _decode(row: Row, max_pixels: int | None) -> Row:
    """Return the pixels, or a MedSiftError as a value: Ray keeps only the text of an error."""
    try:
        image = load_picture(Picture(**row), max_pixels)
    except MedSiftError as problem:
        return {"width": 0, "height": 0, "pixels": b"", "error": pickle.dumps(problem)}
    size = {"width": image.width, "height": image.height}
    return {**size, "pixels": image.tobytes(), "error": b""}
