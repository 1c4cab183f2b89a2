"""List every picture that samples refer to, with size and time of change of its file, on disk."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import Final

import pyarrow as pa

from curation.joins import files_sql, joining, read_tables_of
from curation.mapped import scratch_folder
from curation.stage_outputs import Upstream
from curation.stages.image_files import SEEN
from medsift.images.references import stat
from medsift.storage.parts import count_rows, parts, read_tables, write_table

LOOKED_AT: Final = 16_384
"""References that are looked up, and written, at a time."""
PREFIX: Final = "references-"


@dataclass(frozen=True, slots=True)
class References:
    """Every distinct reference of a pool with its file, sorted, in a folder of ``SEEN`` parts.

    The folder is removed with this value.
    """

    ingest: Path
    """The folder of the samples that refer to them."""
    folder: TemporaryDirectory[str]
    fingerprint: str
    """Digest of all references, sizes and times of change."""

    @property
    def count(self) -> int:
        """The number of references."""
        return count_rows(self._parts)

    def tables(self) -> Iterator[pa.Table]:
        """Yield ``SEEN`` part by part."""
        return read_tables(self._parts, SEEN)

    def sql(self) -> str:
        """Return the SQL of all of ``SEEN`` as a table."""
        files = parts(self._parts)
        return files_sql(files) if files else _NONE_SEEN

    def remove(self) -> None:
        """Remove the folder now."""
        self.folder.cleanup()

    @property
    def _parts(self) -> Path:
        return Path(self.folder.name) / "seen"


_NONE_SEEN: Final = (
    "(SELECT NULL::VARCHAR AS ref, NULL::BIGINT AS size, NULL::DOUBLE AS modified LIMIT 0)"
)


def look_at_references(upstream: Upstream) -> References:
    """Look at the file of every reference of the ingested samples, once.

    Raises:
        StorageError: the disk, or a store of pictures, refuses.
    """
    scratch = scratch_folder(upstream.ingest)
    for leftover in scratch.glob(f"{PREFIX}*"):
        shutil.rmtree(leftover, ignore_errors=True)
    scratch.mkdir(parents=True, exist_ok=True)
    folder = TemporaryDirectory(dir=scratch, prefix=PREFIX, ignore_cleanup_errors=True)
    place = Path(folder.name)
    with TemporaryFile(dir=place) as spool:
        spool.write(b"[")
        for number, names in zip(count(), _distinct(upstream, place / "join"), strict=False):
            files = stat(names)
            spool.write(b", " if number else b"")
            spool.write(json.dumps(files, ensure_ascii=False)[1:-1].encode())
            columns = map(list, zip(*files, strict=True))
            table = pa.table(dict(zip(SEEN.names, columns, strict=True)), schema=SEEN)
            write_table(table, place / "seen" / f"part-{number:06d}.parquet")
        spool.write(b"]")
        # That of `records.fingerprint` of one list of all, which is never in memory.
        state = hashlib.sha256(spool.tell().to_bytes(8, "little"))
        spool.seek(0)
        while piece := spool.read(1 << 20):
            state.update(piece)
    return References(upstream.ingest.folder, folder, state.hexdigest())


def _distinct(upstream: Upstream, folder: Path) -> Iterator[list[str]]:
    """Yield the distinct references of the samples in several lists, sorted."""
    samples = upstream.ingest.samples.parts()
    if not samples:
        return
    with joining(folder) as db:
        query = f"SELECT DISTINCT ref FROM (SELECT unnest(refs) AS ref FROM {files_sql(samples)})"
        for table in read_tables_of(db, f"{query} WHERE ref IS NOT NULL ORDER BY ref", LOOKED_AT):
            yield table["ref"].to_pylist()
