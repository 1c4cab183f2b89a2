"""Build the ``ROWS`` table of mapped records: resolve pictures, read chats, record faults."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa

from curation.sources.answers import AnswerIndex, choose
from curation.sources.cell_values import is_nothing, list_value
from curation.sources.column_mapping import ALIASES, CONTENT, Mapped
from curation.sources.conversations import Chat, Turn, read_conversation, read_history
from curation.sources.picture_marks import Marks, turn_names
from curation.sources.pictures import pictures_of, store_image
from curation.sources.record_batches import Bad, whole_text
from curation.sources.row_faults import FOREIGN, MALFORMED_IMAGE, RowFault, bad_row, chat_fault
from curation.sources.side_columns import MEDIA, option_columns
from curation.sources.volume_slices import VOLUME_NOTES, VolumeSlices, spread_marks
from medsift import records
from medsift.errors import InputError
from medsift.images.blob_store import BlobStore
from medsift.images.volumes.read import split_series
from medsift.text import shown

logger = logging.getLogger(__name__)

OPTIONS_UNREAD: Final = "options: not read beside a conversation"
OWN_PICTURES: Final = "images: the record's own pictures are taken, not what it names"
OWN_SYSTEM: Final = "messages: the conversation's own system turn is taken, not the column's"
WARNED: Final = (
    rf"messages: not read|members: \.|{OPTIONS_UNREAD}|{OWN_PICTURES}|{OWN_SYSTEM}|{VOLUME_NOTES}"
)
"""Beginnings of notes that say what was not read of a row; a run reports how many there are."""


@dataclass(frozen=True, slots=True)
class Place:
    """The source and file of rows, where their pictures are, and the number of the first option.

    `volumes` cuts volumes into slices; None takes every reference for a plain picture.
    """

    source: str
    file: str
    image_root: str | None
    blobs: BlobStore
    answer_index: AnswerIndex = None
    volumes: VolumeSlices | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """One record after mapping: its targets, the columns next to them, and its own pictures.

    `named` are the targets that the recipe maps; `members` are the names of `own`.
    """

    values: Mapping[str, Any]
    side: Mapping[str, Any]
    named: Sequence[str]
    own: Sequence[str] = ()
    members: Sequence[str] = ()

    def every(self, target: str) -> list[Any]:
        """Return the values of the target and of its other names that are not empty."""
        names = (target,) if target in self.named else (target, *ALIASES.get(target, ()))
        values = (self.values.get(name) for name in names)
        return [value for value in values if not is_nothing(value)]

    def side_value(self, wanted: str) -> Any:
        """Return the value of the column of that name in any case, or None."""
        return next((value for name, value in self.side.items() if name.casefold() == wanted), None)

    def first(self, target: str) -> Any:
        """Return the first of these, or None."""
        return next(iter(self.every(target)), None)


def build_rows(place: Place, mapped: Mapped, named: Sequence[str]) -> pa.Table:
    """Return the rows of a batch by index; `named` are the recipe's targets.

    Whatever the data of one row makes Python raise fails that row alone.
    """
    rows = [_failed(place, bad) for bad in mapped.bad]
    extra = [name for name in named if name not in CONTENT and name not in records.TAGS]
    for at, index in enumerate(mapped.indexes):
        record = Record(
            {name: column[at] for name, column in mapped.values.items()},
            {name: column[at] for name, column in mapped.side.items()},
            named,
            mapped.images[at] if mapped.images is not None else (),
            mapped.members[at] if mapped.members is not None else (),
        )
        try:
            row = _identity(place, index) | _contents(place, record, extra, mapped.notes[at])
        except (RowFault, *FOREIGN) as error:
            if not isinstance(error, RowFault):
                logger.debug("row %d of %s", index, place.file, exc_info=True)
            row = _failed(place, bad_row(index, error))
        rows.append(row)
    rows.sort(key=lambda row: row["index"])
    return pa.Table.from_pylist(rows, schema=records.ROWS)


def _identity(place: Place, index: int) -> dict[str, Any]:
    row_id = records.row_id(place.source, place.file, index)
    return {"row_id": row_id, "source": place.source, "file": place.file, "index": index}


def _failed(place: Place, bad: Bad) -> dict[str, Any]:
    fault: dict[str, Any] = {"notes": [], "error": bad.error, "detail": whole_text(bad.detail)}
    return _identity(place, bad.index) | fault


def _contents(
    place: Place, record: Record, extra: Sequence[str], notes: Sequence[str]
) -> dict[str, Any]:
    for target in ("question", "answer", *records.TAGS, *extra):
        if isinstance(value := record.values.get(target), bytes):
            raise RowFault("not_utf8", f"{target} holds bytes that are no text: {shown(value)}")
    try:
        _check_media(record)
        chat, options = _read_chat(place, record)
    except InputError as error:
        raise chat_fault(error) from error
    try:
        columns = [pictures_of(value) for value in record.every("images")]
    except InputError as error:
        raise RowFault(MALFORMED_IMAGE, error) from error
    marks = Marks()
    names = turn_names([turn["role"] for turn in chat.turns])
    turns = [
        {"role": whole_text(turn["role"]), "content": whole_text(marks.read(turn["content"], name))}
        for turn, name in zip(chat.turns, names, strict=True)
    ]
    # Pictures inside the chat are in their places; the column repeats or completes them.
    inside = chat.pictures or marks.paths
    images, more_notes = _images(place, record, inside or _agreed(columns))
    tags = {tag: record.values.get(tag) for tag in records.TAGS}
    volumes = None
    if place.volumes is not None and images:
        row = place.volumes.spread(images, tags, record.values)
        texts = spread_marks([turn["content"] for turn in turns], row.sizes)
        turns = [{**turn, "content": text} for turn, text in zip(turns, texts, strict=True)]
        images, tags, volumes = row.refs, row.tags, row.volumes
        more_notes = [*more_notes, *row.notes]
    more = {name: record.values[name] for name in extra} | ({"options": options} if options else {})
    return {
        "messages": turns,
        "images": images,
        "volumes": volumes,
        **tags,
        "extra": whole_text(json.dumps(more, sort_keys=True, ensure_ascii=False) if more else None),
        "notes": [*notes, *chat.notes, *marks.notes, *more_notes],
    }


def _read_chat(place: Place, record: Record) -> tuple[Chat, list[str]]:
    """Return the turns of a conversation, or of a question with its options and its answer."""
    cell = record.first("messages")
    options = record.first("options")
    if options is None and "options" not in record.named:
        labels = option_columns(list(record.side))
        single = {label: record.side[name] for label, name in labels.items()}
        options = None if is_nothing(single) else single
    if cell is not None:
        chat = read_conversation(cell)
        if options is not None:
            chat.notes.append(OPTIONS_UNREAD)
        system = record.side_value("system")
        if isinstance(system, str) and not is_nothing(system):
            if not chat.turns or chat.turns[0]["role"] != "system":
                chat.turns.insert(0, {"role": "system", "content": system})
            elif chat.turns[0]["content"] != system:
                chat.notes.append(OWN_SYSTEM)
        return chat, []
    question, answer = record.values.get("question"), record.values.get("answer")
    choice = choose(question, answer, options, place.answer_index)
    pair: list[Turn] = [
        {"role": "user", "content": choice.question},
        {"role": "assistant", "content": choice.answer},
    ]
    earlier = read_history(record.side_value("history")) or []
    return Chat([*earlier, *pair], [], choice.notes), choice.options


def _check_media(record: Record) -> None:
    """Raise RowFault for a film or a sound, unless the recipe maps a target of that name."""
    mapped = {name.casefold() for name in record.named}
    for name, value in record.side.items():
        folded = name.casefold()
        if folded not in MEDIA or folded in mapped or is_nothing(list_value(value)):
            continue
        if str(value).strip().casefold() not in ("false", "0", "none", "{}", "[]"):
            raise chat_fault(
                f"the column {name!r} names a film or a sound; only pictures are read (to keep"
                f" such rows as they are, map {folded} under columns)"
            )


def _images(place: Place, record: Record, named: Sequence[Any]) -> tuple[list[str], list[str]]:
    """Return references to the row's pictures in order, and notes.

    A record that brings pictures of its own gets no others: the names among them choose and order
    them, and any other name is noted.
    """
    if not record.own:
        return [_stored(item, place) for item in named], []
    if not named:
        return list(record.own), []
    places = [_member(item, record.members) for item in named]
    if None in places:
        return list(record.own), [OWN_PICTURES]
    return [record.own[at] for at in places if at is not None], []


def _stored(item: Any, place: Place) -> str:
    """Return the reference of a picture, or of a volume and the series that is named of it."""
    if place.volumes is None or not isinstance(item, str):
        return store_image(item, place.image_root, place.blobs)
    path, series = split_series(item)
    ref = store_image(path, place.image_root, place.blobs)
    return ref if series is None else f"{ref}#{series}"


def _agreed(columns: Sequence[list[Any]]) -> list[Any]:
    """Return what `images` and `image` name together: one may repeat or begin the other."""
    longest: list[Any] = max(reversed(columns), key=len, default=[])
    if any(item not in longest for items in columns for item in items):
        words = "the columns images and image name different pictures; say under columns which"
        raise RowFault(MALFORMED_IMAGE, f"{words} one images is")
    return longest


def _member(item: Any, members: Sequence[str]) -> int | None:
    """Return the position of the record's own picture that a reference names, or None."""
    value = list_value(item)
    if isinstance(value, Mapping):
        value = value.get("path") or value.get("file_name") or value.get("image")
    if not isinstance(value, str):
        return None
    plain = value.removeprefix("./")
    if plain in members:
        return list(members).index(plain)
    base = plain.rpartition("/")[2]
    alike = [at for at, name in enumerate(members) if name.rpartition("/")[2] == base]
    return alike[0] if len(alike) == 1 else None
