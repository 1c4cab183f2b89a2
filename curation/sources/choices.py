"""Read options in every shape they are published in, as one list with letters from A."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from curation.sources.cell_values import check_depth, is_nothing, list_value
from curation.sources.row_faults import chat_fault
from medsift.options import LETTERS, letter_of, split_options, without_letters
from medsift.text import shown

LABELS: Final = ("label", "key", "letter", "id", "index", "option_id", "name")
TEXTS: Final = ("text", "value", "content", "option", "choice", "answer", "description")
_KEY: Final = re.compile(
    r"^\W*(?:options?|choices?|answers?|opt?)?[ _.-]*([A-Za-z]|\d{1,2})\W*$", re.IGNORECASE
)
_SEPARATORS: Final = (r"[\r\n]+", r"\s*\|\s*", r"\s*[;；]\s*")


@dataclass(frozen=True, slots=True)
class Option:
    """An option and what the record calls it: a letter, a number, or nothing but its place."""

    key: str | None
    text: str


def read_options(cell: Any) -> list[Option]:
    """Return the options of a choice question in the order of their letters, without empty ones.

    A list of texts or of objects ({label, text}, {key, value}, {"A": …}), an object by letter or
    by number (in the order of the numbers), an object of two lists ({text, label}), the JSON or
    printed Python of any of these, lettered options in one text, or a text cut by line breaks,
    ``|`` or ``;``. Letters and numbers that the options begin with are removed once. Raises
    RowFault when it is none of these or holds more than 26.
    """
    value = list_value(cell)
    check_depth(value)
    if is_nothing(value):
        return []
    options = _labelled(_items(value))
    if len(options) > len(LETTERS):
        raise chat_fault(f"{len(options)} options; at most {len(LETTERS)} are read")
    texts = without_letters([option.text for option in options])
    plain = [Option(option.key, text) for option, text in zip(options, texts, strict=True)]
    if all(option.text for option in plain):
        return plain
    # The letters count empty options, which the source listed as well.
    return [
        Option(option.key or letter, option.text)
        for letter, option in zip(LETTERS, plain, strict=False)
        if option.text
    ]


def _items(value: Any) -> list[tuple[Any, Any]]:
    """Return (label or None, text) of each option as written, empty ones included."""
    if isinstance(value, str):
        return [(None, text) for text in _cut(value)]
    if isinstance(value, Mapping):
        return _of_object(value)
    if not isinstance(value, Sequence) or isinstance(value, (bytes, bytearray)):
        raise chat_fault(f"options are neither a list nor an object: {shown(value)}")
    return [_item(item) for item in value]


def _cut(text: str) -> list[str]:
    stem, listed = split_options(text)
    if listed and not stem:
        # The letters are put back, so that `read_options` alone removes them.
        return [f"{letter}. {option}" for letter, option in zip(LETTERS, listed, strict=False)]
    for separator in _SEPARATORS:
        parts = [part for part in re.split(separator, text.strip()) if part.strip()]
        if len(parts) > 1:
            return parts
    raise chat_fault(
        f"options are neither a list nor an object: {shown(text)}; write a list, or put a line"
        " break, | or ; between them"
    )


def _of_object(value: Mapping[Any, Any]) -> list[tuple[Any, Any]]:
    texts = _first_key(value, TEXTS)
    if texts is not None and isinstance(value[texts], (list, tuple)):
        labels = _first_key(value, LABELS)
        options = list(value[texts])
        named = [None] * len(options) if labels is None else value[labels]
        if not isinstance(named, (list, tuple)) or len(named) != len(options):
            raise chat_fault(f"options have {len(options)} texts and other labels: {shown(named)}")
        return list(zip(named, options, strict=True))
    return list(value.items())


def _item(item: Any) -> tuple[Any, Any]:
    if isinstance(item, Mapping):
        texts = _first_key(item, TEXTS)
        if texts is not None:
            labels = _first_key(item, [name for name in LABELS if name != texts])
            return (None if labels is None else item[labels]), item[texts]
        if len(item) == 1:
            return next(iter(item.items()))
        raise chat_fault(f"an option is an object without a text: {shown(item)}")
    if isinstance(item, (list, tuple)):
        if len(item) == 2 and _key(item[0]) is not None:
            return item[0], item[1]
        raise chat_fault(f"an option is a list: {shown(item)}")
    return None, item


def _labelled(items: Sequence[tuple[Any, Any]]) -> list[Option]:
    """Return options with their keys, sorted where all keys are letters or all are numbers."""
    keys = [_key(label) for label, _ in items]
    options = [
        Option(key if key is not None else _text(label) or None, _text(text))
        for key, (label, text) in zip(keys, items, strict=True)
    ]
    named = [option.key for option in options if option.key is not None]
    if len(set(named)) < len(named):
        raise chat_fault(f"two options have one label: {shown(named)}")
    if options and all(key is not None and key.isdigit() for key in keys):
        return sorted(options, key=lambda option: int(option.key or 0))
    if options and all(key is not None and key.isalpha() for key in keys):
        return sorted(options, key=lambda option: option.key or "")
    letters = [letter_of(option.text) or "" for option in options]
    if not named and len(letters) > 1 and sorted(letters) == list(LETTERS[: len(letters)]):
        return sorted(options, key=lambda option: letter_of(option.text) or "")
    return options


def _key(label: Any) -> str | None:
    """Return the letter (upper case) or number of a label such as "b", "(B)", "option_2" or 2."""
    if isinstance(label, bool) or not isinstance(label, (str, int)):
        return None
    match = _KEY.match(str(label))
    if match is None:
        return None
    return str(int(match[1])) if match[1].isdigit() else match[1].upper()


def _first_key(value: Mapping[Any, Any], names: Sequence[str]) -> Any:
    by_fold = {str(key).casefold(): key for key in value}
    return next((by_fold[name] for name in names if name in by_fold), None)


def _text(value: Any) -> str:
    if is_nothing(value):
        return ""
    if isinstance(value, Mapping) and (name := _first_key(value, TEXTS)) is not None:
        value = "" if is_nothing(value[name]) else value[name]
    if isinstance(value, (Mapping, list, tuple, bytes)):
        raise chat_fault(f"an option is no text: {shown(value)}")
    return str(value).lower() if isinstance(value, bool) else str(value).strip()
