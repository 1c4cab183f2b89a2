"""Read the pictures that cells and parts name: paths, URLs, bytes and base64."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from curation.sources.cell_values import check_depth, is_nothing, list_value
from curation.sources.row_faults import MALFORMED_IMAGE, RowFault
from curation.sources.suffixes import PICTURE_SUFFIXES
from medsift.errors import InputError
from medsift.images.blob_store import BlobStore
from medsift.images.references import resolve
from medsift.text import shown

ESCAPES: Final = "reference_escapes"
PICTURE_KEYS: Final = (
    *("bytes", "base64", "b64_json", "data", "image", "image_url", "input_image", "inline_data"),
    *("source", "url", "uri", "path", "image_path", "file_path", "file_name", "filename", "file"),
)
"""Keys of an object that names one picture, its bytes before its path."""
_ENCODED: Final = ("bytes", "base64", "b64_json", "data")
_MARKS: Final = (b"\x89PNG\r\n", b"\xff\xd8\xff", b"GIF8", b"II*\0", b"MM\0*", b"\0\0\0\x0cjP")
_DATA: Final = re.compile(r"(?:data:)?[\w.+-]+/[\w.+-]+;base64,|data:", re.IGNORECASE)
_BASE64: Final = re.compile(r"[A-Za-z0-9+/_-]+={0,2}")
_URL_SAFE: Final = str.maketrans("-_", "+/")
_PRINTED: Final = re.compile(r"b['\"]|<PIL\.|<class |\{.*\bb['\"]", re.DOTALL)
LEAST_BASE64: Final = 40
"""Letters below which base64 is no picture: the smallest GIF takes 48."""
LONGEST_NAME: Final = 255
"""Most letters of a file's name on any file system; anything longer is no path."""


def pictures_of(cell: Any) -> list[Any]:
    """Return what a cell names, in order: paths, URLs, bytes or objects with either.

    A cell is one of these, a list of them at any depth, an object of lists, or the JSON or
    printed Python of any. A list of 8 or more numbers from 0 to 255 is the bytes of one picture.
    Raises InputError for more levels than published data has.
    """
    value = list_value(cell)
    check_depth(value)
    return _flat(value)


def looks_like_picture(value: Any) -> bool:
    """Return whether a value of a column that nothing reads may be a picture, by its looks."""
    try:
        items = pictures_of(value)
    except InputError:
        return False
    return any(_looks(item) for item in items[:3])


def store_image(value: Any, image_root: str | None, blobs: BlobStore) -> str:
    """Return the reference of one picture: bytes and base64 are stored, paths and URLs resolved.

    Raises RowFault for what is no picture and for a reference that may not be followed.
    """
    if isinstance(value, Mapping):
        key, value = _named(value)
        if key in _ENCODED and isinstance(value, str):
            value = _decoded(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return blobs.put(bytes(value))
    if not isinstance(value, str):
        kind = "a number" if isinstance(value, (int, float)) else f"of type {type(value).__name__}"
        raise _fault(f"{shown(value)} is {kind}; a picture is a path, a URL or bytes")
    text = value.strip()
    if _DATA.match(text):
        return blobs.put(_data_url(text))
    if (data := _bare_base64(text)) is not None:
        return blobs.put(data)
    if _PRINTED.match(text):
        raise _fault(f"{shown(value)} is what Python prints for bytes; write base64 or a path")
    try:
        return resolve(value, image_root)
    except InputError as error:
        raise RowFault(ESCAPES, error) from error


def _flat(value: Any) -> list[Any]:
    parsed = list_value(value)
    if parsed is not value:  # a text inside a list may open further levels
        check_depth(parsed)
    if is_nothing(parsed):
        return []
    if isinstance(parsed, Mapping):
        return _of_object(parsed)
    if not isinstance(parsed, (list, tuple)):
        return [parsed]
    data = _byte_list(parsed)
    return [item for part in parsed for item in _flat(part)] if data is None else [data]


def _of_object(value: Mapping[str, Any]) -> list[Any]:
    if all(is_nothing(part) for part in value.values()):
        return []
    # {"bytes": [...], "path": [...]} is how Arrow writes a list of pictures column by column.
    columns = {
        key: part
        for key, part in value.items()
        if key in PICTURE_KEYS and isinstance(part, (list, tuple)) and _byte_list(part) is None
    }
    if not columns:
        return [value]
    rows = range(max(map(len, columns.values())))
    return [{key: part[at] for key, part in columns.items() if at < len(part)} for at in rows]


def _named(value: Mapping[str, Any]) -> tuple[str, Any]:
    """Return the key and value by which an object names its picture, at any depth."""
    for key in PICTURE_KEYS:
        part = value.get(key)
        if is_nothing(part):
            continue
        if isinstance(part, Mapping):
            return _named(part)
        if isinstance(part, (list, tuple)) and (data := _byte_list(part)) is not None:
            return key, data
        if key == "data" and not isinstance(part, (str, bytes)):
            continue
        return key, part
    raise _fault(f"an object names no picture: {shown(dict(value))}")


def _fault(detail: str) -> RowFault:
    return RowFault(MALFORMED_IMAGE, detail)


def _byte_list(value: Sequence[Any]) -> bytes | None:
    numbers = all(type(item) is int and 0 <= item <= 255 for item in value)
    return bytes(value) if numbers and len(value) >= 8 else None


def _looks(item: Any) -> bool:
    if isinstance(item, Mapping):
        return any(_looks(item[key]) for key in PICTURE_KEYS if item.get(key) is not None)
    if isinstance(item, (bytes, bytearray)):
        return is_picture(bytes(item[:200]))
    if not isinstance(item, str):
        return False
    text = item.strip()
    path = text.partition("?")[0].lower()
    named = path.endswith((*PICTURE_SUFFIXES, ".nii.gz")) or text[:11].lower() == "data:image/"
    return named or (_is_base64(text) and is_picture(_head(text)))


def is_picture(head: bytes) -> bool:
    """Return whether bytes begin as a picture does."""
    return (
        head.startswith(_MARKS)
        or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")
        or (head[:2] == b"BM" and head[6:10] == b"\0\0\0\0")
        or head[4:8] == b"ftyp"
        or head[128:132] == b"DICM"
    )


def _is_base64(text: str) -> bool:
    return len(text) >= LEAST_BASE64 and _BASE64.fullmatch(text) is not None


def _head(text: str) -> bytes:
    start = text[:240].rstrip("=").translate(_URL_SAFE)
    return base64.b64decode(start[: len(start) // 4 * 4])


def _bare_base64(text: str) -> bytes | None:
    body = "".join(text.split()) if len(text) >= LEAST_BASE64 else text
    if not _is_base64(body):
        return None
    if is_picture(_head(body)):
        return _decoded(body)
    if max(map(len, body.split("/"))) > LONGEST_NAME:
        words = f"{shown(text)} looks like base64, but of no picture that is known"
        raise _fault(f"{words}; write data:image/png;base64,… or a path")
    return None


def _decoded(text: str) -> bytes:
    body = "".join(text.split())
    if _DATA.match(body):
        return _data_url(body)
    try:
        body = body.translate(_URL_SAFE).rstrip("=")
        return base64.b64decode(body + "=" * (-len(body) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise _fault(f"{shown(text)} is not base64: {error}") from error


def _data_url(url: str) -> bytes:
    """Return the bytes of a data: URL, which may lack its ``data:``."""
    head, comma, body = url.partition(",")
    if not comma:
        raise _fault(f"a data: URL without a comma holds no image: {shown(url)}")
    data = unquote_to_bytes(body)
    if not head.lower().endswith(";base64"):
        return data
    try:
        return base64.b64decode(b"".join(data.split()), validate=True)
    except binascii.Error as error:
        raise _fault(f"a data: URL is not base64: {error}: {shown(url)}") from error
