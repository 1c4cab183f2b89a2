"""Read records in files: find the files, check the columns, read a shard."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import ClassVar

import pyarrow as pa
from pydantic import Field

from curation.sources.build_rows import Place, build_rows
from curation.sources.column_mapping import Mapper, has_target
from curation.sources.file_formats import Format, Reading, cut, load, look, peek, suffix_format
from curation.sources.files import InputFile, find, fingerprints, refuse_empty, root_of
from curation.sources.jsonfiles import LINE_BYTES
from curation.sources.path_columns import SPLIT, OriginColumns, offered_schema, origins, with_origin
from curation.sources.reader import Reader, Shard, Unread
from curation.sources.record_batches import find_column
from curation.sources.unread_columns import Look, unread_columns
from medsift import records
from medsift.errors import InputError
from medsift.images.blob_store import BlobStore
from medsift.vocabulary import split_of

Columns = dict[str, str]


class TabularReader(Reader):
    """Records in JSON, JSON Lines, CSV or Parquet files, their columns mapped by SQL.

    `path` is a file, a folder, a glob or the URL of one. References to pictures stand under
    `image_root`, by default the folder of the data.
    """

    path: str = Field(min_length=1)
    image_root: str | None = None
    format: Format = "auto"
    columns: Columns = Field(default_factory=dict)
    separator: str | None = Field(default=None, min_length=1, max_length=1)
    """What stands between the cells of a CSV; read from the file where it is not given."""
    records: str | None = None
    """The key of a JSON object under which its list of records stands."""
    line_bytes: int = Field(default=LINE_BYTES, ge=1)
    """Most bytes of one JSON record or CSV line; a longer JSON record fails alone."""
    shard_bytes: int = Field(default=32 << 20, ge=1)

    needs: ClassVar[tuple[tuple[str, ...], ...]] = (
        ("messages", "question"),
        ("messages", "answer"),
    )

    def files(self) -> list[InputFile]:
        """The source's files by name. Raises InputError when there is none."""
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

    def unread(self) -> list[Unread]:
        """The columns that nothing reads, by what the first records of the files hold."""
        return unread_columns(Mapper(self.expressions()), self._looks())

    def read(self, shard: Shard, blobs: BlobStore) -> Iterator[pa.Table]:
        """Yield ``ROWS`` tables of at most 5,000 rows of one shard."""
        mapper = Mapper(self.expressions())
        place = Place(self.name, shard.file, self.images_under(), blobs, self.answer_index)
        for batch in load(shard, self._reading(), mapper.needed):
            whole = with_origin(batch, shard.file, shard.columns, mapper.needed)
            yield build_rows(place, mapper.map(whole), list(mapper.named))

    def fingerprint(self) -> str:
        """Identity of the rows: settings, file names, content, and where pictures are looked up."""
        settings = self.model_dump(mode="json", exclude={"path", "image_root", "shard_bytes"})
        files = self.files()
        places = self.places(files, [])
        return records.fingerprint([settings, self.images_under(), fingerprints(files), places])

    def _reading(self) -> Reading:
        return Reading(self.format, self.separator, self.records, self.line_bytes)

    def places(self, files: Sequence[InputFile], silent: Sequence[str]) -> dict[str, OriginColumns]:
        """The columns that each file's place adds; `silent` files have no split of their own.

        A key of `records` that is a word of a split says it, whatever the files are called.
        """
        names = [file.name for file in files]
        split = split_of(self.records or "")
        if split is None:
            return origins(self.name, root_of(self.path), names, silent)
        found = origins(self.name, root_of(self.path), names, ())
        return {
            name: (*columns, (SPLIT, split))
            if SPLIT not in dict(columns) and name in silent
            else columns
            for name, columns in found.items()
        }

    def expressions(self) -> Columns:
        """The columns as the recipe names them, completed by what the reader itself knows."""
        return dict(self.columns)

    def images_under(self) -> str:
        """The folder or URL that references to pictures stand under."""
        return self.image_root if self.image_root is not None else root_of(self.path)

    def _looks(self) -> Iterator[Look]:
        for file in self.files():
            if file.size:
                names = look(file, self._reading()).schema.names
                yield names, partial(peek, file, self._reading())

    def _check(self, files: Sequence[InputFile]) -> dict[str, OriginColumns]:
        refuse_empty(self.name, self.path, files)
        looked = {file.name: look(file, self._reading()) for file in files if file.size}
        filled = {name: item for name, item in looked.items() if item.count}
        if not filled:
            raise InputError(
                f"{self.path!r} holds no records; give files with at least one",
                code="source_empty",
                source=self.name,
                path=self.path,
            )
        problems = [item.problem for item in filled.values()]
        if all(problems):
            raise InputError(
                f"source {self.name!r}: {problems[0]}",
                code="records_unreadable",
                source=self.name,
            )
        mapped = SPLIT in self.expressions()
        silent = [
            name
            for name, item in filled.items()
            if not mapped and find_column(SPLIT, item.schema.names) is None
        ]
        columns = self.places(files, silent)
        found = [offered_schema(item.schema, columns[name]) for name, item in filled.items()]
        check_columns(self.name, self.expressions(), found, self.needs)
        return columns


def check_columns(
    source: str,
    columns: Columns,
    found: Sequence[pa.Schema],
    needs: Sequence[Sequence[str]] = (),
    implied: Columns | None = None,
) -> None:
    """Bind `columns` to the schemas found; of each group in `needs` one target must be there.

    Raises InputError for a column or target that is missing, RecipeError for SQL that cannot run.
    """
    Mapper(columns, implied).check(_distinct(found))
    present = list(dict.fromkeys(name for schema in found for name in schema.names))
    for choice in needs:
        if not any(has_target(target, columns, present) for target in choice):
            raise InputError(
                f"source {source!r} has no {' or '.join(choice)}: map it under columns, from"
                f" one of {', '.join(present) or 'no columns'}",
                code="target_missing",
                source=source,
                targets=list(choice),
            )


def _distinct(schemas_found: Sequence[pa.Schema]) -> list[pa.Schema]:
    distinct: list[pa.Schema] = []
    for schema in schemas_found:
        if not any(schema.equals(other) for other in distinct):
            distinct.append(schema)
    return distinct
