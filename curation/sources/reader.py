"""Define a reader: settings that cut a source into shards, and turn a shard into rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import pyarrow as pa
from pydantic import Field, field_validator

from curation.sources.answers import AnswerIndex
from curation.sources.build_rows import Place, build_rows
from curation.sources.column_mapping import Mapper, has_target
from curation.sources.path_columns import with_origin
from curation.sources.record_batches import Batch
from curation.sources.unread_columns import Look, unread_columns
from curation.sources.unread_columns import Unread as Unread
from curation.sources.volume_slices import VolumeSlices
from medsift.config import Config
from medsift.errors import InputError
from medsift.images.blob_store import BlobStore
from medsift.images.volumes import VolumesConfig
from medsift.images.volumes.choose_slices import parse_sampler
from medsift.images.volumes.read import read_key
from medsift.storage.locations import refuse_secrets

Columns = dict[str, str]
Kind = Literal["json", "jsonl", "csv", "tsv", "parquet", "object", "columns", "under"]
"""Formats of files: JSON is lines, one list, one object, columns, or a list under a key."""


@dataclass(frozen=True, slots=True)
class Shard:
    """A contiguous piece of one input file that a worker reads on its own.

    `file` is the name that goes into row ids (relative to the source's root), `uri` its location.
    `start`/`stop` are the reader's own units (bytes, row groups, records); `first_index` is the
    index of the shard's first record in the file. `columns` are those that the file's path adds
    to its records, `names` the files of a shard that covers many, `kind` the format that was found
    when the file was cut, so that workers need not look again.
    """

    file: str
    uri: str
    start: int
    stop: int
    first_index: int
    columns: tuple[tuple[str, str | None], ...] = ()
    names: tuple[str, ...] = ()
    kind: Kind | None = None


class Reader(Config):
    """Settings of one source; subclasses add a `reader: Literal[...]` tag and the methods.

    Readers are pure functions of the settings and the files: the union of `read` over `shards` is
    the same table however the work is spread.
    """

    name: str = Field(pattern=r"^[\w.-]+$")
    """Name of the source, unique in the recipe; the ids of its rows begin with it."""
    answer_index: AnswerIndex = None
    """Number of the first option, 0 or 1, where answers are numbers; null flags such answers."""
    path: str = Field(min_length=1)
    """File, folder, glob or URL of the data; for `hf` also the name of a data set on the hub."""
    columns: Columns = Field(default_factory=dict)
    """SQL expression over one record for each target; a column named like a target maps itself."""
    volumes: VolumesConfig | None = None
    """How a volume that a row names as picture becomes slices; null reads plain pictures alone."""

    needs: ClassVar[tuple[tuple[str, ...], ...]] = ()
    """Groups of targets: of each group the source must have one."""

    @field_validator("path", "image_root", "captions", check_fields=False)
    @classmethod
    def _no_secrets(cls, location: str | None) -> str | None:
        # A recipe is stored in every manifest and shown in every report.
        try:
            return location if location is None else refuse_secrets(location)
        except InputError as error:
            raise ValueError(str(error)) from error

    def check(self) -> None:
        """Look at the start of the data. Raises InputError when a run over it cannot succeed."""
        raise NotImplementedError

    def shards(self) -> list[Shard]:
        """Cut the source into pieces. Raises InputError when there is nothing to read."""
        raise NotImplementedError

    def batches(self, shard: Shard, columns: Sequence[str], blobs: BlobStore) -> Iterator[Batch]:
        """Yield the records of a shard with the `columns` that the expressions read."""
        raise NotImplementedError

    def first_records(self) -> Iterable[Look]:
        """Yield the columns of each file, with a function that reads its first records."""
        raise NotImplementedError

    def fingerprint(self) -> str:
        """Return the identity of the rows: equal settings and content give equal digests."""
        raise NotImplementedError

    def expressions(self) -> Columns:
        """Return the recipe's columns, completed by those that the reader itself knows."""
        return dict(self.columns)

    def implied(self) -> Columns:
        """Return expressions of the reader's own whose columns may be absent."""
        return {}

    def named(self, mapper: Mapper) -> list[str]:
        """Return the targets that are the recipe's own: all but content and tags go to `extra`."""
        return list(mapper.named)

    def images_under(self) -> str | None:
        """Return the folder or URL that references to pictures are resolved under."""
        return None

    def unread(self) -> list[Unread]:
        """Return the columns that nothing reads, judged by the first records of each file."""
        return unread_columns(Mapper(self.expressions(), self.implied()), self.first_records())

    def read(self, shard: Shard, blobs: BlobStore) -> Iterator[pa.Table]:
        """Yield tables of schema ``ROWS`` for one shard; bad records become rows with `error`."""
        mapper = Mapper(self.expressions(), self.implied())
        slices = None if self.volumes is None else VolumeSlices(self.volumes, blobs)
        root = self.images_under()
        place = Place(self.name, shard.file, root, blobs, self.answer_index, slices)
        for batch in self.batches(shard, mapper.needed, blobs):
            complete = with_origin(batch, shard.file, shard.columns, mapper.needed)
            yield build_rows(place, mapper.map(complete), self.named(mapper))

    def bind(self, schemas: Iterable[pa.Schema]) -> None:
        """Bind the expressions to the columns of the files.

        Raises InputError for a missing column or target, RecipeError for SQL that cannot run.
        """
        distinct = list(dict.fromkeys(schemas))
        columns = self.expressions()
        Mapper(columns, self.implied()).check(distinct)
        self._check_volumes(columns)
        present = list(dict.fromkeys(name for schema in distinct for name in schema.names))
        for choice in self.needs:
            if not any(has_target(target, columns, present) for target in choice):
                words = f"source {self.name!r} has no {' or '.join(choice)}: map it under columns"
                words += f", from one of {', '.join(present) or 'no columns'}"
                values = {"source": self.name, "targets": list(choice)}
                raise InputError(words, code="target_missing", **values)

    def _check_volumes(self, columns: Columns) -> None:
        """Raise InputError where volumes need a target or a key that is not there."""
        if self.volumes is None:
            return
        read_key(self.volumes)
        column = parse_sampler(self.volumes.slices).column
        if column is not None and column not in columns:
            words = f"source {self.name!r}: volumes.slices is {self.volumes.slices!r}, and {column}"
            words += f" is not mapped; say under columns which slice a row is about, as {column}:"
            message = f"{words} COLUMN"
            raise InputError(message, code="target_missing", source=self.name, targets=[column])

    def no_records(self) -> InputError:
        """Return the error of a source whose files hold no records."""
        words = f"{self.path!r} holds no records; give files with at least one"
        return InputError(words, code="source_empty", source=self.name, path=self.path)
