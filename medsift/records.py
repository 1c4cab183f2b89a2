"""Define the Arrow schemas, identifiers and words that every stage shares.

Three tables pass between stages:

* ``ROWS``     the output of a reader: one row per record of an input file, readable or not;
* ``SAMPLES``  valid rows: chat messages, references to images, tags;
* ``IMAGES``   one row per distinct picture with its facts (its vector is in another table).

Every stage also writes ``DECISIONS``: one row for each row that it dropped or failed.
"""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import pyarrow as pa

from medsift.manifest.schema import arrow_schema
from medsift.vocabulary import STRATUM_TAGS as STRATUM_TAGS
from medsift.vocabulary import TAGS as TAGS

ANSWER_TYPES: Final = ("closed", "open", "choice")
DROPPED: Final = "dropped"
FAILED: Final = "failed"

MESSAGES: Final = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
TAG_FIELDS: Final = [pa.field(tag, pa.string()) for tag in TAGS]
_TEXTS: Final = pa.list_(pa.string())


def _columns(kind: pa.DataType, *names: str, nullable: bool = True) -> list[pa.Field]:
    return [pa.field(name, kind, nullable) for name in names]


# `index` counts the records of a file from 0. `images` are references: absolute paths or URLs.
# `extra` is a JSON object of the recipe's further columns. `notes` say what was corrected
# ("answer: integer read as text"). `volumes` are the lines of ``VOLUMES`` of a row. A row that
# could not be read has `error` (a reason code) and `detail` (words), and null content.
ROWS: Final = pa.schema(
    [
        *_columns(pa.string(), "row_id", "source", "file", nullable=False),
        *_columns(pa.int64(), "index", nullable=False),
        pa.field("messages", MESSAGES),
        pa.field("images", _TEXTS),
        *TAG_FIELDS,
        pa.field("extra", pa.string()),
        pa.field("notes", _TEXTS),
        *_columns(pa.string(), "error", "detail"),
        pa.field("volumes", pa.list_(pa.struct(list(arrow_schema("volumes", ("row_id",)))))),
    ]
)

# `question` is the first user turn, `answer` the last assistant turn. `refs` are the references,
# `images` the image ids in the same order; `images` and `sample_id` are null until the images
# stage has seen the pixels.
SAMPLES: Final = pa.schema(
    [
        pa.field("sample_id", pa.string()),
        *_columns(pa.string(), "row_id", "source", nullable=False),
        *TAG_FIELDS,
        *_columns(pa.string(), "question", "answer"),
        pa.field("messages", MESSAGES),
        *_columns(_TEXTS, "refs", "images"),
        pa.field("extra", pa.string()),
        pa.field("notes", _TEXTS),
    ]
)

# `contrast` is the standard deviation and `entropy` the Shannon entropy (bits) of the 8-bit grey
# histogram; `sharpness` the variance of the Laplacian at a fixed size; `blank_share` the share of
# pixels that equal the commonest grey level. `phash` is 16 hex digits. `thumb` is a THUMB_SIDE ×
# THUMB_SIDE grey miniature (row-major bytes) for pixel correlation.
THUMB_SIDE: Final = 64
IMAGES: Final = pa.schema(
    [
        pa.field("image_id", pa.string()),
        *_columns(pa.string(), "byte_hash", "ref", nullable=False),
        pa.field("size_bytes", pa.int64()),
        *_columns(pa.int32(), "width", "height"),
        pa.field("mode", pa.string()),
        pa.field("bit_depth", pa.int32()),
        *_columns(pa.string(), "format", "phash"),
        *_columns(pa.float32(), "mean", "contrast", "entropy", "sharpness", "blank_share"),
        pa.field("thumb", pa.binary()),
        pa.field("notes", _TEXTS),
        *_columns(pa.string(), "error", "detail"),
    ]
)

DECISIONS: Final = arrow_schema("decisions")
MEASURES: Final = arrow_schema("measures")
VOLUMES: Final = arrow_schema("volumes")
"""One line for each volume that a row shows as slices; ``ROWS`` has them as a list."""
_CONTENT_ID: Final = pa.field("content_id", pa.string(), nullable=False)
LEAKS: Final = arrow_schema("leaks_found")
"""Training rows that match a benchmark, or a held-out split of the run itself."""
GROUPS: Final = pa.schema([pa.field("image_id", pa.string()), pa.field("group_id", pa.string())])
"""The group of copies that each picture belongs to."""


def vectors_schema(dimension: int) -> pa.Schema:
    """Return the schema of a vector table: a content id, a unit float32 vector of `dimension`."""
    vector = pa.field("vector", pa.list_(pa.float32(), dimension), nullable=False)
    return pa.schema([_CONTENT_ID, vector])


VECTORS: Final = vectors_schema(-1)
"""A vector table of any dimension; each of its files has one dimension."""


class Digest:
    """Compute `digest` part by part, and a long part piece by piece."""

    def __init__(self) -> None:
        self._state = hashlib.sha256()

    def add(self, part: str | bytes) -> None:
        """Add a part."""
        data = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        self.add_pieces(len(data), [data])

    def add_pieces(self, size: int, pieces: Iterable[bytes | memoryview]) -> None:
        """Add one part of `size` bytes that comes in pieces."""
        self._state.update(size.to_bytes(8, "little"))
        for piece in pieces:
            self._state.update(piece)

    def hexdigest(self) -> str:
        """Return the digest of the parts so far."""
        return self._state.hexdigest()


def digest(*parts: str | bytes) -> str:
    """Return the SHA-256 over length-prefixed parts, as hex: ("a", "bc") and ("ab", "c") differ."""
    return digest_all(parts)


def digest_all(parts: Iterable[str | bytes]) -> str:
    """Return `digest` of parts that need not be in memory together."""
    whole = Digest()
    for part in parts:
        whole.add(part)
    return whole.hexdigest()


def fingerprint(value: Any) -> str:
    """Return the digest of a JSON-able value, independent of key order."""
    return digest(json.dumps(value, sort_keys=True, ensure_ascii=False, default=str))


def row_id(source: str, file: str, index: int) -> str:
    """Identify one record of an input file."""
    return f"{source}:{file}:{index}"


def canonical_text(text: str) -> str:
    """Return the text that an id is made of: Unicode NFC, white space folded to one space."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def text_id(text: str) -> str:
    """Return the content id of a text (after `canonical_text`)."""
    return digest("text", canonical_text(text))


def sample_id(image_ids: Sequence[str], messages: Iterable[Mapping[str, str]]) -> str:
    """Return the content id of a sample: of its pictures in order and its messages, not of tags."""
    turns = [f"{turn['role']}\n{canonical_text(turn['content'])}" for turn in messages]
    return digest("sample", str(len(image_ids)), *image_ids, *turns)


def decision(
    row: str,
    stage: str,
    action: str,
    reason: str,
    *,
    sample: str | None = None,
    witness: str | None = None,
    value: float | None = None,
    threshold: float | None = None,
    detail: str | None = None,
) -> dict[str, Any]:
    """Return one ledger entry as a mapping that `decisions` turns into Arrow.

    Args:
        row: id of the row that is decided on.
        stage: the stage that decides.
        action: what becomes of the row, for example `DROPPED`.
        reason: its code, for reports.
        sample: the sample's id; None where the row became no sample.
        witness: id of the kept row that this row is too similar to.
        value: the measure that decided.
        threshold: the limit of that measure.
        detail: the reason in words.
    """
    fate = {"row_id": row, "sample_id": sample, "stage": stage, "action": action, "reason": reason}
    return fate | {"witness": witness, "value": value, "threshold": threshold, "detail": detail}


def decisions(entries: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Return ledger entries as a ``DECISIONS`` table."""
    return pa.Table.from_pylist([dict(entry) for entry in entries], schema=DECISIONS)
