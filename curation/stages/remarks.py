"""Warn about each source's unread columns and about answers that fit no option."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from curation.sources.answers import FLAGS
from curation.sources.build_rows import WARNED
from curation.sources.reader import Reader, Unread
from curation.stage_outputs import OutputTable, StageOutputs
from medsift import records

logger = logging.getLogger(__name__)

NOT_READ: Final = "columns not read"
TEXT_ALONE: Final = "samples without pictures"
WITHDRAWN: Final = "withdrawn rows skipped"


def remark(sources: Sequence[Reader], outputs: StageOutputs) -> dict[str, list[Unread]]:
    """Warn about each source, write the same as ingest's `measures`, return its unread columns.

    `outputs` has the rows and samples that ingest wrote. The name of a measure is the finding and
    the source, its value the number of columns, rows or samples, its note the columns.
    """
    noted = _count_notes(outputs.rows)
    pictures = _count_pictures(outputs.samples)
    measures: list[dict[str, Any]] = []
    unread: dict[str, list[Unread]] = {}
    for source in sources:
        columns = unread[source.name] = source.unread()
        measures += _warn_of_columns(source.name, columns, *pictures.get(source.name, (0, 0)))
        for note, count in sorted(noted.get(source.name, Counter()).items()):
            logger.warning("source %r: %s: rows %d", source.name, note, count)
            measures.append({"name": f"{note} ({source.name})", "value": count})
    skipped = Counter(outputs.skipped.read(["source"])["source"].to_pylist())
    for source, count in sorted(skipped.items()):
        logger.warning("source %r still has %d rows that were withdrawn: skipped", source, count)
        measures.append({"name": f"{WITHDRAWN} ({source})", "value": count})
    rows = [{"stage": "ingest", **measure} for measure in measures]
    outputs.measures.write(pa.Table.from_pylist(rows, schema=records.MEASURES))
    return unread


def _warn_of_columns(
    source: str, unread: Sequence[Unread], samples: int, with_picture: int
) -> list[dict[str, Any]]:
    if not unread:
        return []
    words = ", ".join(map(str, unread))
    logger.warning("source %r: columns not read: %s; map them under columns", source, words)
    measures = [{"name": f"{NOT_READ} ({source})", "value": len(unread), "note": words}]
    names = ", ".join(column.column for column in unread if column.pictures)
    if names and samples and not with_picture:
        logger.warning(
            "source %r: NOT ONE of its %d samples has a picture, and %s looks like pictures: is"
            " it the column to map as images?",
            *(source, samples, names),
        )
        measures.append({"name": f"{TEXT_ALONE} ({source})", "value": samples, "note": names})
    return measures


def _count_notes(rows: OutputTable) -> dict[str, Counter[str]]:
    """Count, by source, the rows with a note that a person should look at."""
    counted: dict[str, Counter[str]] = {}
    for table in rows.read_parts(["source", "notes"]):
        parents = pc.list_parent_indices(table["notes"])
        notes = pc.list_flatten(table["notes"])
        fits = pc.or_(
            pc.is_in(notes, pa.array(FLAGS)), pc.match_substring_regex(notes, f"^(?:{WARNED})")
        )
        sources = table["source"].take(parents.filter(fits))
        pairs = pa.table({"source": sources, "note": notes.filter(fits)})
        counts = pairs.group_by(["source", "note"]).aggregate([([], "count_all")])
        for row in counts.to_pylist():
            counted.setdefault(row["source"], Counter())[row["note"]] += row["count_all"]
    return counted


def _count_pictures(samples: OutputTable) -> dict[str, tuple[int, int]]:
    """Count, by source, the samples and those of them that have a picture."""
    counted: dict[str, tuple[int, int]] = {}
    for table in samples.read_parts(["source", "refs"]):
        has = pc.cast(pc.greater(pc.list_value_length(table["refs"]), 0), pa.int64())
        counts = pa.table({"source": table["source"], "has": has}).group_by("source")
        for row in counts.aggregate([("has", "sum"), ([], "count_all")]).to_pylist():
            total, with_picture = counted.get(row["source"], (0, 0))
            total, with_picture = total + row["count_all"], with_picture + (row["has_sum"] or 0)
            counted[row["source"]] = total, with_picture
    return counted
