"""Write what a search for duplicates decided as tables, and count it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.dedup.clusters import find_clusters
from curation.dedup.compared_samples import ComparedSamples
from curation.dedup.config import DedupConfig
from curation.dedup.conflicts import find_conflicts
from curation.dedup.leaks import find_leaks
from curation.dedup.resolve import Fates
from curation.dedup.schemas import REASONS
from curation.matching.image_copies import Copies
from medsift.records import DECISIONS, DROPPED, GROUPS


@dataclass(frozen=True, slots=True)
class DecisionTables:
    """The fates of some samples, and what is to be reported of them."""

    decisions: pa.Table
    clusters: pa.Table
    conflicts: pa.Table
    leaks: pa.Table


def result_tables(
    pool: ComparedSamples, fates: Fates, ids: list[str], config: DedupConfig
) -> DecisionTables:
    """Return the tables about samples that are decided.

    Args:
        pool: The samples.
        fates: What becomes of them.
        ids: The pictures that they were read with.
        config: What counts as a contradiction.
    """
    samples, pictures, copies = pool.samples, pool.pictures, pool.copies
    content = pool.conversations, pictures, copies
    return DecisionTables(
        decisions=_decisions(samples, fates),
        clusters=find_clusters(samples, fates, ids, pictures, copies, pool.order),
        conflicts=find_conflicts(samples, *content, config.sample),
        leaks=find_leaks(samples, *content, pool.order),
    )


def statistics(
    rows: int, decisions: pa.Table, copies: Copies, semantic: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the counts and recalls of a search.

    Args:
        rows: Number of rows that were compared.
        decisions: Those that were dropped.
        copies: Copies among the pictures.
        semantic: Counts of the semantic search.
    """
    reasons = pc.value_counts(decisions["reason"]).to_pylist()
    return {
        "rows": rows,
        "kept": rows - decisions.num_rows,
        "dropped": {line["values"]: line["counts"] for line in sorted(reasons, key=_reason)},
        "images": len(copies.group),
        "image_groups": len(np.unique(copies.group)),
        "image_candidates": copies.candidates,
        "image_pairs_compared": copies.compared,
        "image_pairs_left_out": copies.left_out,
        "image_copies": len(copies.pairs),
        "image_pairs_mirrored": copies.mirrored,
        "image_recall": copies.recall,
        "image_method": copies.method,
        "semantic": dict(semantic),
    }


def _reason(line: Mapping[str, Any]) -> str:
    return str(line["values"])


def group_table(ids: list[str], copies: Copies) -> pa.Table:
    """Return the copy group of every picture (n), named by the group's smallest id."""
    names = pa.array(ids, pa.string())
    return pa.table([names, names.take(pa.array(copies.group))], GROUPS)


def _decisions(samples: pa.Table, fates: Fates) -> pa.Table:
    dropped = np.flatnonzero(~fates.kept)
    rows = samples["row_id"]
    columns = {
        "row_id": rows.take(pa.array(dropped)),
        "sample_id": samples["sample_id"].take(pa.array(dropped)),
        "stage": pa.array(["dedup"] * len(dropped), pa.string()),
        "action": pa.array([DROPPED] * len(dropped), pa.string()),
        "reason": pa.array([REASONS[code] for code in fates.reason[dropped]], pa.string()),
        "witness": rows.take(pa.array(fates.witness[dropped])),
        "value": pa.array(fates.value[dropped], pa.float64()),
        "threshold": pa.array(fates.threshold[dropped], pa.float64()),
        "detail": pa.nulls(len(dropped), pa.string()),
    }
    return pa.Table.from_arrays(list(columns.values()), schema=DECISIONS)
