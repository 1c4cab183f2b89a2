"""From entries to a benchmark: pictures found, ids unique, one table, one content hash."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import pyarrow as pa

from evaluation.benchmarks.image_store import Gallery
from evaluation.benchmarks.item import Absent, Entry, Shown, Unusable
from evaluation.records import ITEMS
from medsift.errors import InputError
from medsift.records import ANSWER_TYPES, digest, fingerprint
from medsift.text import clean

OWN_ID: Final = 24
"""Hex digits of an id that is made from content."""
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A benchmark that was read.

    `files` are the names of the published files that hold its questions. `rows` is how many items
    there are, `images` how many pictures of different bytes they show. `content_hash` covers the
    items and the bytes of their pictures, not where these lie or in which order. `items` is an
    ``ITEMS`` table sorted by item id. `unusable` counts records that cannot be asked, by reason.
    """

    name: str
    files: tuple[str, ...]
    rows: int
    images: int
    content_hash: str
    items: pa.Table
    unusable: Mapping[str, int]


def assemble(
    name: str, files: Sequence[str], entries: Iterable[Entry | Unusable], gallery: Gallery
) -> Benchmark:
    """Make the benchmark of these entries.

    Raises InputError when there are none, when pictures are missing (how many, and the first) or
    ids repeat.
    """
    pile = _Pile(name, gallery)
    for place, entry in enumerate(entries):
        pile.add(place, entry)
    pile.check()
    if pile.unusable:
        logger.warning("benchmark %s: records that cannot be asked: %s", name, dict(pile.unusable))
    rows = sorted(pile.rows, key=lambda row: str(row["item_id"]))
    return Benchmark(
        name=name,
        files=tuple(files),
        rows=len(rows),
        images=len(pile.digests),
        content_hash=digest("benchmark", *sorted(pile.lines)),
        items=pa.Table.from_pylist(rows, schema=ITEMS),
        unusable=dict(sorted(pile.unusable.items())),
    )


@dataclass(slots=True)
class _Pile:
    """What was made of the entries so far."""

    name: str
    gallery: Gallery
    rows: list[dict[str, Any]] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    digests: set[str] = field(default_factory=set)
    missing: list[str] = field(default_factory=list)
    unusable: Counter[str] = field(default_factory=Counter)
    own_ids: Counter[str] = field(default_factory=Counter)

    def add(self, place: int, entry: Entry | Unusable) -> None:
        """Take the entry at `place`, or note why not."""
        if isinstance(entry, Unusable):
            self.unusable[entry.reason] += 1
        elif not (entry.question.strip() and entry.gold.strip()):
            self.unusable["no question or gold"] += 1
        else:
            shown = [self.gallery.find(picture) for picture in entry.pictures]
            absent = [one.reason for one in shown if isinstance(one, Absent)]
            if absent or not (shown or entry.text_only):
                where = entry.item_id or f"record {place}"
                self.missing.append(f"item {where}: {[*absent, 'it names no image'][0]}")
            else:
                self._take(entry, [one for one in shown if isinstance(one, Shown)])

    def _take(self, entry: Entry, shown: Sequence[Shown]) -> None:
        row = _row(self.name, entry, shown)
        row["item_id"] = entry.item_id or self._own_id(row, shown)
        extra = dict(entry.extra)
        if boxes := entry.boxes and self.gallery.shares(shown[0], entry.boxes):
            extra["boxes"] = boxes
        row["extra"] = json.dumps(extra, sort_keys=True, ensure_ascii=False) if extra else None
        self.rows.append(row)
        # Pictures count by their bytes (`image_id`), not by where they lie; the label not at all.
        self.lines.append(fingerprint({**row, "benchmark": None, "images": None}))
        self.digests |= {one.digest for one in shown}

    def _own_id(self, row: Mapping[str, Any], shown: Sequence[Shown]) -> str:
        """A digest of the content; of items that are equal altogether, later ones are numbered."""
        pictures = [one.digest for one in shown]
        content = digest(row["question"], row["gold"], *row["options"], "images", *pictures)
        self.own_ids[content] += 1
        made = content[:OWN_ID]
        return made if self.own_ids[content] == 1 else f"{made}-{self.own_ids[content]}"

    def check(self) -> None:
        """Raise InputError for missing pictures, no items, repeated ids, unknown answer types."""
        if self.missing:
            raise InputError(
                f"benchmark {self.name!r}: {len(self.missing)} of "
                f"{len(self.rows) + len(self.missing)} items lack an image; the first is "
                f"{self.missing[0]}: complete the images, no item is asked without",
                code="benchmark_incomplete",
            )
        if not self.rows:
            why = "".join(f": {reason}" for reason in sorted(self.unusable))
            raise InputError(
                f"benchmark {self.name!r} holds no item{why}; check path and split",
                code="benchmark_unreadable",
            )
        counted = Counter(row["item_id"] for row in self.rows)
        repeated = sorted(item for item, count in counted.items() if count > 1)
        if repeated:
            raise InputError(
                f"benchmark {self.name!r}: {len(repeated)} item ids repeat, the first is "
                f"{repeated[0]!r}: ids must tell items apart",
                code="benchmark_unreadable",
            )
        kinds = sorted({row["answer_type"] for row in self.rows} - set(ANSWER_TYPES))
        if kinds:
            raise InputError(
                f"benchmark {self.name!r} has answer types {', '.join(kinds)}; allowed are "
                f"{', '.join(ANSWER_TYPES)}",
                code="benchmark_unreadable",
            )


def _row(name: str, entry: Entry, shown: Sequence[Shown]) -> dict[str, Any]:
    """A row of ``ITEMS`` without id and extra."""
    digests = [one.digest for one in shown]
    return {
        "benchmark": name,
        "question": _text(entry.question),
        "options": [_text(option) for option in entry.options],
        "gold": _text(entry.gold),
        "answer_type": entry.answer_type,
        "images": [one.ref for one in shown],
        "image_id": digest(*digests) if len(digests) > 1 else next(iter(digests), None),
        "patient_id": entry.patient_id,
        "modality": entry.modality,
        "body_part": entry.body_part,
        "task_type": entry.task_type,
        "language": entry.language,
    }


def _text(text: str) -> str:
    """Text without control characters, white space at its ends or runs of blanks."""
    lines = clean(text)[0].split("\n")
    return "\n".join(" ".join(line.split()) for line in lines)
