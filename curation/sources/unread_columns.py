"""Find the columns of a source that nothing reads, and say which look like pictures or splits."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from curation.sources.arrow_values import as_values, is_container
from curation.sources.cell_values import is_nothing
from curation.sources.column_mapping import Mapper, has_target
from curation.sources.conversations import read_history
from curation.sources.pictures import looks_like_picture
from curation.sources.record_batches import find_column
from curation.sources.side_columns import CHAT_ONLY, PAIR_ONLY, side_columns
from medsift.vocabulary import split_of

PEEKED: Final = 50
"""Rows of a column that are examined for pictures."""
_FLAG: Final = re.compile(r"(?:is|in|for)_?([a-z]+?)(?:_?(?:set|split))?", re.IGNORECASE)
_NO: Final = frozenset({"false", "0", "0.0", "no", "n"})
_YES: Final = frozenset({"true", "1", "1.0", "yes", "y"})
Look = tuple[Sequence[str], Callable[[list[str]], pa.Table | None]]
"""The columns of a file, and a function that reads the first rows of some of them."""


@dataclass(frozen=True, slots=True)
class Unread:
    """A column that no target is made of.

    `pictures` is whether its values look like pictures; `splits` are its values where they are
    all words of splits.
    """

    column: str
    pictures: bool
    splits: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.pictures:
            return f"{self.column} (looks like pictures)"
        return f"{self.column} (looks like splits)" if self.splits else self.column


def unread_names(mapper: Mapper, names: Sequence[str]) -> list[str]:
    """Return the columns of an input that neither an expression nor a reader's rule reads."""
    read = {find_column(name, names) for name in mapper.needed}
    chat = has_target("messages", mapper.named, names)
    for name in side_columns(names):
        folded = name.casefold()
        # Only the values show whether `history` is one; `system` is read for conversations alone.
        if folded not in PAIR_ONLY and not (folded in CHAT_ONLY and not chat):
            read.add(name)
    return [name for name in names if name not in read]


def unread_columns(mapper: Mapper, looks: Iterable[Look]) -> list[Unread]:
    """Return the unread columns of a source's files by name, each as its first file has it."""
    unread: dict[str, Unread] = {}
    for names, fetch in looks:
        new = [name for name in unread_names(mapper, names) if name not in unread]
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
                unread[name] = Unread(name, pictures, () if pictures else splits_in(name, table))
    return [unread[name] for name in sorted(unread)]


def splits_in(name: str, table: pa.Table) -> tuple[str, ...]:
    """Return the distinct values of a column if all spell splits, or the split that it flags.

    A flag is a column such as `is_test` of yes and no. Empty for any other column.
    """
    import pyarrow.compute as pc

    if is_container(table.schema.field(name).type):
        return ()
    values = pc.unique(table[name].cast(pa.string())).to_pylist()
    words = sorted({str(value).strip() for value in values if not is_nothing(value)})
    if words and all(map(split_of, words)):
        return tuple(words)
    flag = _FLAG.fullmatch(name.strip())
    plain = {word.casefold() for word in words}
    flagged = flag and split_of(flag[1]) and plain <= _YES | _NO and plain & _YES
    return (flag[1],) if flag and flagged else ()
