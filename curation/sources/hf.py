"""Hugging Face datasets: a hub name, a `save_to_disk` folder, or Parquet with pictures inside."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
from pydantic import Field

from curation.sources.build_rows import Place, build_rows
from curation.sources.column_mapping import Mapper
from curation.sources.files import InputFile, content_hash
from curation.sources.path_columns import SPLIT, OriginColumns, offered_schema, with_origin
from curation.sources.reader import Shard, Unread
from curation.sources.record_batches import Batch, find_column
from curation.sources.sidecar_files import beside_columns
from curation.sources.tabular import Columns, TabularReader, check_columns
from curation.sources.unread_columns import PEEKED, Look, unread_columns
from medsift import records
from medsift.errors import InputError
from medsift.images.blob_store import BlobStore
from medsift.storage.locations import is_remote, local_path

logger = logging.getLogger(__name__)

SAVED_MARKS = ("dataset_dict.json", "state.json")


class HfReader(TabularReader):
    """Records of a Hugging Face dataset, mapped like a table's.

    `path` is a folder written by `save_to_disk`, a copy of a hub repository, data files, or else a
    hub name, of which `config`, `split` (default: all, each tagged with its name) and `revision`
    choose a part. In a copy of a repository the data set card or the hub's naming convention says
    which file is of which split; files named outright or by a glob have no such parts, and a
    copy has no other revisions: asking for them is refused. Pictures may be embedded
    ({bytes, path}); class labels arrive as their names.
    """

    reader: Literal["hf"] = "hf"
    config: str | None = None
    split: str | None = None
    revision: str | None = None
    shard_rows: int = Field(default=20_000, ge=1)
    batch_rows: int = Field(default=1_000, ge=1, le=5_000)

    def files(self) -> list[InputFile]:
        """The files of the chosen config and split. Raises InputError when there is none."""
        files = super().files()
        parts = self._parts()
        if parts is None:
            return files
        chosen = [file for file in files if file.name in parts]
        if not chosen:
            raise InputError(
                f"{self.path!r}: no file of its splits has a format of this reader",
                code="source_empty",
                source=self.name,
                path=self.path,
            )
        return [file for file in chosen if self.split in (None, parts[file.name])]

    def places(self, files: Sequence[InputFile], silent: Sequence[str]) -> dict[str, OriginColumns]:
        """The columns of each file's place; its split is the one that the repository says."""
        parts = self._parts()
        if parts is None:
            return super().places(files, silent)
        found = super().places(files, ())
        return {
            name: (*(pair for pair in columns if pair[0] != SPLIT), (SPLIT, parts[name]))
            for name, columns in found.items()
        }

    def _check(self, files: Sequence[InputFile]) -> dict[str, OriginColumns]:
        columns = super()._check(files)
        if self.split is None and self._parts() is not None:
            left = [file.name for file in super().files() if file.name not in columns]
            if left:
                logger.warning(
                    "source %r: %d files are in no split of the data set and are not read, the"
                    " first is %r",
                    self.name,
                    len(left),
                    left[0],
                )
        return columns

    def _parts(self) -> dict[str, str] | None:
        """The split of each file of a copied repository; None where it speaks of none."""
        folder = None if is_remote(self.path) else local_path(self.path)
        if folder is None or not folder.is_dir():
            if (self.config, self.split, self.revision) != (None, None, None):
                raise InputError(
                    f"source {self.name!r}: split, config and revision choose parts of a hub name"
                    f" or of a copy of its repository, not of the files {self.path!r}",
                    code="hub_option_unfit",
                    source=self.name,
                )
            return None
        if self.revision is not None:
            raise InputError(
                f"source {self.name!r}: {self.path!r} is a folder, which has one revision alone;"
                " leave revision out",
                code="hub_option_unfit",
                option="revision",
                source=self.name,
            )
        return _repository_splits(str(folder.absolute()), self.config, self.split)

    def check(self) -> None:
        """Bind the columns to the dataset's. Raises InputError when one is not there."""
        if self._is_files():
            super().check()
            return
        for name, data in self._splits().items():
            if len(data):
                columns = self._columns(name, data)
                schema = offered_schema(data.data.schema, ())
                check_columns(self.name, columns, [schema], self.needs)

    def shards(self) -> list[Shard]:
        """Cut each split by records. Raises InputError when there is nothing to read."""
        if self._is_files():
            return super().shards()
        self.check()
        step = self.shard_rows
        shards = [
            Shard(name, self.path, start, min(start + step, len(data)), start)
            for name, data in self._splits().items()
            for start in range(0, len(data), step)
        ]
        if not shards:
            raise InputError(
                f"dataset {self.path!r} holds no records",
                code="source_empty",
                source=self.name,
                path=self.path,
            )
        return shards

    def unread(self) -> list[Unread]:
        """The columns that nothing reads, by what the first records of each split hold."""
        if self._is_files():
            return super().unread()
        looks: list[Look] = [
            (data.column_names, partial(_first_rows, data)) for data in self._splits().values()
        ]
        return unread_columns(Mapper(self.expressions()), looks)

    def read(self, shard: Shard, blobs: BlobStore) -> Iterator[pa.Table]:
        """Yield ``ROWS`` tables of at most `batch_rows` rows of one shard."""
        if self._is_files():
            yield from super().read(shard, blobs)
            return
        data = self._splits()[shard.file]
        columns = self._columns(shard.file, data)
        mapper = Mapper(columns)
        place = Place(self.name, shard.file, self.images_under(), blobs, self.answer_index)
        wanted = mapper.needed
        arrow = data.with_format("arrow")
        names = [name for name in mapper.needed if find_column(name, arrow.column_names)]
        kept = [find_column(name, arrow.column_names) for name in names]
        beside = beside_columns(arrow.column_names)
        arrow = arrow.select_columns(list(dict.fromkeys([*kept, *beside])))
        for start in range(shard.start, shard.stop, self.batch_rows):
            stop = min(start + self.batch_rows, shard.stop)
            table = _decode_labels(arrow[start:stop], data.features)
            batch = with_origin(Batch(range(start, stop), table), shard.file, (), wanted)
            yield build_rows(place, mapper.map(batch), list(columns))

    def fingerprint(self) -> str:
        """Identity of the rows: settings and the content of the dataset's Arrow files."""
        if self._is_files():
            return super().fingerprint()
        hidden = {"path", "image_root", "shard_bytes", "shard_rows", "batch_rows"}
        settings = self.model_dump(mode="json", exclude=hidden)
        content = {
            name: [(len(data), _file_hash(file["filename"])) for file in data.cache_files]
            or data._fingerprint
            for name, data in self._splits().items()
        }
        return records.fingerprint([settings, self.images_under(), content])

    def images_under(self) -> str:
        """The folder that picture paths stand under: `image_root`, else the dataset's own."""
        if self._is_files() or self.image_root is not None:
            return super().images_under()
        return str(local_path(self.path))

    def _is_files(self) -> bool:
        if is_remote(self.path):
            return True
        local = local_path(self.path)
        if local.is_dir():
            return _saved_kind(local) is None
        return local.exists() or any(mark in self.path for mark in "*?[") or local.suffix != ""

    def _splits(self) -> dict[str, Any]:
        return _load(self.path, self.config, self.split, self.revision)

    def _columns(self, split: str, data: Any) -> Columns:
        columns = self.expressions()
        known = "split" in columns or find_column("split", data.column_names)
        return columns if known else {**columns, "split": "'" + split.replace("'", "''") + "'"}


@lru_cache(maxsize=4)
def _load(path: str, config: str | None, split: str | None, revision: str | None) -> dict[str, Any]:
    import datasets

    try:
        if local_path(path).is_dir():
            found = datasets.load_from_disk(str(local_path(path)))
        else:
            found = datasets.load_dataset(path, config, revision=revision)
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        line = str(error).strip().split("\n")[0]
        raise InputError(
            f"dataset {path!r} cannot be loaded: {line}",
            code="dataset_unloadable",
            dataset=path,
        ) from error
    splits = dict(found) if isinstance(found, Mapping) else {str(found.split or "train"): found}
    if split is None:
        return splits
    if split not in splits:
        raise InputError(
            f"dataset {path!r} has no split {split!r}; it has {sorted(splits)}",
            code="split_unknown",
            dataset=path,
            split=split,
            known=sorted(splits),
        )
    return {split: splits[split]}


def _repository_splits(folder: str, config: str | None, split: str | None) -> dict[str, str] | None:
    """The split of each data file by its name below a folder, as `datasets` reads the folder.

    None where neither a card nor a naming convention speaks of splits and none is asked for.
    """
    found = _data_files(folder, config)
    if split is not None and split not in found:
        raise InputError(
            f"dataset {folder!r} has no split {split!r}; it has {sorted(found)}",
            code="split_unknown",
            dataset=folder,
            split=split,
            known=sorted(found),
        )
    speaks = split is not None or len(found) > 1 or _has_card(Path(folder))
    if not speaks:
        return None
    named: dict[str, str] = {}
    for part, files in found.items():
        for file in files:
            if named.setdefault(file, part) != part:
                raise InputError(
                    f"dataset {folder!r}: {file!r} is in the splits {named[file]!r} and {part!r};"
                    " choose one with split",
                    code="split_unclear",
                    dataset=folder,
                    file=file,
                )
    return named if split is None else {file: split for file in found[split]}


def _data_files(folder: str, config: str | None) -> dict[str, list[str]]:
    """Names below the folder of the data files of each split."""
    import datasets

    try:
        builder = datasets.load_dataset_builder(folder, config)
    except (OSError, ValueError, TypeError, datasets.exceptions.DatasetsError) as error:
        line = " ".join(str(error).split("Example of usage")[0].split())
        raise InputError(
            f"dataset {folder!r}: {line or type(error).__name__}",
            code="dataset_unloadable",
            dataset=folder,
        ) from error
    return {
        str(split): [Path(file).relative_to(folder).as_posix() for file in files]
        for split, files in (builder.config.data_files or {}).items()
    }


def _has_card(folder: Path) -> bool:
    """Whether the folder's card names data files itself."""
    card = folder / "README.md"
    return card.is_file() and "data_files" in card.read_text(encoding="utf-8", errors="replace")


def _first_rows(data: Any, columns: list[str]) -> pa.Table | None:
    return data.with_format("arrow").select_columns(columns)[:PEEKED] if len(data) else None


def _saved_kind(folder: Path) -> str | None:
    return next((mark for mark in SAVED_MARKS if (folder / mark).is_file()), None)


def _file_hash(path: str) -> str:
    return content_hash(path, Path(path).stat().st_size)


def _decode_labels(table: pa.Table, features: Any) -> pa.Table:
    import datasets

    for at, name in enumerate(table.column_names):
        feature = features[name]
        if isinstance(feature, datasets.ClassLabel):
            labels = [
                feature.int2str(value) if value is not None and value >= 0 else None
                for value in table[name].to_pylist()
            ]
            table = table.set_column(at, name, pa.array(labels, pa.string()))
    return table
