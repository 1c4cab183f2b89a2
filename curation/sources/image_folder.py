"""A folder of pictures with captions: a text file next to each, or one table for all."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any, Final, Literal

import pyarrow as pa
from pydantic import Field

from curation.sources.file_formats import in_batches
from curation.sources.files import InputFile, find, root_of
from curation.sources.path_columns import (
    FILENAME,
    ROW_INDEX,
    SPLIT,
    OriginColumns,
    offered_schema,
    origins,
)
from curation.sources.reader import Columns, Reader, Shard
from curation.sources.record_batches import Bad, Batch
from curation.sources.suffixes import PICTURE_SUFFIXES
from curation.sources.table import TableReader
from curation.sources.unread_columns import Look
from medsift import records
from medsift.errors import InputError
from medsift.images.blob_store import BlobStore
from medsift.images.references import read_bytes, resolve, stat
from medsift.storage.locations import is_remote, local_path, with_query, without_query

COLUMNS: Final = ("file_name", "folder", "stem", "caption")
CAPTION_SUFFIX: Final = ".txt"
METADATA: Final = frozenset({"metadata.csv", "metadata.jsonl", "metadata.parquet"})
"""Tables that the `datasets` library reads next to pictures."""
MOST_LISTED: Final = 5

logger = logging.getLogger(__name__)


class ImageFolderReader(Reader):
    """Pictures below `path` whose caption is the answer and `prompt` the question.

    The caption of `a/b.png` stands in `a/b.txt`; or `captions` names a CSV or JSON Lines table
    with the columns `file_name` (below `path`) and `caption`, one row a caption. `columns` maps
    further targets from `file_name`, `folder`, `stem` and `caption`, or from the table's columns.
    """

    reader: Literal["image_folder"] = "image_folder"
    """Kind of source."""
    captions: str | None = None
    """Table of captions; null reads a text file next to each picture."""
    prompt: str = Field(default="Describe this image.", min_length=1)
    """Question of every row."""
    shard_images: int = Field(default=20_000, ge=1)
    """Pictures that one worker reads at a time; changes no row."""

    def check(self) -> None:
        """Bind the columns. Raises InputError when there is no picture or no caption table."""
        if self.captions is not None:
            self._table().check()
            return
        files = find(self.path, lambda name: _is_picture(name) or _is_metadata(name))
        tables = [file.name for file in files if _is_metadata(file.name)]
        if tables:
            logger.warning(
                "source %r: %d tables of captions are not read (%s); name one as captions, or take"
                " reader: table with images: \"regexp_replace(filename, '[^/]*$', '') ||"
                ' file_name"',
                self.name,
                len(tables),
                ", ".join(tables[:MOST_LISTED]),
            )
        self._check(self._files() if tables else files)

    def shards(self) -> list[Shard]:
        """Return runs of pictures in name order, or the shards of the caption table."""
        if self.captions is not None:
            return self._table().shards()
        files = self._files()
        self._check(files)
        names = [file.name for file in files]
        step = self.shard_images
        # The listing travels with the shards: walking a large tree again for each takes hours.
        return [
            Shard("", self.path, start, start + len(part), start, names=tuple(part))
            for start in range(0, len(names), step)
            if (part := names[start : start + step])
        ]

    def first_records(self) -> Iterator[Look]:
        """Yield the columns of the caption table; pictures with text files have no others."""
        if self.captions is not None:
            yield from self._table().first_records()

    def read(self, shard: Shard, blobs: BlobStore) -> Iterator[pa.Table]:
        """Yield ``ROWS`` tables; without a caption table each picture is a file with one row."""
        if self.captions is not None:
            yield from self._table().read(shard, blobs)
            return
        for table in super().read(shard, blobs):
            yield _one_row_a_file(table, self.name, shard.names)

    def batches(self, shard: Shard, columns: Sequence[str], blobs: BlobStore) -> Iterator[Batch]:
        """Yield one record for each picture of a shard."""
        places = self._places(shard.names)
        pictures = (
            (at, self._record(at, name, dict(places[_folder(name)])))
            for at, name in enumerate(shard.names)
        )
        for batch in in_batches(pictures, columns):
            table = batch.table
            if ROW_INDEX in table.column_names:
                # A picture is a file with one row, whatever its place in the shard.
                zeros = pa.array([0] * table.num_rows, pa.int64())
                table = table.set_column(table.column_names.index(ROW_INDEX), ROW_INDEX, zeros)
            yield replace(batch, table=table)

    def fingerprint(self) -> str:
        """Return the identity of the rows: settings, picture names, size and age of captions.

        Captions are as many as pictures: reading each here would take as long as the run's reading.
        """
        settings = self.model_dump(mode="json", exclude={"path", "captions", "shard_images"})
        if self.captions is not None:
            return records.fingerprint([settings, self._table().fingerprint()])
        names = [file.name for file in self._files()]
        captions = [state[1:] for state in stat(self._caption_path(name) for name in names)]
        places = sorted(self._places(names).items())
        return records.fingerprint([settings, self.images_under(), names, captions, places])

    def expressions(self) -> Columns:
        """Return the recipe's columns over the prompt, the caption and the picture."""
        prompt = "'" + self.prompt.replace("'", "''") + "'"
        return {"question": prompt, "answer": "caption", "images": "file_name", **self.columns}

    def images_under(self) -> str:
        """Return the folder of the pictures."""
        return root_of(self.path)

    def _files(self) -> list[InputFile]:
        """Return the pictures by name. Raises InputError when there is none."""
        return find(self.path, _is_picture)

    def _check(self, files: Sequence[InputFile]) -> None:
        places = self._places([file.name for file in files], say=True)
        schema = pa.schema([(name, pa.string()) for name in COLUMNS])
        self.bind(offered_schema(schema, columns) for columns in set(places.values()))

    def _places(self, names: Sequence[str], say: bool = False) -> dict[str, OriginColumns]:
        """Return the columns of each folder's path; with `say` a warning counts their splits."""
        folders = sorted({_folder(name) for name in names})
        silent = folders if SPLIT not in self.columns else ()
        return origins(self.name, self.images_under(), folders, silent, files_speak=False, say=say)

    def _caption_path(self, name: str) -> str:
        root = self.images_under()
        path = str(PurePosixPath(name).with_suffix(CAPTION_SUFFIX))
        if is_remote(root):
            return with_query(f"{without_query(root)}/{path}", root)
        return str(local_path(root) / path)

    def _table(self) -> TableReader:
        return TableReader(
            name=self.name,
            path=self.captions or "",
            image_root=self.path,
            columns=self.expressions(),
            answer_index=self.answer_index,
        )

    def _record(self, index: int, name: str, place: dict[str, str | None]) -> dict[str, Any] | Bad:
        path = PurePosixPath(name)
        names = {"file_name": name, "folder": str(path.parent), "stem": path.stem}
        fields: dict[str, Any] = {**place, FILENAME: name, **names, "caption": None}
        try:
            caption = resolve(str(path.with_suffix(CAPTION_SUFFIX)), self.images_under())
            return {**fields, "caption": read_bytes(caption).decode("utf-8-sig")}
        except FileNotFoundError:
            return fields
        except UnicodeDecodeError as error:
            return Bad(index, "not_utf8", f"the caption, byte {error.start}: {error.reason}")
        except InputError as error:
            return Bad(index, "reference_escapes", f"the caption: {error}")


def _is_picture(name: str) -> bool:
    return PurePosixPath(name.lower()).suffix in PICTURE_SUFFIXES


def _is_metadata(name: str) -> bool:
    return PurePosixPath(name).name in METADATA


def _folder(name: str) -> str:
    """Return a name that represents every picture of a picture's folder."""
    return str(PurePosixPath(name).parent / "*")


def _one_row_a_file(table: pa.Table, source: str, names: Sequence[str]) -> pa.Table:
    files = [names[at] for at in table["index"].to_pylist()]
    ids = [records.row_id(source, file, 0) for file in files]
    columns = {"row_id": ids, "file": files, "index": [0] * len(files)}
    for name, values in columns.items():
        field = table.schema.field(name)
        table = table.set_column(table.schema.get_field_index(name), field, [values])
    return table
