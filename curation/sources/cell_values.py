"""Read cells whose text is a value: JSON, and lists as Python and NumPy print them."""

from __future__ import annotations

import ast
import json
import math
import re
from typing import Any, Final

from curation.sources.record_batches import too_deep, whole_text
from medsift.errors import InputError
from medsift.text import shown

DEEPEST: Final = 32
"""Levels of lists and objects that a cell may hold; published data has three or four."""
_SURROGATE: Final = re.compile(r"\\u[dD][89a-fA-F]")
_TOKEN: Final = re.compile(
    r"""(?P<text>[uU]?(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"))
      | (?P<word>None|True|False|nan)\b
      | (?P<number>-?\d+(?:\.\d*)?(?:[eE][+-]?\d+)?)
      | (?P<array>array\()
      | (?P<kind>,\s*dtype=[\w<>'"]+(?=\)))
      | (?P<open>[\[({])
      | (?P<close>[\])}])
      | (?P<colon>:)
      | (?P<comma>,)
      | (?P<space>\s+)""",
    re.VERBOSE | re.DOTALL,
)
_WORDS: Final = {"None": "null", "True": "true", "False": "false", "nan": "null"}
_PAIRS: Final = {"[": "]", "(": ")", "{": "}", "array(": ")"}
_ENDS: Final = {"[": "]", "(": "]", "{": "}", "array(": ""}


def is_nothing(value: object) -> bool:
    """Return whether a cell is empty: null, NaN, white space, or a container of nothing else."""
    if isinstance(value, float):
        return math.isnan(value)
    if isinstance(value, str):
        return not value.strip()
    if isinstance(value, (list, tuple)):
        return all(map(is_nothing, value))
    if isinstance(value, dict):
        return all(map(is_nothing, value.values()))
    return value is None or value == b""


def json_value(value: Any) -> Any:
    """Return the list or object that JSON text represents; anything else stays as it is.

    Halves of UTF-16 pairs inside it become U+FFFD. Raises InputError for more levels than
    published data has.
    """
    if not isinstance(value, str) or value.lstrip()[:1] not in ("[", "{"):
        return value
    parsed = _parsed(value, value)
    return _whole(parsed) if _SURROGATE.search(value) and parsed is not value else parsed


def list_value(value: Any) -> Any:
    """Return the list or object that a text represents in JSON or as Python or NumPy prints it.

    ``"['a.png', 'b.png']"``, ``"['a' 'b']"`` and ``"{'text': array([...], dtype=object)}"`` are
    what a table keeps of lists when it is written as CSV. Other values come back as they are.
    Raises InputError as `json_value` does.
    """
    value = json_value(value)
    if not isinstance(value, str) or value.lstrip()[:1] not in ("[", "(", "{"):
        return value
    text = _as_json(value.strip())
    return value if text is None else _parsed(text, value)


def check_depth(value: Any) -> None:
    """Raise InputError where lists and objects are nested more than 32 deep."""
    if too_deep(value, DEEPEST):
        words = f"a cell is nested more than {DEEPEST} deep"
        raise InputError(words, code="value_nested_too_deeply")


def _parsed(text: str, written: str) -> Any:
    """Parse JSON; text that is none gives the cell as it is `written`."""
    try:
        return json.loads(text, parse_constant=lambda _: None)
    except RecursionError as error:
        words = f"{shown(written)} is nested too deeply"
        raise InputError(words, code="value_nested_too_deeply") from error
    except ValueError:
        return written


def _as_json(text: str) -> str | None:
    """Return printed Python as JSON, token by token, or None where it is something else.

    Nothing is evaluated but single string literals, so that no text can run or exhaust anything.
    """
    out: list[str] = []
    brackets: list[str] = []
    at = 0
    while at < len(text):
        token = _TOKEN.match(text, at)
        if token is None or token.lastgroup is None:
            return None
        at = token.end()
        if not _step(token.lastgroup, token.group(), out, brackets):
            return None
    return None if brackets else "".join(out)


def _step(kind: str, token: str, out: list[str], brackets: list[str]) -> bool:
    """Write one token as JSON; False for one that no printed list has."""
    if kind in ("space", "kind"):
        return True
    if kind in ("open", "array"):
        brackets.append(token)
        _add(out, {"(": "[", "array(": ""}.get(token, token))
    elif kind == "close":
        if not brackets or _PAIRS[brackets[-1]] != token:
            return False
        if out and out[-1] == ",":
            out.pop()
        out.append(_ENDS[brackets.pop()])
    elif kind in ("colon", "comma"):
        out.append(token)
    elif kind == "text":
        try:
            literal = ast.literal_eval(token)
        except (ValueError, SyntaxError):
            return False
        _add(out, json.dumps(whole_text(literal)))
    else:
        _add(out, _WORDS.get(token, token))
    return True


def _add(out: list[str], text: str) -> None:
    # NumPy prints no commas: a value that follows a value is the next one of a list.
    last = next((item for item in reversed(out) if item), "")
    if text and last and last not in ("[", "{", ",", ":"):
        out.append(",")
    if text:
        out.append(text)


def _whole(value: Any) -> Any:
    check_depth(value)
    if isinstance(value, str):
        return whole_text(value)
    if isinstance(value, list):
        return [_whole(item) for item in value]
    if isinstance(value, dict):
        return {whole_text(key): _whole(item) for key, item in value.items()}
    return value
