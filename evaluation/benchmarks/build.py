"""Make one table of a benchmark's entries: find pictures, check ids, take the content hash."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa

from evaluation.benchmarks.image_store import PictureFinder
from evaluation.benchmarks.item import TAGS, Entry, FoundPicture, MissingPicture, Unusable
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
    items and the bytes of their pictures, neither their places nor their order. `items` is an
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
    name: str, files: Sequence[str], entries: Iterable[Entry | Unusable], finder: PictureFinder
) -> Benchmark:
    """Make the benchmark of these entries.

    Args:
        name: Name of the benchmark in tables.
        files: Names of the published files that hold its questions.
        entries: Its records, in any order.
        finder: Looks up their pictures.

    Raises InputError when there are none, when pictures are missing (how many, and the first) or
    ids repeat.
    """
    rows: list[dict[str, Any]] = []
    hashes: list[str] = []
    digests: set[str] = set()
    missing: list[str] = []
    unusable: Counter[str] = Counter()
    own_ids: Counter[str] = Counter()
    for place, entry in enumerate(entries):
        if isinstance(entry, Unusable):
            unusable[entry.reason] += 1
            continue
        if entry.gold is None:
            unusable["its gold is none of the options"] += 1
            continue
        if not (entry.question.strip() and entry.gold.strip()):
            unusable["no question or gold"] += 1
            continue
        looked_up = [finder.find(picture) for picture in entry.pictures]
        reasons = [one.reason for one in looked_up if isinstance(one, MissingPicture)]
        if reasons or not (looked_up or entry.text_only):
            where = entry.item_id or f"record {place}"
            missing.append(f"item {where}: {[*reasons, 'it names no image'][0]}")
            continue
        pictures = [one for one in looked_up if isinstance(one, FoundPicture)]
        shown = [one.digest for one in pictures]
        row: dict[str, Any] = {
            **{tag: getattr(entry, tag) for tag in ("answer_type", *TAGS)},
            "benchmark": name,
            "question": _text(entry.question),
            "options": [_text(option) for option in entry.options],
            "gold": _text(entry.gold),
            "images": [one.ref for one in pictures],
            "image_id": digest(*shown) if len(shown) > 1 else next(iter(shown), None),
        }
        row["item_id"] = entry.item_id
        if not entry.item_id:
            # A digest of the content; of items that are equal altogether, later ones are numbered.
            content = digest(row["question"], row["gold"], *row["options"], "images", *shown)
            own_ids[content] += 1
            later = f"-{own_ids[content]}" if own_ids[content] > 1 else ""
            row["item_id"] = content[:OWN_ID] + later
        extra = dict(entry.extra)
        if boxes := entry.boxes and finder.shares(pictures[0], entry.boxes):
            extra["boxes"] = boxes
        row["extra"] = json.dumps(extra, sort_keys=True, ensure_ascii=False) if extra else None
        rows.append(row)
        # Pictures count by their bytes (`image_id`), not by their place; the label not at all.
        hashes.append(fingerprint({**row, "benchmark": None, "images": None}))
        digests.update(shown)
    _check(name, rows, missing, unusable)
    if unusable:
        logger.warning("benchmark %s: records that cannot be asked: %s", name, dict(unusable))
    rows.sort(key=lambda row: str(row["item_id"]))
    return Benchmark(
        name=name,
        files=tuple(files),
        rows=len(rows),
        images=len(digests),
        content_hash=digest("benchmark", *sorted(hashes)),
        items=pa.Table.from_pylist(rows, schema=ITEMS),
        unusable=dict(sorted(unusable.items())),
    )


def _check(
    name: str, rows: Sequence[Mapping[str, Any]], missing: Sequence[str], unusable: Iterable[str]
) -> None:
    """Raise InputError for missing pictures, no items, repeated ids, unknown answer types."""
    counted = Counter(row["item_id"] for row in rows)
    repeated = sorted(item for item, count in counted.items() if count > 1)
    kinds = sorted({str(row["answer_type"]) for row in rows} - set(ANSWER_TYPES))
    code, values = "benchmark_unreadable", dict[str, Any]()
    if missing:
        code, items = "benchmark_incomplete", len(rows) + len(missing)
        values = {"missing": len(missing), "items": items, "first": missing[0]}
        fault = (
            f": {len(missing)} of {items} items lack an image; the first is "
            f"{missing[0]}: complete the images, no item is asked without"
        )
    elif not rows:
        values = {"items": 0, "unusable": sorted(unusable)}
        why = "".join(f": {reason}" for reason in sorted(unusable))
        fault = f" holds no item{why}; check path and split"
    elif repeated:
        values = {"repeated": repeated}
        fault = (
            f": {len(repeated)} item ids repeat, the first is {repeated[0]!r}: give every item "
            "an id of its own"
        )
    elif kinds:
        values = {"answer_types": kinds}
        fault = f" has answer types {', '.join(kinds)}; allowed are {', '.join(ANSWER_TYPES)}"
    else:
        return
    raise InputError(f"benchmark {name!r}{fault}", code=code, benchmark=name, **values)


def _text(text: str) -> str:
    """Return text without control characters, white space at its ends or runs of blanks."""
    lines = clean(text)[0].split("\n")
    return "\n".join(" ".join(line.split()) for line in lines)
