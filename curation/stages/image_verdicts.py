"""From pictures to samples: what every reference turned out to be, put into the samples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from medsift import records
from medsift.execution import Tables
from medsift.images import ImagesConfig
from medsift.storage.parts import read_part, write_table

VERDICTS: Final = pa.schema(
    [
        pa.field("ref", pa.string(), nullable=False),
        pa.field("image_id", pa.string()),
        pa.field("action", pa.string()),
        pa.field("reason", pa.string()),
        pa.field("detail", pa.string()),
        pa.field("value", pa.float64()),
        pa.field("threshold", pa.float64()),
        pa.field("notes", pa.list_(pa.string())),
    ]
)
"""What a reference turned out to be: an image id, or the reason (and action) why there is none."""
RESOLVED: Final = pa.schema(
    [records.SAMPLES.field(name) for name in ("row_id", "sample_id", "images", "notes")]
)
"""What a sample learns of its pictures: their ids, its own identity, and notes."""
FACTS: Final = ("content_id", "image_id", "blank_share", "notes", "error", "detail")


def verdicts(files: pa.Table, facts: pa.Table, config: ImagesConfig) -> pa.Table:
    """Return `VERDICTS` of every reference of `files`, in their order.

    Args:
        files: FILES, one line a reference.
        facts: FACTS of every content, one line each.
        config: What counts as blank.
    """
    place = pc.index_in(files["content_id"], facts["content_id"].combine_chunks())
    known = facts.select(list(FACTS)).take(place)
    error = pc.coalesce(files["error"], known["error"])
    detail = pc.if_else(pc.is_valid(files["error"]), files["detail"], known["detail"])
    failed = pc.is_valid(error)
    blank = pc.and_(pc.invert(failed), _blank(known["blank_share"], config))
    bad = pc.or_(failed, blank)
    nothing = pa.scalar(None, pa.string())
    action = pc.if_else(failed, records.FAILED, pc.if_else(blank, records.DROPPED, nothing))
    columns = {
        "ref": files["ref"],
        "image_id": pc.if_else(bad, nothing, known["image_id"]),
        "action": action,
        "reason": pc.if_else(blank, "image_blank", error),
        "detail": pc.if_else(failed, detail, nothing),
        "value": pc.if_else(blank, known["blank_share"].cast(pa.float64()), None),
        "threshold": pc.if_else(blank, config.blank_share, None),
        "notes": known["notes"],
    }
    return pa.table(columns).cast(VERDICTS)


def _blank(share: pa.ChunkedArray, config: ImagesConfig) -> pa.ChunkedArray:
    """Return whether each picture is dropped as blank, as `medsift.images.is_blank` says of one."""
    above = pc.greater_equal(share.cast(pa.float64()), config.blank_share)
    return pc.fill_null(pc.and_(above, pa.scalar(config.drop_blank)), False)


def write_lookups(found: pa.Table, samples: Sequence[Path], folder: Path) -> list[Path]:
    """Write next to every part of samples the verdicts on its own references; return the files.

    A worker reads what its part needs; no task carries the pictures of the whole run.
    """
    row = {ref: number for number, ref in enumerate(found["ref"].to_pylist())}
    targets = []
    for part in samples:
        refs = pc.unique(pc.list_flatten(read_part(part, ["refs"])["refs"])).to_pylist()
        wanted = pa.array([row[ref] for ref in refs], pa.int64())
        target = folder / part.name
        write_table(found.take(wanted), target)
        targets.append(target)
    return targets


class ResolveSamples:
    """Worker: puts image ids into the samples of one part, or says which picture failed them."""

    def __call__(self, item: tuple[Path, Path]) -> Iterator[Tables]:
        """Yield `updates` (the ids) and `decisions` for a part and its lookup."""
        part, lookup = item
        pictures = {line["ref"]: line for line in read_part(lookup).to_pylist()}
        kept, entries = [], []
        columns = ["row_id", "messages", "refs", "notes"]
        for sample in read_part(part, columns).to_pylist():
            entry = _resolve(sample, pictures)
            if entry is None:
                kept.append({name: sample[name] for name in RESOLVED.names})
            else:
                entries.append(entry)
        yield {
            "updates": pa.Table.from_pylist(kept, schema=RESOLVED),
            "decisions": records.decisions(entries),
        }


def _resolve(
    sample: dict[str, Any], pictures: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any] | None:
    """Fill in the sample's ids, or return the ledger entry that ends it."""
    shown = [pictures[ref] for ref in sample["refs"] or []]
    for picture in shown:
        if picture["action"] is not None:
            return records.decision(
                sample["row_id"],
                "images",
                picture["action"],
                picture["reason"],
                value=picture["value"],
                threshold=picture["threshold"],
                detail=picture["detail"],
            )
    sample["images"] = [picture["image_id"] for picture in shown]
    sample["sample_id"] = records.sample_id(sample["images"], sample["messages"])
    notes = [f"image: {note}" for picture in shown for note in picture["notes"] or ()]
    sample["notes"] = [*(sample["notes"] or []), *notes]
    return None
