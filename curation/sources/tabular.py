"""Read records in files: find the files, check the columns, read a shard."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import ClassVar

from pydantic import Field

from curation.sources.file_formats import Format, Reading, cut, load, look, peek, suffix_format
from curation.sources.files import InputFile, find, fingerprints, refuse_empty, root_of
from curation.sources.jsonfiles import LINE_BYTES
from curation.sources.path_columns import (
    SPLIT,
    OriginColumns,
    offered_schema,
    origins,
    without_split,
)
from curation.sources.reader import Reader, Shard
from curation.sources.record_batches import Batch
from curation.sources.unread_columns import Look
from medsift import records
from medsift.errors import InputError
from medsift.images.blob_store import BlobStore
from medsift.vocabulary import split_of


class TabularReader(Reader):
    """Records in JSON, JSON Lines, CSV or Parquet files, their columns mapped by SQL."""

    image_root: str | None = None
    """Folder or URL that picture paths are relative to; null takes the folder of the data."""
    format: Format = "auto"
    """Format of the files; `auto` takes it from each suffix."""
    separator: str | None = Field(default=None, min_length=1, max_length=1)
    """Character between the cells of a CSV; null finds it in the file."""
    records: str | None = None
    """Key of a JSON object that holds its list of records; null where the file is the list."""
    line_bytes: int = Field(default=LINE_BYTES, ge=1)
    """Most bytes of a record without its pictures; a longer one fails alone, except a CSV line."""
    shard_bytes: int = Field(default=32 << 20, ge=1)
    """Bytes of a file that one worker reads at a time; changes no row."""

    needs: ClassVar[tuple[tuple[str, ...], ...]] = (
        ("messages", "question"),
        ("messages", "answer"),
    )

    def files(self) -> list[InputFile]:
        """Return the source's files by name. Raises InputError when there is none."""
        if self.format == "auto":
            return find(self.path, lambda name: suffix_format(name) is not None)
        kinds = {"json", "jsonl"} if self.format in ("json", "jsonl") else {self.format}
        return find(self.path, lambda name: suffix_format(name) in kinds)

    def check(self) -> None:
        """Look at the first records of the files and bind the recipe's columns to them.

        Raises InputError when there are no records or a named column is not there.
        """
        self._check(self.files())

    def shards(self) -> list[Shard]:
        """Cut the files. Raises InputError when there is nothing to read."""
        files = self.files()
        columns = self._check(files)
        return [
            replace(shard, columns=columns[file.name])
            for file in files
            for shard in cut(file, self._reading(), self.shard_bytes)
        ]

    def batches(self, shard: Shard, columns: Sequence[str], blobs: BlobStore) -> Iterator[Batch]:
        """Yield the records of a shard, at most 5,000 at once."""
        return load(shard, self._reading(), columns)

    def first_records(self) -> Iterator[Look]:
        """Yield the columns of each file that is not empty, with its `peek`."""
        for file in self.files():
            if file.size:
                names = look(file, self._reading()).schema.names
                yield names, partial(peek, file, self._reading())

    def fingerprint(self) -> str:
        """Return the identity of the rows: settings, file names, content, and `images_under`."""
        settings = self.model_dump(mode="json", exclude={"path", "image_root", "shard_bytes"})
        files = self.files()
        places = self.places(files, [])
        return records.fingerprint([settings, self.images_under(), fingerprints(files), places])

    def places(self, files: Sequence[InputFile], silent: Sequence[str]) -> dict[str, OriginColumns]:
        """Return the columns that each file's path adds; `silent` files have no split of their own.

        A `records` key that is a split word names the split, whatever the files are called.
        """
        names = [file.name for file in files]
        split = split_of(self.records or "")
        if split is None:
            return origins(self.name, root_of(self.path), names, silent)
        places = origins(self.name, root_of(self.path), names, ())
        for name in silent:
            if SPLIT not in dict(places[name]):
                places[name] = (*places[name], (SPLIT, split))
        return places

    def images_under(self) -> str:
        """Return the folder or URL that references to pictures are resolved under."""
        return self.image_root if self.image_root is not None else root_of(self.path)

    def _reading(self) -> Reading:
        return Reading(self.format, self.separator, self.records, self.line_bytes)

    def _check(self, files: Sequence[InputFile]) -> dict[str, OriginColumns]:
        refuse_empty(self.name, self.path, files)
        starts = {file.name: look(file, self._reading()) for file in files if file.size}
        filled = {name: start for name, start in starts.items() if start.count}
        if not filled:
            raise self.no_records()
        problems = [(name, start.problem) for name, start in filled.items()]
        if all(problem for _, problem in problems):
            file, problem = problems[0]
            values = {"path": self.path, "file": file, "row": filled[file].problem_row}
            words = f"source {self.name!r}: {problem}"
            raise InputError(words, code="records_unreadable", source=self.name, **values)
        names = {name: start.schema.names for name, start in filled.items()}
        columns = self.places(files, without_split(self.expressions(), names))
        self.bind(offered_schema(start.schema, columns[name]) for name, start in filled.items())
        return columns
