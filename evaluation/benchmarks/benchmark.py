"""Define a benchmark: where its files are, and how their records become items."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from evaluation.benchmarks.build import Benchmark, assemble
from evaluation.benchmarks.dataset_files import Published, open_published
from evaluation.benchmarks.image_store import PictureFinder
from evaluation.benchmarks.item import Entry, Unusable
from evaluation.benchmarks.tables import Record, find_files, read_records
from medsift.config import Config
from medsift.images.blob_store import BlobStore


class BenchmarkConfig(Config):
    """Settings of one benchmark; a subclass adds its `kind`, its files, and `entries`."""

    path: str = Field(min_length=1)
    """Folder in the published layout, its archives packed or unpacked, or a hub name."""
    revision: str | None = None
    """Revision of a hub name; its newest when not given."""
    label: str | None = Field(default=None, pattern=r"^[\w.-]+$")
    """Name of the benchmark in tables; its own name when not given."""

    FILES: ClassVar[tuple[str, ...]] = ()
    """Patterns of the files that hold the questions."""
    HUB_FILES: ClassVar[tuple[str, ...]] = ("*",)
    """Patterns of the files that are fetched when `path` is a hub name."""
    COLUMNS: ClassVar[tuple[str, ...]] = ()
    """Columns that every record has."""

    @property
    def name(self) -> str:
        """The benchmark's name in tables."""
        return self.label or self.own_name()

    def load(self, cache: Path) -> Benchmark:
        """Read the benchmark; pictures inside tables and archives are put into `cache`.

        Raises:
            InputError: files, columns or pictures are missing, or ids repeat.
            StorageError: the disk refuses.
        """
        with open_published(self.path, self.revision, self.hub_files()) as published:
            files = self.files(published)
            entries = (entry for file in files for entry in self.entries(published, file))
            return assemble(self.name, files, entries, PictureFinder(published, BlobStore(cache)))

    def own_name(self) -> str:
        """Return the name of the benchmark that these settings read: its `kind` by default."""
        return str(type(self).model_fields["kind"].default)

    def hub_files(self) -> tuple[str, ...]:
        """Return the patterns of the files that are fetched when `path` is a hub name."""
        return self.HUB_FILES

    def files(self, published: Published) -> Sequence[str]:
        """Return the files that hold the questions. Raises InputError when there are none."""
        return find_files(published, *self.FILES)

    def entries(self, published: Published, file: str) -> Iterator[Entry | Unusable]:
        """Yield the items of one file, in order. Raises InputError."""
        return map(self.entry, read_records(published, file, self.COLUMNS))

    def entry(self, record: Record) -> Entry | Unusable:
        """Return the item of one record."""
        raise NotImplementedError
