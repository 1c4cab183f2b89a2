"""Warn about each source: columns that are not read, answers that fit no option."""

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


def remark(sources: Sequence[Reader], outputs: StageOutputs) -> dict[str, list[Unread]]:
    """Warn of each source once and write the same as ingest's `measures`, (name, value, note).

    Returns the columns of each source that are not read.

    `outputs` has the rows and samples that ingest wrote. A line's name is what was found and the
    source, its value the number of columns, rows or samples, its note the columns.
    """
    noted = _noted(outputs.rows)
    pictures = _pictures(outputs.samples)
    lines: list[dict[str, Any]] = []
    found: dict[str, list[Unread]] = {}
    for source in sources:
        unread = found[source.name] = source.unread()
        lines += _of_columns(source.name, unread, *pictures.get(source.name, (0, 0)))
        for note, count in sorted(noted.get(source.name, Counter()).items()):
            logger.warning("source %r: %s: rows %d", source.name, note, count)
            lines.append({"name": f"{note} ({source.name})", "value": count})
    table = pa.Table.from_pylist(
        [{"stage": "ingest", **line} for line in lines], schema=records.MEASURES
    )
    outputs.measures.write(table)
    return found


def _of_columns(
    source: str, unread: Sequence[Unread], samples: int, shown: int
) -> list[dict[str, Any]]:
    if not unread:
        return []
    words = ", ".join(map(str, unread))
    logger.warning("source %r: columns not read: %s; map them under columns", source, words)
    lines = [{"name": f"{NOT_READ} ({source})", "value": len(unread), "note": words}]
    lost = [column for column in unread if column.pictures]
    if lost and samples and not shown:
        names = ", ".join(column.column for column in lost)
        logger.warning(
            "source %r: NOT ONE of its %d samples has a picture, and %s looks like pictures: is"
            " it the column to map as images?",
            *(source, samples, names),
        )
        lines.append({"name": f"{TEXT_ALONE} ({source})", "value": samples, "note": names})
    return lines


def _noted(rows: OutputTable) -> dict[str, Counter[str]]:
    """Count, by source, the rows with a note that a reader should look at."""
    found: dict[str, Counter[str]] = {}
    for table in rows.read_parts(["source", "notes"]):
        parents = pc.list_parent_indices(table["notes"])
        notes = pc.list_flatten(table["notes"])
        fits = pc.or_(
            pc.is_in(notes, pa.array(FLAGS)), pc.match_substring_regex(notes, f"^(?:{WARNED})")
        )
        sources = table["source"].take(parents.filter(fits))
        pairs = pa.table({"source": sources, "note": notes.filter(fits)})
        counts = pairs.group_by(["source", "note"]).aggregate([([], "count_all")])
        for line in counts.to_pylist():
            found.setdefault(line["source"], Counter())[line["note"]] += line["count_all"]
    return found


def _pictures(samples: OutputTable) -> dict[str, tuple[int, int]]:
    """Count, by source, the samples and those of them that have a picture."""
    found: dict[str, tuple[int, int]] = {}
    for table in samples.read_parts(["source", "refs"]):
        has = pc.cast(pc.greater(pc.list_value_length(table["refs"]), 0), pa.int64())
        counts = pa.table({"source": table["source"], "has": has}).group_by("source")
        for line in counts.aggregate([("has", "sum"), ([], "count_all")]).to_pylist():
            samples_, shown = found.get(line["source"], (0, 0))
            found[line["source"]] = (
                samples_ + line["count_all"],
                shown + (line["has_sum"] or 0),
            )
    return found
