"""WebDataset tars: neighbouring members of one key make a record."""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from operator import itemgetter
from typing import Any, ClassVar, Final, Literal

import pyarrow as pa
from pydantic import Field

from curation import records
from curation.errors import InputError
from curation.sources.base import BlobStore, Reader, Shard
from curation.sources.batches import Bad, find_column, read_record, untyped_batch
from curation.sources.files import InputFile, find, fingerprints, root_of
from curation.sources.image_folder import IMAGE_SUFFIXES
from curation.sources.mapping import Mapper
from curation.sources.origin import SPLIT, OriginColumns, offered_schema, origins, with_origin
from curation.sources.rows import Place, build_rows
from curation.sources.storage import open_input
from curation.sources.tabular import Columns, check_columns

TAR_SUFFIXES: Final = (".tar", ".tar.gz", ".tgz")
SAMPLE_RECORDS: Final = 200
BATCH_RECORDS: Final = 500
TEXT_SUFFIXES: Final = (".txt", ".cls", ".caption", ".text")


class WebDatasetReader(Reader):
    """Records spread over tar members: pictures, a `.json` object, `.txt` and other texts.

    The key of a member is its path up to the first dot of its name, the rest is its suffix
    (`case7.0.png`, `case7.1.png` are two pictures of `case7`). The columns are the keys of the
    object, the text members by suffix, and `__key__`. Without a mapping of their own, question is
    `question` or `prompt`, answer is `answer` or the `.txt` member, messages is the chat.
    """

    reader: Literal["webdataset"] = "webdataset"
    path: str = Field(min_length=1)
    prompt: str = Field(default="Describe this image.", min_length=1)
    columns: Columns = Field(default_factory=dict)

    content: ClassVar[tuple[str, ...]] = ("question", "answer", "messages")

    def files(self) -> list[InputFile]:
        """The tars by name. Raises InputError when there is none."""
        return find(self.path, lambda name: name.lower().endswith(TAR_SUFFIXES))

    def check(self) -> None:
        """Bind the columns to the first records. Raises InputError when there are none."""
        self._check(self.files())

    def shards(self) -> list[Shard]:
        """One shard a tar. Raises InputError when there is nothing to read."""
        files = self.files()
        places = self._check(files)
        return [
            Shard(file.name, file.uri, 0, -1, 0, places[file.name]) for file in files if file.size
        ]

    def read(self, shard: Shard, blobs: BlobStore) -> Iterator[pa.Table]:
        """Yield ``ROWS`` tables of at most 500 rows of one tar; pictures go to `blobs`."""
        mapper = Mapper(self.columns, self._implied())
        place = Place(self.name, shard.file, None, blobs, self.answer_index)
        stream = samples(shard.uri, shard.file)
        while part := list(islice(stream, BATCH_RECORDS)):
            good = [(index, item) for index, item in part if isinstance(item, TarSample)]
            fields = [(index, item.fields) for index, item in good]
            images = [[blobs.put(data) for data in item.pictures] for _, item in good]
            bad = [item for _, item in part if isinstance(item, Bad)]
            members = [item.members for _, item in good]
            batch = untyped_batch(fields, mapper.needed, bad, images, members)
            whole = with_origin(batch, shard.file, shard.columns, mapper.needed)
            yield build_rows(place, mapper.map(whole), list(mapper.named))

    def fingerprint(self) -> str:
        """Identity of the rows: settings and the content of the tars."""
        settings = self.model_dump(mode="json", exclude={"path"})
        files = self.files()
        places = origins(self.name, root_of(self.path), [file.name for file in files], ())
        return records.fingerprint([settings, fingerprints(files), places])

    def _check(self, files: list[InputFile]) -> dict[str, OriginColumns]:
        names: dict[str, dict[str, None]] = {file.name: {} for file in files}
        count = 0
        for file in files:
            for _, item in islice(samples(file.uri, file.name), SAMPLE_RECORDS):
                count += 1
                if isinstance(item, TarSample):
                    names[file.name].update(dict.fromkeys(item.fields))
        if not count:
            raise InputError(f"{self.path!r} holds no records; give tars with at least one")
        silent = [
            name
            for name, fields in names.items()
            if SPLIT not in self.columns and find_column(SPLIT, list(fields)) is None
        ]
        places = origins(self.name, root_of(self.path), list(names), silent)
        present = dict.fromkeys(field for fields in names.values() for field in fields)
        schema = pa.schema([(name, pa.string()) for name in present])
        schemas = [offered_schema(schema, columns) for columns in set(places.values())]
        check_columns(self.name, self.columns, schemas, implied=self._implied())
        return places

    def _implied(self) -> Columns:
        prompt = "'" + self.prompt.replace("'", "''") + "'"
        if any(target in self.columns for target in self.content):
            return {"question": prompt} if "question" not in self.columns else {}
        return {
            "question": f"coalesce(question, {prompt})",
            "answer": "coalesce(answer, txt)",
            "messages": "coalesce(messages, conversations)",
        }


@dataclass(frozen=True, slots=True)
class TarSample:
    """The members of one key: the fields of its object and texts, and its pictures' bytes.

    `members` are the pictures' names in the tar, in the order of `pictures`.
    """

    fields: dict[str, Any]
    pictures: list[bytes]
    members: list[str]


def samples(uri: str, name: str) -> Iterator[tuple[int, TarSample | Bad]]:
    """(place, sample or why not) of each run of tar members with one key.

    A key that comes back later, or a suffix twice in a run, is a fault of that record. Raises
    InputError when the tar cannot be read to its end.
    """
    seen: set[str] = set()
    for index, (key, run) in enumerate(groupby(_members(uri, name), itemgetter(0))):
        members = list(run)
        suffixes = [suffix for _, suffix, _ in members]
        if key in seen:
            detail = f"key {key!r} came before; members of a record must stand side by side"
            yield index, Bad(index, "duplicate_key", detail)
        elif len(set(suffixes)) < len(suffixes):
            yield index, Bad(index, "duplicate_key", f"key {key!r} has one suffix twice")
        else:
            yield index, _sample(index, key, members)
        seen.add(key)


def _members(uri: str, name: str) -> Iterator[tuple[str, str, bytes]]:
    try:
        with open_input(uri) as raw, tarfile.open(fileobj=raw, mode="r|*") as tar:
            for member in tar:
                folder, _, base = member.name.rpartition("/")
                if not member.isfile() or base.startswith("."):
                    continue
                stem, _, suffix = base.partition(".")
                stream = tar.extractfile(member)
                data = stream.read() if stream is not None else b""
                yield f"{folder}/{stem}" if folder else stem, suffix.lower(), data
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise InputError(f"{name}: the tar cannot be read to its end: {error}") from error


def _sample(index: int, key: str, members: Sequence[tuple[str, str, bytes]]) -> TarSample | Bad:
    fields: dict[str, Any] = {"__key__": key}
    pictures: list[bytes] = []
    names: list[str] = []
    for _, suffix, data in members:
        last = "." + suffix.rpartition(".")[2]
        if last in IMAGE_SUFFIXES:
            pictures.append(data)
            names.append(f"{key}.{suffix}")
        elif suffix == "json":
            found = read_record(index, data)
            if isinstance(found, Bad):
                return found
            fields = {**found, **fields}
        elif last in TEXT_SUFFIXES:
            try:
                fields[suffix] = data.decode("utf-8")
            except UnicodeDecodeError as error:
                return Bad(index, "not_utf8", f"member .{suffix}, byte {error.start}")
    return TarSample(fields, pictures, names)
