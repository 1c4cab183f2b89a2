"""Decide every image reference by its picture's facts, and set the image ids of samples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from curation.joins import copy_to
from curation.privacy.curated_pictures import DROPPED
from curation.stages.image_files import FILES
from medsift import records
from medsift.execution import Tables
from medsift.images import ImagesConfig
from medsift.manifest.schema import quoted
from medsift.storage.mirror import fetch
from medsift.storage.parts import read_part, write_table

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

VERDICTS: Final = pa.schema(
    [pa.field("ref", pa.string(), nullable=False)]
    + [pa.field(name, pa.string()) for name in ("image_id", "action", "reason", "detail")]
    + [pa.field("value", pa.float64()), pa.field("threshold", pa.float64())]
    + [pa.field("notes", pa.list_(pa.string())), pa.field("masked_ref", pa.string())]
)
"""The result of a reference: an image id, or an action and its reason."""
RESOLVED: Final = pa.schema(
    [records.SAMPLES.field(name) for name in ("row_id", "sample_id", "refs", "images", "notes")]
)
"""The columns of a sample that its pictures decide: their ids and files, its own id, and notes."""
MASKED_REF: Final = "masked_ref"
"""The file of a picture's masked copy, null where the picture itself is used."""
FACTS: Final = ("content_id", "image_id", "blank_share", "notes", "error", "detail", MASKED_REF)
NO_FACTS: Final = (
    "SELECT NULL::VARCHAR AS content_id, NULL::VARCHAR AS image_id, NULL::FLOAT AS blank_share, "
    "NULL::VARCHAR[] AS notes, NULL::VARCHAR AS error, NULL::VARCHAR AS detail, "
    f"NULL::VARCHAR AS {MASKED_REF} LIMIT 0"
)
"""The SQL of FACTS where no file could be read."""
OF_PICTURE: Final = "picture_"


def verdicts(files: pa.Table, facts: pa.Table, config: ImagesConfig) -> pa.Table:
    """Return `VERDICTS` of every reference of `files`, in their order.

    Args:
        files: FILES, one row per reference.
        facts: FACTS, one row per content.
        config: When a picture is blank.
    """
    row = pc.index_in(files["content_id"], facts["content_id"].combine_chunks())
    known = facts.select(list(FACTS)).take(row)
    error = pc.coalesce(files["error"], known["error"])
    detail = pc.if_else(pc.is_valid(files["error"]), files["detail"], known["detail"])
    bad_file = pc.is_valid(error)
    # What the recipe drops for privacy is a decision, not a failure.
    private = pc.fill_null(pc.starts_with(error, DROPPED), False)
    failed = pc.and_(bad_file, pc.invert(private))
    # The same rule as `medsift.images.is_blank`, for a column.
    above = pc.greater_equal(known["blank_share"].cast(pa.float64()), config.blank_share)
    blank = pc.fill_null(pc.and_(above, pa.scalar(config.drop_blank)), False)
    blank = pc.and_(pc.invert(bad_file), blank)
    bad = pc.or_(bad_file, blank)
    nothing = pa.scalar(None, pa.string())
    action = pc.if_else(failed, records.FAILED, pc.if_else(bad, records.DROPPED, nothing))
    columns = {
        "ref": files["ref"],
        "image_id": pc.if_else(bad, nothing, known["image_id"]),
        "action": action,
        "reason": pc.if_else(blank, "image_blank", error),
        "detail": pc.if_else(bad_file, detail, nothing),
        "value": pc.if_else(blank, known["blank_share"].cast(pa.float64()), None),
        "threshold": pc.if_else(blank, config.blank_share, None),
        "notes": known["notes"],
        MASKED_REF: known[MASKED_REF],
    }
    return pa.table(columns).cast(VERDICTS)


def write_lookups(
    db: DuckDBPyConnection,
    samples: Sequence[Path],
    config: ImagesConfig,
    scratch: Path,
    folder: Path,
) -> list[Path]:
    """Write the verdicts on the references of every part of samples; return the files.

    A worker reads only those of its part, so that no task carries the pictures of the whole run.

    Args:
        db: An engine with the tables `files`, FILES of every reference, and `facts`, FACTS of
            every content.
        samples: The parts.
        config: When a picture is blank.
        scratch: A new folder for what is joined.
        folder: Where workers find their verdicts.
    """
    listed = ", ".join(quoted(str(fetch(part))) for part in samples)
    wanted = (
        f"SELECT list_position([{listed}], filename) - 1 AS part, unnest(refs) AS ref "
        f"FROM read_parquet([{listed}], hive_partitioning = false, filename = true)"
    )
    of_picture = ", ".join(f'p."{name}" AS "{OF_PICTURE}{name}"' for name in FACTS)
    query = (
        f"SELECT w.part, f.*, {of_picture} FROM (SELECT DISTINCT * FROM ({wanted})) w "
        "JOIN files f USING (ref) LEFT JOIN facts p ON p.content_id = f.content_id"
    )
    joined = copy_to(db, query, scratch, by="part")
    for number, part in enumerate(samples):
        lookup = VERDICTS.empty_table()
        if number in joined:
            # Threads write rows in any order, and equal runs have equal files.
            rows = read_part(joined[number]).sort_by("ref")
            pictures = rows.select([f"{OF_PICTURE}{name}" for name in FACTS])
            lookup = verdicts(rows.select(FILES.names), pictures.rename_columns(FACTS), config)
        write_table(lookup, folder / part.name)
    return [folder / part.name for part in samples]


class ResolveSamples:
    """Set the image ids of one part's samples on a worker, or record which picture failed them."""

    def __call__(self, item: tuple[Path, Path]) -> Iterator[Tables]:
        """Yield `updates` (the ids) and `decisions` for a part and its lookup."""
        part, lookup = item
        pictures = {picture["ref"]: picture for picture in read_part(lookup).to_pylist()}
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
    """Set the sample's ids, or return the ledger entry of its first bad picture."""
    of_sample = [pictures[ref] for ref in sample["refs"] or []]
    for picture in of_sample:
        if picture["action"] is not None:
            row, action, reason = sample["row_id"], picture["action"], picture["reason"]
            facts = {name: picture[name] for name in ("value", "threshold", "detail")}
            return records.decision(row, "images", action, reason, **facts)
    sample["refs"] = [picture[MASKED_REF] or picture["ref"] for picture in of_sample]
    sample["images"] = [picture["image_id"] for picture in of_sample]
    sample["sample_id"] = records.sample_id(sample["images"], sample["messages"])
    notes = [f"image: {note}" for picture in of_sample for note in picture["notes"] or ()]
    sample["notes"] = [*(sample["notes"] or []), *notes]
    return None
