"""Define a benchmark: settings that say where its files are, and how they become items."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import Field

from evaluation.benchmarks.build import Benchmark, assemble
from evaluation.benchmarks.dataset_files import Published, open_published
from evaluation.benchmarks.image_store import Gallery
from evaluation.benchmarks.item import Entry, Unusable
from medsift.config import Config
from medsift.images.blob_store import BlobStore


class BenchmarkConfig(Config):
    """Settings of one benchmark; subclasses add a `kind: Literal[...]` tag and the methods.

    `path` is a folder in the published layout, its archives packed or unpacked, or a hub name.
    `label` replaces the name under which results stand.
    """

    path: str = Field(min_length=1)
    revision: str | None = None
    label: str | None = Field(default=None, pattern=r"^[\w.-]+$")

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
            return assemble(self.name, files, entries, Gallery(published, BlobStore(cache)))

    def own_name(self) -> str:
        """The name of the benchmark that these settings read."""
        raise NotImplementedError

    def hub_files(self) -> tuple[str, ...]:
        """Patterns of the files that are fetched when `path` is a hub name."""
        return ("*",)

    def files(self, published: Published) -> Sequence[str]:
        """Files that hold the questions. Raises InputError when there are none."""
        raise NotImplementedError

    def entries(self, published: Published, file: str) -> Iterator[Entry | Unusable]:
        """The items of one file, in order. Raises InputError."""
        raise NotImplementedError
