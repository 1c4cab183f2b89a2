"""A folder of pictures with captions: a text file beside each, or one table for all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any, Final, Literal

import pyarrow as pa
from pydantic import Field

from curation import records
from curation.errors import InputError
from curation.sources.base import BlobStore, Reader, Shard
from curation.sources.batches import Bad
from curation.sources.files import InputFile, find, root_of
from curation.sources.formats import in_batches
from curation.sources.mapping import Mapper
from curation.sources.references import read_bytes, resolve
from curation.sources.rows import Place, build_rows
from curation.sources.table import TableReader
from curation.sources.tabular import Columns, check_columns

IMAGE_SUFFIXES: Final = (
    *(".png", ".jpg", ".jpeg", ".jpe", ".webp", ".bmp", ".gif"),
    *(".tif", ".tiff", ".dcm", ".dicom"),
)
COLUMNS: Final = ("file_name", "folder", "stem", "caption")


class ImageFolderReader(Reader):
    """Pictures below `path` whose caption is the answer and `prompt` the question.

    The caption of `a/b.png` stands in `a/b.txt`; or `captions` names a CSV or JSON Lines table
    with the columns `file_name` (below `path`) and `caption`, one row a caption. `columns` maps
    further targets from `file_name`, `folder`, `stem` and `caption`, or from the table's columns.
    """

    reader: Literal["image_folder"] = "image_folder"
    path: str = Field(min_length=1)
    captions: str | None = None
    prompt: str = Field(default="Describe this image.", min_length=1)
    columns: Columns = Field(default_factory=dict)
    shard_images: int = Field(default=20_000, ge=1)

    def files(self) -> list[InputFile]:
        """The pictures by name. Raises InputError when there is none."""
        return find(self.path, lambda name: PurePosixPath(name.lower()).suffix in IMAGE_SUFFIXES)

    def check(self) -> None:
        """Bind the columns. Raises InputError when there is no picture or no caption table."""
        if self.captions is not None:
            self._table().check()
            return
        self.files()
        schema = pa.schema([(name, pa.string()) for name in COLUMNS])
        check_columns(self.name, self._expressions(), [schema])

    def shards(self) -> list[Shard]:
        """Runs of pictures in name order, or the shards of the caption table."""
        self.check()
        if self.captions is not None:
            return self._table().shards()
        count, step = len(self.files()), self.shard_images
        return [
            Shard("", self.path, start, min(start + step, count), start)
            for start in range(0, count, step)
        ]

    def read(self, shard: Shard, blobs: BlobStore) -> Iterator[pa.Table]:
        """Yield ``ROWS`` tables; without a caption table each picture is a file with one row."""
        if self.captions is not None:
            yield from self._table().read(shard, blobs)
            return
        mapper = Mapper(self._expressions())
        place = Place(self.name, "", self._root(), blobs, self.answer_index)
        files = self.files()[shard.start : shard.stop]
        found = ((at, self._record(at, file.name)) for at, file in enumerate(files))
        for batch in in_batches(found, mapper.needed):
            table = build_rows(place, mapper.map(batch), list(mapper.named))
            yield _one_row_a_file(table, self.name, [file.name for file in files])

    def fingerprint(self) -> str:
        """Identity of the rows: settings, names of the pictures, content of the captions."""
        settings = self.model_dump(mode="json", exclude={"path", "captions", "shard_images"})
        if self.captions is not None:
            return records.fingerprint([settings, self._table().fingerprint()])
        captions = [self._record(0, file.name) for file in self.files()]
        return records.fingerprint([settings, self._root(), [str(item) for item in captions]])

    def _expressions(self) -> Columns:
        return {
            "question": "'" + self.prompt.replace("'", "''") + "'",
            "answer": "caption",
            "images": "file_name",
            **self.columns,
        }

    def _table(self) -> TableReader:
        return TableReader(
            name=self.name,
            path=self.captions or "",
            image_root=self.path,
            columns=self._expressions(),
            answer_index=self.answer_index,
        )

    def _root(self) -> str:
        return root_of(self.path)

    def _record(self, index: int, name: str) -> dict[str, Any] | Bad:
        path = PurePosixPath(name)
        fields = {"file_name": name, "folder": str(path.parent), "stem": path.stem}
        try:
            caption = read_bytes(resolve(str(path.with_suffix(".txt")), self._root()))
            return {**fields, "caption": caption.decode("utf-8-sig")}
        except FileNotFoundError:
            return {**fields, "caption": None}
        except UnicodeDecodeError as error:
            return Bad(index, "not_utf8", f"the caption, byte {error.start}: {error.reason}")
        except InputError as error:
            return Bad(index, "reference_escapes", f"the caption: {error}")


def _one_row_a_file(table: pa.Table, source: str, names: Sequence[str]) -> pa.Table:
    files = [names[at] for at in table["index"].to_pylist()]
    ids = [records.row_id(source, file, 0) for file in files]
    columns = {"row_id": ids, "file": files, "index": [0] * len(files)}
    for name, values in columns.items():
        field = table.schema.field(name)
        table = table.set_column(table.schema.get_field_index(name), field, [values])
    return table
