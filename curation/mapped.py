"""Open the vectors, pictures and texts of a run as files that are mapped into memory.

They are written into the run directory by the first stage that asks for them, once for all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa

from curation.matching.image_copies import ImageSet
from curation.matching.mapped_images import map_images
from curation.stage_outputs import StageOutputs
from medsift.manifest.connections import start
from medsift.records import SAMPLES
from medsift.storage.atomic import atomic_folder
from medsift.storage.mapped_rows import MappedRows, open_rows, write_rows
from medsift.storage.mapped_vectors import MappedVectors, map_vectors
from medsift.storage.parts import read_batches

# Names with a dot never leave this machine, where a run lies in a store.
MAPPED: Final = ".mapped"
SCRATCH: Final = ".scratch"
DIGESTED_BYTES: Final = 8 << 20
TEXTS: Final = pa.schema(
    [SAMPLES.field(name) for name in ("question", "answer", "messages", "extra")]
)
"""The columns of a sample that may be long; no stage changes them."""
SAID: Final = "said"
"""A digest of question, answer and messages, by which engines tell texts apart."""
_MAPPED_TEXTS: Final = TEXTS.append(pa.field(SAID, pa.string()))
_DIGEST: Final = "left(sha256(CAST(to_json({q: question, a: answer, m: messages}) AS VARCHAR)), 32)"


@dataclass(frozen=True, slots=True)
class MappedTable:
    """Vectors, and the folder in which a worker finds them too."""

    folder: Path
    vectors: MappedVectors


def mapped_vectors(outputs: StageOutputs) -> MappedTable:
    """Return the vectors of a stage, `images` or `embed`. Raises StorageError."""
    folder = _folder(outputs, "vectors")
    return MappedTable(folder, map_vectors(outputs.vectors.folder, folder))


def mapped_images(outputs: StageOutputs) -> ImageSet:
    """Return all pictures of the stage `images`. Raises StorageError."""
    vectors = mapped_vectors(outputs).vectors
    return map_images(outputs.images.folder, vectors, _folder(outputs, "pictures"))


def mapped_texts(outputs: StageOutputs) -> MappedRows:
    """Return `TEXTS`, and `SAID`, of all samples of the stage `ingest`, in the order of its files.

    Raises StorageError.
    """
    folder = _folder(outputs, "texts")
    if not folder.exists():
        with atomic_folder(folder) as partial:
            tables = read_batches(outputs.samples.folder, TEXTS.names)
            write_rows(_digested(tables), _MAPPED_TEXTS, partial)
    return open_rows(folder, _MAPPED_TEXTS)


def _digested(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Add the column `SAID` to samples, a few MiB of which the engine has at a time."""
    with closing(start()) as db:
        for table in tables:
            size = max(1, table.num_rows * DIGESTED_BYTES // max(table.nbytes, 1))
            for first in range(0, table.num_rows, size):
                rows = table.slice(first, size)
                db.register("samples", rows)
                said = db.sql(f"SELECT {_DIGEST} AS said FROM samples").to_arrow_table()
                db.unregister("samples")
                yield rows.append_column(SAID, said["said"])


def scratch_folder(outputs: StageOutputs) -> Path:
    """Return the folder of a run for what one stage needs and no later one."""
    return outputs.folder.parents[1] / SCRATCH


def _folder(outputs: StageOutputs, kind: str) -> Path:
    # Stages are kept in folders of `run_dir/stages`, which are named by their fingerprints.
    return outputs.folder.parents[1] / MAPPED / outputs.folder.name / kind
