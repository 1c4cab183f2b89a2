"""Define a reader: settings that know how to cut their files into shards and read one shard."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa
from pydantic import Field, field_validator

from curation.sources.answers import AnswerIndex
from medsift.config import Config
from medsift.errors import InputError
from medsift.images.blob_store import BlobStore
from medsift.storage.locations import refuse_secrets

Kind = Literal["json", "jsonl", "csv", "tsv", "parquet", "object", "columns", "under"]
"""Formats as files hold them: JSON's are lines, a list, one object, columns, or under a key."""


@dataclass(frozen=True, slots=True)
class Shard:
    """A contiguous piece of one input file that a worker reads on its own.

    `file` is the name that goes into row ids (relative to the source's root), `uri` where it is.
    `start`/`stop` are the reader's own units (bytes, row groups, records); `first_index` is the
    index of the shard's first record in the file. `columns` are those that the file's place adds
    to its records, `names` the files of a shard that holds many, `kind` the format as the
    cutting found it, so that workers need not look again.
    """

    file: str
    uri: str
    start: int
    stop: int
    first_index: int
    columns: tuple[tuple[str, str | None], ...] = ()
    names: tuple[str, ...] = ()
    kind: Kind | None = None


@dataclass(frozen=True, slots=True)
class Unread:
    """A column that no target is made of.

    `pictures` is whether its values look like pictures; `splits` are its values where they are
    all words of splits.
    """

    column: str
    pictures: bool
    splits: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.pictures:
            return f"{self.column} (looks like pictures)"
        return f"{self.column} (looks like splits)" if self.splits else self.column


class Reader(Config):
    """Settings of one source; subclasses add a `reader: Literal[...]` tag and the methods.

    They are pure functions of the settings and the files: the union of `read` over `shards` is
    the same table however the work is spread.
    """

    name: str = Field(pattern=r"^[\w.-]+$")
    answer_index: AnswerIndex = None
    """From where an answer that is a number counts the options of its question: 0 or 1."""

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

    def unread(self) -> list[Unread]:
        """The columns that nothing reads, by what the first records of the files hold."""
        raise NotImplementedError

    def read(self, shard: Shard, blobs: BlobStore) -> Iterator[pa.Table]:
        """Yield tables of schema ``ROWS`` for one shard; bad records become rows with `error`."""
        raise NotImplementedError

    def fingerprint(self) -> str:
        """Identity of the rows that `read` yields: equal settings and content, equal digest."""
        raise NotImplementedError
