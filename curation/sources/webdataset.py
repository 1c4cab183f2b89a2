"""WebDataset tars: neighbouring members of one key make a record."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby, islice
from operator import attrgetter
from typing import Any, Final, Literal

import pyarrow as pa
from pydantic import Field

from curation.sources.files import InputFile, find, fingerprints, refuse_empty, root_of
from curation.sources.jsonfiles import LINE_BYTES
from curation.sources.path_columns import OriginColumns, offered_schema, origins, without_split
from curation.sources.pictures import is_picture
from curation.sources.reader import Columns, Reader, Shard
from curation.sources.record_batches import BATCH_BYTES, Bad, Batch, read_record, untyped_batch
from curation.sources.suffixes import MEDIA_SUFFIXES, PICTURE_SUFFIXES
from curation.sources.tarfiles import Limits, Member, members
from curation.sources.unread_columns import Look
from medsift import records
from medsift.images.blob_store import BlobStore

TAR_SUFFIXES: Final = (".tar", ".tar.gz", ".tgz")
KEY: Final = "__key__"
SAMPLE_RECORDS: Final = 200
BATCH_RECORDS: Final = 500
TEXT_SUFFIXES: Final = (".txt", ".cls", ".caption", ".text")
DIGITS: Final = "0123456789."
ORDINARY: Final = re.compile(r"(?:images?|img|pictures?|pic|photo|frame|slice|view|page)?[-_]?\d*")
"""Names between key and suffix that make a member a picture: numbers and plain words."""
Role = Literal["picture", "named", "object", "text", "media", "other"]


class WebDatasetReader(Reader):
    """Records spread over tar members: pictures, a `.json` object, `.txt` and other texts.

    The key of a member is its path up to the first dot of its name, the rest is its suffix
    (`case7.0.png`, `case7.1.png` are two pictures of `case7`). The columns are the keys of the
    object, the text members by suffix, and `__key__`. Without a mapping of their own, question is
    `question` or `prompt`, answer is `answer` or the `.txt` member, messages is the chat.

    A picture is a member whose suffix is a picture's (`png`; formats that are not decoded too, so
    that their rows fail), numbered or called `image`, `img`, `view` and the like. One of another
    name (`mask.png`) is noted and left out next to such a picture; alone it fails the record, as
    films and sounds do. `pictures` says instead which suffixes are read, with or without numbers
    before them, and no others.
    """

    reader: Literal["webdataset"] = "webdataset"
    """Kind of source."""
    prompt: str = Field(default="Describe this image.", min_length=1)
    """Question of records that have none of their own."""
    pictures: tuple[str, ...] | None = None
    """Suffixes of the members that are pictures, for example `[png, jpg]` or `[mask.png]`; null
    takes every usual one."""
    record_bytes: int = Field(default=512 << 20, ge=1)
    """Most bytes that the members of one record may hold together; more fail that record."""
    text_bytes: int = Field(default=LINE_BYTES, ge=1)
    """Most bytes of a `.json` or text member; more fail that record."""
    file_bytes: int = Field(default=64 << 30, ge=1)
    """Most bytes that a packed tar may unpack to; a plain tar may be as large as it is."""

    def files(self) -> list[InputFile]:
        """Return the tars by name. Raises InputError when there is none."""
        return find(self.path, lambda name: name.lower().endswith(TAR_SUFFIXES))

    def check(self) -> None:
        """Bind the columns to the first records. Raises InputError when there are none."""
        self._check(self.files())

    def shards(self) -> list[Shard]:
        """Return one shard for each tar. Raises InputError when there is nothing to read."""
        files = self.files()
        places = self._check(files)
        return [
            Shard(file.name, file.uri, 0, file.size, 0, places[file.name])
            for file in files
            if file.size
        ]

    def batches(self, shard: Shard, columns: Sequence[str], blobs: BlobStore) -> Iterator[Batch]:
        """Yield the records of a tar, at most 500 at once; their pictures go to `blobs`."""
        stream = samples(shard.uri, shard.file, self._limits(shard.stop), self._chosen(), blobs.put)
        for part in _bounded(stream):
            fields = [(index, item.fields) for index, item in part if isinstance(item, TarSample)]
            good = [item for _, item in part if isinstance(item, TarSample)]
            bad = [item for _, item in part if isinstance(item, Bad)]
            images, members = [item.pictures for item in good], [item.members for item in good]
            batch = untyped_batch(fields, columns, bad, images, members)
            yield replace(batch, notes=[item.notes for item in good])

    def first_records(self) -> Iterator[Look]:
        """Yield the fields of each tar's first records, with those records."""
        for file in self.files():
            fields = [
                (at, item.fields) for at, item in self._first(file) if isinstance(item, TarSample)
            ]
            names = dict.fromkeys(name for _, record in fields for name in record)
            names.pop(KEY, None)  # the name that every record has
            yield list(names), partial(_table_of, fields)

    def fingerprint(self) -> str:
        """Return the identity of the rows: settings and the content of the tars."""
        settings = self.model_dump(mode="json", exclude={"path"})
        files = self.files()
        places = origins(self.name, root_of(self.path), [file.name for file in files], ())
        return records.fingerprint([settings, fingerprints(files), places])

    def implied(self) -> Columns:
        """Return question, answer and messages as the usual members of a tar hold them."""
        prompt = "'" + self.prompt.replace("'", "''") + "'"
        if not self.columns.keys().isdisjoint(("question", "answer", "messages")):
            return {"question": prompt} if "question" not in self.columns else {}
        return {
            "question": f"coalesce(question, {prompt})",
            "answer": "coalesce(answer, txt)",
            "messages": "coalesce(messages, conversations)",
        }

    def _check(self, files: list[InputFile]) -> dict[str, OriginColumns]:
        refuse_empty(self.name, self.path, files)
        names: dict[str, dict[str, None]] = {file.name: {} for file in files}
        count = 0
        for file in (file for file in files if file.size):
            for _, item in self._first(file):
                count += 1
                if isinstance(item, TarSample):
                    names[file.name].update(dict.fromkeys(item.fields))
        if not count:
            raise self.no_records()
        silent = without_split(self.columns, names)
        places = origins(self.name, root_of(self.path), list(names), silent)
        # Tars of one set hold the same members, so a field of any of them counts for all.
        present = dict.fromkeys(field for fields in names.values() for field in fields)
        schema = pa.schema([(name, pa.string()) for name in present])
        self.bind(offered_schema(schema, columns) for columns in set(places.values()))
        return places

    def _first(self, file: InputFile) -> Iterator[tuple[int, TarSample | Bad]]:
        limits = self._limits(file.size)
        first = samples(file.uri, file.name, limits, self._chosen(), store=lambda _: "")
        return islice(first, SAMPLE_RECORDS)

    def _limits(self, size: int) -> Limits:
        """Return the limits of a tar of `size` bytes, which may always be read as it is stored."""
        return Limits(self.record_bytes, self.text_bytes, max(self.file_bytes, size))

    def _chosen(self) -> frozenset[str] | None:
        chosen = self.pictures
        return None if chosen is None else frozenset(name.lower().lstrip(".") for name in chosen)


@dataclass(frozen=True, slots=True)
class TarSample:
    """The record of one key: the fields of its objects and texts, and its stored pictures.

    `members` are the names of `pictures` in the tar; `notes` name the members that are not read.
    """

    fields: dict[str, Any]
    pictures: list[str]
    members: list[str]
    notes: list[str]


def samples(
    uri: str,
    name: str,
    limits: Limits,
    chosen: frozenset[str] | None,
    store: Callable[[bytes], str],
) -> Iterator[tuple[int, TarSample | Bad]]:
    """Yield (place, sample or fault) of each run of tar members with one key.

    A key that comes back later, a suffix twice in a run, and a member that is no file or too large
    are faults of that record. Raises InputError when the tar cannot be read to its end.

    Args:
        uri: Where the tar is.
        name: Its name in errors.
        limits: Bytes that its members may have.
        chosen: Suffixes of the members that are pictures, in lower case without a dot before them;
            None takes every usual one.
        store: Keeps the bytes of a picture and returns a reference to them.
    """
    seen: set[str] = set()
    for index, (key, run) in enumerate(groupby(members(uri, name, limits), attrgetter("key"))):
        listed = list(run)
        suffixes = [member.suffix for member in listed]
        fault = next((member.fault for member in listed if member.fault), None)
        if key in seen:
            detail = f"key {key!r} came before; members of a record must stand side by side"
            yield index, Bad(index, "duplicate_key", detail)
        elif fault is not None:
            yield index, Bad(index, *fault)
        elif len(set(suffixes)) < len(suffixes):
            yield index, Bad(index, "duplicate_key", f"key {key!r} has one suffix twice")
        else:
            yield index, _sample(index, key, listed, chosen, store)
        seen.add(key)


def _bounded(
    stream: Iterator[tuple[int, TarSample | Bad]],
) -> Iterator[list[tuple[int, TarSample | Bad]]]:
    """Yield runs of at most 500 records whose texts are not too large together."""
    part: list[tuple[int, TarSample | Bad]] = []
    size = 0
    for index, item in stream:
        part.append((index, item))
        if isinstance(item, TarSample):
            size += sum(len(value) for value in item.fields.values() if isinstance(value, str))
        if len(part) == BATCH_RECORDS or size > BATCH_BYTES:
            yield part
            part, size = [], 0
    if part:
        yield part


def _sample(
    index: int,
    key: str,
    listed: Sequence[Member],
    chosen: frozenset[str] | None,
    store: Callable[[bytes], str],
) -> TarSample | Bad:
    roles: list[tuple[Role, Member]] = []
    for member in listed:
        role = _role(member.suffix, chosen)
        # A picture under a suffix that is no picture's is recognised by its bytes.
        named = role == "other" and is_picture(member.data[:200])
        roles.append(("named" if named else role, member))
    pictures = [member for role, member in roles if role == "picture"]
    unread = [member for role, member in roles if role in ("named", "media", "other")]
    if chosen is None and (bad := _unclear(index, roles, bool(pictures))):
        return bad
    fields = _fields(index, key, roles)
    if isinstance(fields, Bad):
        return fields
    notes = [f"members: .{member.suffix} not read" for member in unread]
    stored, names = [store(member.data) for member in pictures], [item.name for item in pictures]
    return TarSample(fields, stored, names, notes)


def _role(suffix: str, chosen: frozenset[str] | None) -> Role:
    middle, _, last = suffix.rpartition(".")
    if chosen is not None and (suffix in chosen or (last in chosen and not middle.strip(DIGITS))):
        return "picture"
    if last == "json":
        return "object"
    if f".{last}" in TEXT_SUFFIXES:
        return "text"
    if f".{last}" in PICTURE_SUFFIXES:
        ordinary = chosen is None and all(map(ORDINARY.fullmatch, middle.split(".")))
        return "picture" if ordinary else "named"
    return "media" if {f".{last}", f".{suffix}"} & MEDIA_SUFFIXES else "other"


def _unclear(index: int, roles: Sequence[tuple[Role, Member]], pictured: bool) -> Bad | None:
    """Return why a record is refused rather than read without what it is about."""
    for role, member in roles:
        if role == "media":
            detail = f"member {member.name!r} is a film, a sound or a volume, which is not read"
            return Bad(index, "media_member", f"{detail}; list the suffixes to read in pictures")
    named = [member.suffix for role, member in roles if role == "named"]
    if named and not pictured:
        detail = f"its pictures are named {', '.join(named)}; say in pictures which are read"
        return Bad(index, "named_pictures", detail)
    return None


def _fields(index: int, key: str, roles: Sequence[tuple[Role, Member]]) -> dict[str, Any] | Bad:
    """Return the columns of a record: keys of its objects, `.json` first, and its texts."""
    fields: dict[str, Any] = {}
    objects = [member for role, member in roles if role == "object"]
    for member in sorted(objects, key=lambda item: len(item.suffix)):
        values = read_record(index, member.data)
        if isinstance(values, Bad):
            return values
        if clash := [name for name in values if name in fields and fields[name] != values[name]]:
            detail = f"the objects of {key!r} disagree about {clash[0]!r}"
            return Bad(index, "duplicate_key", detail)
        fields |= values
    for role, member in roles:
        if role == "text":
            try:
                fields[member.suffix] = member.data.decode("utf-8")
            except UnicodeDecodeError as error:
                return Bad(index, "not_utf8", f"member .{member.suffix}, byte {error.start}")
    return {**fields, KEY: key}


def _table_of(fields: Sequence[tuple[int, dict[str, Any]]], columns: Sequence[str]) -> pa.Table:
    return untyped_batch(fields, columns).table
