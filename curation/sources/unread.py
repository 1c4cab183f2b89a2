"""Columns of a source that nothing reads, and whether they look like pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

import pyarrow as pa

from curation.sources.arrays import as_values
from curation.sources.base import Unread
from curation.sources.batches import find_column
from curation.sources.beside import CHAT_ONLY, PAIR_ONLY, beside_columns
from curation.sources.cells import is_nothing
from curation.sources.conversations import read_history
from curation.sources.mapping import Mapper, has_target
from curation.sources.pictures import looks_like_picture

PEEKED: Final = 50
"""Rows of a column that are looked at; whether it holds pictures shows in the first of them."""
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
                found[name] = Unread(name, any(map(looks_like_picture, filled)))
    return [found[name] for name in sorted(found)]
