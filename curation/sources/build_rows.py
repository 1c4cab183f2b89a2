"""Mapped records become the ``ROWS`` table: pictures resolved, chats read, faults written down."""

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
from curation.sources.pictures import MALFORMED, pictures_of, store_image
from curation.sources.record_batches import Bad, whole_text
from curation.sources.row_faults import FOREIGN, RowFault, bad_row
from curation.sources.sidecar_values import check_media, options_beside, value_beside
from medsift import records
from medsift.errors import InputError
from medsift.images.blob_store import BlobStore
from medsift.text import shown

logger = logging.getLogger(__name__)

MALFORMED_CHAT: Final = "malformed_messages"
OPTIONS_UNREAD: Final = "options: not read beside a conversation"
OWN_PICTURES: Final = "images: the record's own pictures are taken, not what it names"
OWN_SYSTEM: Final = "messages: the conversation's own system turn is taken, not the column's"
WARNED: Final = rf"messages: not read|members: \.|{OPTIONS_UNREAD}|{OWN_PICTURES}|{OWN_SYSTEM}"
"""Beginnings of notes that say what of a row was not read; a run tells how many there are."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where rows come from, where their pictures are, and from where answers count options."""

    source: str
    file: str
    image_root: str | None
    blobs: BlobStore
    answer_index: AnswerIndex = None


@dataclass(frozen=True, slots=True)
class Record:
    """One record after mapping: its targets, the columns next to them, and its own pictures.

    `named` are the targets that the recipe maps; `members` are the names of `own`.
    """

    values: Mapping[str, Any]
    beside: Mapping[str, Any]
    named: Sequence[str]
    own: Sequence[str] = ()
    members: Sequence[str] = ()

    def every(self, target: str) -> list[Any]:
        """The values of the target and of its other names that hold something."""
        names = (target,) if target in self.named else (target, *ALIASES.get(target, ()))
        values = (self.values.get(name) for name in names)
        return [value for value in values if not is_nothing(value)]

    def first(self, target: str) -> Any:
        """The first of these, or None."""
        return next(iter(self.every(target)), None)


def build_rows(place: Place, mapped: Mapped, named: Sequence[str]) -> pa.Table:
    """The rows of a batch in the order of their indexes; `named` are the recipe's targets.

    Whatever the data of one row makes Python raise costs that row alone.
    """
    lines = [_failed(place, bad) for bad in mapped.bad]
    extra = [name for name in named if name not in CONTENT and name not in records.TAGS]
    for at, index in enumerate(mapped.indexes):
        record = Record(
            values={name: column[at] for name, column in mapped.values.items()},
            beside={name: column[at] for name, column in mapped.beside.items()},
            named=named,
            own=mapped.images[at] if mapped.images is not None else (),
            members=mapped.members[at] if mapped.members is not None else (),
        )
        try:
            line = _line(place, record, extra, mapped.notes[at])
        except (RowFault, *FOREIGN) as error:
            if not isinstance(error, RowFault):
                logger.debug("row %d of %s", index, place.file, exc_info=True)
            line = _failed(place, bad_row(index, error))
        lines.append(_identity(place, index) | line)
    lines.sort(key=lambda line: line["index"])
    return pa.Table.from_pylist(lines, schema=records.ROWS)


def _identity(place: Place, index: int) -> dict[str, Any]:
    return {
        "row_id": records.row_id(place.source, place.file, index),
        "source": place.source,
        "file": place.file,
        "index": index,
    }


def _failed(place: Place, bad: Bad) -> dict[str, Any]:
    return _identity(place, bad.index) | {
        "notes": [],
        "error": bad.error,
        "detail": whole_text(bad.detail),
    }


def _line(
    place: Place, record: Record, extra: Sequence[str], notes: Sequence[str]
) -> dict[str, Any]:
    _check_texts(record, ("question", "answer", *records.TAGS, *extra))
    try:
        check_media(record.beside, record.named)
        chat, options = _talk(place, record)
    except InputError as error:
        raise RowFault(MALFORMED_CHAT, error) from error
    try:
        given = [pictures_of(value) for value in record.every("images")]
    except InputError as error:
        raise RowFault(MALFORMED, error) from error
    marks = Marks()
    names = turn_names([turn["role"] for turn in chat.turns])
    turns = [
        {"role": whole_text(turn["role"]), "content": whole_text(marks.read(turn["content"], name))}
        for turn, name in zip(chat.turns, names, strict=True)
    ]
    # Pictures inside the chat stand where they are meant; the column repeats or completes them.
    images, more_notes = _images(place, record, chat.pictures or marks.paths, given)
    more = {name: record.values[name] for name in extra} | ({"options": options} if options else {})
    return {
        "messages": turns,
        "images": images,
        **{tag: record.values.get(tag) for tag in records.TAGS},
        "extra": whole_text(json.dumps(more, sort_keys=True, ensure_ascii=False) if more else None),
        "notes": [*notes, *chat.notes, *marks.notes, *more_notes],
    }


def _check_texts(record: Record, targets: Sequence[str]) -> None:
    for target in targets:
        if isinstance(value := record.values.get(target), bytes):
            raise RowFault("not_utf8", f"{target} holds bytes that are no text: {shown(value)}")


def _talk(place: Place, record: Record) -> tuple[Chat, list[str]]:
    """The turns of a conversation, or of a question with its options and its answer."""
    cell = record.first("messages")
    options = record.first("options")
    if options is None and "options" not in record.named:
        options = options_beside(record.beside)
    if cell is not None:
        chat = read_conversation(cell)
        if options is not None:
            chat.notes.append(OPTIONS_UNREAD)
        _add_system(chat, value_beside(record.beside, "system"))
        return chat, []
    choice = choose(
        record.values.get("question"), record.values.get("answer"), options, place.answer_index
    )
    pair: list[Turn] = [
        {"role": "user", "content": choice.question},
        {"role": "assistant", "content": choice.answer},
    ]
    earlier = read_history(value_beside(record.beside, "history")) or []
    return Chat([*earlier, *pair], [], choice.notes), choice.options


def _add_system(chat: Chat, system: Any) -> None:
    if not isinstance(system, str) or is_nothing(system):
        return
    if chat.turns and chat.turns[0]["role"] == "system":
        if chat.turns[0]["content"] != system:
            chat.notes.append(OWN_SYSTEM)
        return
    chat.turns.insert(0, {"role": "system", "content": system})


def _images(
    place: Place, record: Record, inside: Sequence[Any], given: Sequence[list[Any]]
) -> tuple[list[str], list[str]]:
    """References to the row's pictures in order, and notes.

    A record that brings pictures of its own is not read beyond them: what it names must be among
    them, and says which and in what order, or is noted.
    """
    named = list(inside) or _agreed(given)
    if not record.own:
        return [store_image(item, place.image_root, place.blobs) for item in named], []
    if not named:
        return list(record.own), []
    places = [_member(item, record.members) for item in named]
    if None in places:
        return list(record.own), [OWN_PICTURES]
    return [record.own[at] for at in places if at is not None], []


def _agreed(given: Sequence[list[Any]]) -> list[Any]:
    """What `images` and `image` say together: one may repeat or begin the other, no more."""
    filled = sorted((items for items in given if items), key=len)
    if not filled:
        return []
    longest = filled[-1]
    if any(item not in longest for items in filled for item in items):
        raise RowFault(
            MALFORMED,
            "the columns images and image name different pictures; say under columns which"
            " one images is",
        )
    return longest


def _member(item: Any, members: Sequence[str]) -> int | None:
    """The place of the record's own picture that a reference names by its member's name."""
    value = list_value(item)
    if isinstance(value, Mapping):
        value = value.get("path") or value.get("file_name") or value.get("image")
    if not isinstance(value, str):
        return None
    plain = value.removeprefix("./")
    whole = [at for at, name in enumerate(members) if name == plain]
    if whole:
        return whole[0]
    base = plain.rpartition("/")[2]
    found = [at for at, name in enumerate(members) if name.rpartition("/")[2] == base]
    return found[0] if len(found) == 1 else None
