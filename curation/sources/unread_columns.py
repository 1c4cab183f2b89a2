"""Columns of a source that nothing reads, and whether they look like pictures or splits."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import pyarrow as pa

from curation.sources.arrow_values import as_values, is_container
from curation.sources.cell_values import is_nothing
from curation.sources.column_mapping import Mapper, has_target
from curation.sources.conversations import read_history
from curation.sources.pictures import looks_like_picture
from curation.sources.reader import Unread
from curation.sources.record_batches import find_column
from curation.sources.sidecar_files import CHAT_ONLY, PAIR_ONLY, beside_columns
from medsift.vocabulary import split_of

PEEKED: Final = 50
"""Rows of a column that are looked at; whether it holds pictures shows in the first of them."""
_ASKS: Final = re.compile(r"(?:is|in|for)_?([a-z]+?)(?:_?(?:set|split))?", re.IGNORECASE)
_NO: Final = frozenset({"false", "0", "0.0", "no", "n"})
_YES: Final = frozenset({"true", "1", "1.0", "yes", "y"})
Look = tuple[Sequence[str], Callable[[list[str]], pa.Table | None]]
"""The columns of a file, and what reads the first rows of some of them."""


def unread_names(mapper: Mapper, names: Sequence[str]) -> list[str]:
    """Of an input's columns those that neither an expression nor a rule of ours reads."""
    read = {find_column(name, names) for name in mapper.needed}
    chat = has_target("messages", mapper.named, names)
    for name in beside_columns(names):
        folded = name.casefold()
        # Whether `history` is one shows in its values; `system` belongs to conversations.
        if folded not in PAIR_ONLY and not (folded in CHAT_ONLY and not chat):
            read.add(name)
    return [name for name in names if name not in read]


def unread_columns(mapper: Mapper, looks: Iterable[Look]) -> list[Unread]:
    """The unread columns of a source's files, by name; a column is looked at where it first is."""
    found: dict[str, Unread] = {}
    for names, fetch in looks:
        new = [name for name in unread_names(mapper, names) if name not in found]
        table = fetch(new) if new else None
        if table is None:
            continue
        chat = has_target("messages", mapper.named, names)
        for name in new:
            values = as_values(table[name].slice(0, PEEKED), plain=True)
            filled = [value for value in values if not is_nothing(value)]
            earlier = name.casefold() in PAIR_ONLY and not chat
            if not (earlier and all(read_history(value) is not None for value in filled)):
                pictures = any(map(looks_like_picture, filled))
                found[name] = Unread(name, pictures, () if pictures else splits_in(name, table))
    return [found[name] for name in sorted(found)]


def splits_in(name: str, table: pa.Table) -> tuple[str, ...]:
    """The distinct values of a column that all spell splits, or the split that its flags are for.

    A flag is a column such as `is_test` of yes and no. Empty where it is neither.
    """
    import pyarrow.compute as pc

    if is_container(table.schema.field(name).type):
        return ()
    values = pc.unique(table[name].cast(pa.string())).to_pylist()
    words = sorted({str(value).strip() for value in values if not is_nothing(value)})
    if words and all(map(split_of, words)):
        return tuple(words)
    asked = _ASKS.fullmatch(name.strip())
    plain = {word.casefold() for word in words}
    if asked and split_of(asked[1]) and plain <= _YES | _NO and plain & _YES:
        return (asked[1],)
    return ()
