"""Hugging Face datasets: a hub name, a `save_to_disk` folder, or Parquet with pictures inside."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
from pydantic import Field

from curation.sources.files import InputFile, content_hash
from curation.sources.hub_card import refuse_foreign_files
from curation.sources.path_columns import SPLIT, OriginColumns, offered_schema
from curation.sources.reader import Shard
from curation.sources.record_batches import Batch, find_column, read_columns
from curation.sources.tabular import TabularReader
from curation.sources.unread_columns import PEEKED, Look
from medsift import records
from medsift.errors import InputError
from medsift.images.blob_store import BlobStore
from medsift.storage.locations import is_remote, local_path

logger = logging.getLogger(__name__)

SAVED_MARKS = ("dataset_dict.json", "state.json")
"""Files by which a folder is one that `save_to_disk` wrote."""


class HfReader(TabularReader):
    """Records of a Hugging Face dataset, mapped like a table's.

    `path` is a folder written by `save_to_disk`, a copy of a hub repository, data files, or else a
    hub name, of which `config`, `split` and `revision` choose a part. In a copy of a repository the
    data set card or the hub's naming convention says which file is of which split; files named
    outright or by a glob have no such parts, and a copy has no other revisions: asking for them is
    refused. Pictures may be embedded ({bytes, path}); class labels arrive as their names.
    """

    reader: Literal["hf"] = "hf"
    """Kind of source."""
    config: str | None = None
    """Configuration of the data set; null takes its only or default one."""
    split: str | None = None
    """Split to read; null reads all of them, each row tagged with the name of its split."""
    revision: str | None = None
    """Branch, tag or commit of the hub's repository; null takes its main branch."""
    shard_rows: int = Field(default=20_000, ge=1)
    """Rows of a data set that one worker reads at a time; changes no row."""
    batch_rows: int = Field(default=1_000, ge=1, le=5_000)
    """Rows of a data set that are in memory at a time; changes no row."""

    def files(self) -> list[InputFile]:
        """Return the files of the chosen config and split. Raises InputError when there is none."""
        files = super().files()
        parts = self._parts()
        if parts is None:
            return files
        chosen = [file for file in files if file.name in parts]
        if not chosen:
            words = f"{self.path!r}: no file of its splits has a format of this reader"
            raise InputError(words, code="source_empty", source=self.name, path=self.path)
        return [file for file in chosen if self.split in (None, parts[file.name])]

    def places(self, files: Sequence[InputFile], silent: Sequence[str]) -> dict[str, OriginColumns]:
        """Return the columns of each file's path, with the split that the repository names."""
        parts = self._parts()
        if parts is None:
            return super().places(files, silent)
        return {
            name: (*(pair for pair in columns if pair[0] != SPLIT), (SPLIT, parts[name]))
            for name, columns in super().places(files, ()).items()
        }

    def check(self) -> None:
        """Bind the columns to the dataset's. Raises InputError when one is not there."""
        if self._is_files():
            super().check()
            return
        for name, data in self._splits().items():
            if len(data):
                self.bind([offered_schema(data.data.schema, self._split_column(name, data))])

    def shards(self) -> list[Shard]:
        """Cut each split by records. Raises InputError when there is nothing to read."""
        if self._is_files():
            return super().shards()
        self.check()
        shards: list[Shard] = []
        for name, data in self._splits().items():
            columns = self._split_column(name, data)
            for start in range(0, len(data), self.shard_rows):
                stop = min(start + self.shard_rows, len(data))
                shards.append(Shard(name, self.path, start, stop, start, columns))
        if not shards:
            raise self.no_records()
        return shards

    def first_records(self) -> Iterator[Look]:
        """Yield the columns of each file or split, with what reads its first records."""
        if self._is_files():
            yield from super().first_records()
            return
        for data in self._splits().values():
            yield data.column_names, partial(_first_rows, data)

    def batches(self, shard: Shard, columns: Sequence[str], blobs: BlobStore) -> Iterator[Batch]:
        """Yield the records of a shard, at most `batch_rows` at once."""
        if self._is_files():
            yield from super().batches(shard, columns, blobs)
            return
        data = self._splits()[shard.file]
        chosen = read_columns(columns, data.column_names)
        arrow = data.with_format("arrow").select_columns(chosen)
        for start in range(shard.start, shard.stop, self.batch_rows):
            stop = min(start + self.batch_rows, shard.stop)
            yield Batch(range(start, stop), _decode_labels(arrow[start:stop], data.features))

    def fingerprint(self) -> str:
        """Return the identity of the rows: settings and content of the dataset's Arrow files."""
        if self._is_files():
            return super().fingerprint()
        hidden = {"path", "image_root", "shard_bytes", "shard_rows", "batch_rows"}
        settings = self.model_dump(mode="json", exclude=hidden)
        content = {}
        for name, data in self._splits().items():
            paths = [Path(file["filename"]) for file in data.cache_files]
            files = [(len(data), content_hash(str(path), path.stat().st_size)) for path in paths]
            content[name] = files or data._fingerprint
        return records.fingerprint([settings, self.images_under(), content])

    def images_under(self) -> str:
        """Return the folder of picture paths: `image_root`, else the dataset's own."""
        if self._is_files() or self.image_root is not None:
            return super().images_under()
        return str(local_path(self.path))

    def _check(self, files: Sequence[InputFile]) -> dict[str, OriginColumns]:
        columns = super()._check(files)
        if self.split is None and self._parts() is not None:
            left = [file.name for file in super().files() if file.name not in columns]
            if left:
                words = "source %r: %d files are in no split and are not read, the first is %r"
                logger.warning(words, self.name, len(left), left[0])
        return columns

    def _parts(self) -> dict[str, str] | None:
        """Return the split of each file of a copied repository, None where it names no splits."""
        folder = None if is_remote(self.path) else local_path(self.path)
        if folder is None or not folder.is_dir():
            if (self.config, self.split, self.revision) != (None, None, None):
                words = f"source {self.name!r}: split, config and revision choose parts of a hub"
                words += f" name or of a copy of its repository, not of the files {self.path!r}"
                raise InputError(words, code="hub_option_unfit", source=self.name)
            return None
        if self.revision is not None:
            words = f"{self.path!r} is a folder, which has one revision alone; leave revision out"
            values = {"option": "revision", "source": self.name}
            raise InputError(f"source {self.name!r}: {words}", code="hub_option_unfit", **values)
        return _repository_splits(str(folder.absolute()), self.config, self.split)

    def _is_files(self) -> bool:
        if is_remote(self.path):
            return True
        local = local_path(self.path)
        if local.is_dir():
            return not any((local / mark).is_file() for mark in SAVED_MARKS)
        return local.exists() or any(mark in self.path for mark in "*?[") or local.suffix != ""

    def _splits(self) -> dict[str, Any]:
        return _load(self.path, self.config, self.split, self.revision)

    def _split_column(self, split: str, data: Any) -> OriginColumns:
        """Return the name of a split as a column, where neither recipe nor data has one."""
        known = SPLIT in self.expressions() or find_column(SPLIT, data.column_names)
        return () if known else ((SPLIT, split),)


@lru_cache(maxsize=4)
def _load(path: str, config: str | None, split: str | None, revision: str | None) -> dict[str, Any]:
    import datasets

    try:
        if local_path(path).is_dir():
            data = datasets.load_from_disk(str(local_path(path)))
        else:
            refuse_foreign_files(path, revision)
            data = datasets.load_dataset(path, config, revision=revision)
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        words = f"dataset {path!r} cannot be loaded: " + str(error).strip().split("\n")[0]
        raise InputError(words, code="dataset_unloadable", dataset=path) from error
    splits = dict(data) if isinstance(data, Mapping) else {str(data.split or "train"): data}
    if split is None:
        return splits
    _check_split(path, split, splits)
    return {split: splits[split]}


def _check_split(dataset: str, split: str, known: Iterable[str]) -> None:
    if split not in known:
        words = f"dataset {dataset!r} has no split {split!r}; it has {sorted(known)}"
        values = {"dataset": dataset, "split": split, "known": sorted(known)}
        raise InputError(words, code="split_unknown", **values)


def _repository_splits(folder: str, config: str | None, split: str | None) -> dict[str, str] | None:
    """Return the split of each data file below a folder, as `datasets` reads the folder.

    None where neither a card nor a naming convention names splits and none is asked for.
    """
    parts = _data_files(folder, config)
    if split is not None:
        _check_split(folder, split, parts)
    card = Path(folder) / "README.md"
    has_card = card.is_file() and "data_files" in card.read_text("utf-8", errors="replace")
    if split is None and len(parts) < 2 and not has_card:
        return None
    split_by_file: dict[str, str] = {}
    for part, files in parts.items():
        for file in files:
            if (other := split_by_file.setdefault(file, part)) != part:
                words = f"{file!r} is in the splits {other!r} and {part!r}; choose one with split"
                words = f"dataset {folder!r}: {words}"
                raise InputError(words, code="split_unclear", dataset=folder, file=file)
    return split_by_file if split is None else {file: split for file in parts[split]}


def _data_files(folder: str, config: str | None) -> dict[str, list[str]]:
    """Return the names below the folder of the data files of each split."""
    import datasets

    refuse_foreign_files(folder)
    try:
        builder = datasets.load_dataset_builder(folder, config)
    except (OSError, ValueError, TypeError, datasets.exceptions.DatasetsError) as error:
        line = " ".join(str(error).split("Example of usage")[0].split())
        words = f"dataset {folder!r}: {line or type(error).__name__}"
        raise InputError(words, code="dataset_unloadable", dataset=folder) from error
    return {
        str(split): [Path(file).relative_to(folder).as_posix() for file in files]
        for split, files in (builder.config.data_files or {}).items()
    }


def _first_rows(data: Any, columns: list[str]) -> pa.Table | None:
    return data.with_format("arrow").select_columns(columns)[:PEEKED] if len(data) else None


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
