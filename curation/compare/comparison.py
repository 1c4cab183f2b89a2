"""Compare selections by SQL over the manifest; the answers are small at any size."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Final

from curation.compare.table import Comparison
from curation.selection.budget import BYTES_PER_TOKEN
from medsift.errors import ManifestError, UsageError
from medsift.manifest.any_version import Line, ask, opened

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

# As `estimate_tokens` counts them, pictures for nothing.
_TOKENS: Final = f"""
ceil(coalesce(list_sum(list_transform(p.messages, lambda turn: strlen(turn.content))), 0)
     / {BYTES_PER_TOKEN}.0)::BIGINT
"""
# Lengths instead of texts: a connection for reading may not spill to the disk.
_COMPARED: Final = f"""
CREATE OR REPLACE TEMP TABLE compared AS
SELECT s.selection, s.row_id, s.weight, s.stratum, s.sample_id, length(p.question) AS question,
       length(p.answer) AS answer, {_TOKENS} AS tokens,
       list_transform(p.images, lambda image: image.image_id) AS images
FROM selections s JOIN samples p ON s.place = p.place
WHERE s.run_id = $run AND list_contains($names, s.selection)
"""
_IMAGES: Final = """
CREATE OR REPLACE TEMP TABLE compared_images AS
SELECT selection, image_id, count(DISTINCT row_id) AS samples
FROM (SELECT selection, row_id, unnest(images) AS image_id FROM compared) GROUP BY ALL
"""


def _lengths(column: str) -> str:
    return (
        f"avg({column}) AS {column}_mean, median({column}) AS {column}_median, "
        f"quantile_cont({column}, 0.9) AS {column}_p90"
    )


_PROFILES: Final = f"""
WITH made AS (
    SELECT selection, count(*) AS samples, sum(weight) AS weight,
           count(DISTINCT stratum) AS strata, count(*) FILTER (coalesce(len(images), 0) = 0)
             AS text_only, sum(tokens)::BIGINT AS tokens,
           {_lengths("question")}, {_lengths("answer")}
    FROM compared GROUP BY selection
), shown AS (
    SELECT selection, count(*) AS images, avg(samples) AS per_image_mean,
           max(samples) AS per_image_max
    FROM compared_images GROUP BY selection
), reached AS (
    SELECT selection, max_by(coverage, size) AS coverage FROM curves
    WHERE run_id = $run GROUP BY selection
)
SELECT made.*, coalesce(images, 0) AS images, per_image_mean, per_image_max,
       s.method, s.budget, coalesce(s.coverage, reached.coverage) AS coverage, s.objective
FROM made LEFT JOIN shown USING (selection) LEFT JOIN reached USING (selection)
LEFT JOIN selection_settings s ON s.run_id = $run AND s.selection = made.selection
"""
_OVERLAP: Final = """
WITH a AS (SELECT row_id FROM compared WHERE selection = $a),
b AS (SELECT row_id FROM compared WHERE selection = $b),
i AS (SELECT image_id FROM compared_images WHERE selection = $a),
j AS (SELECT image_id FROM compared_images WHERE selection = $b), counted AS (
    SELECT $a AS a, $b AS b, (SELECT count(*) FROM a SEMI JOIN b USING (row_id)) AS rows,
           (SELECT count(*) FROM a) AS rows_a, (SELECT count(*) FROM b) AS rows_b,
           (SELECT count(*) FROM i SEMI JOIN j USING (image_id)) AS images,
           (SELECT count(*) FROM i) AS images_a, (SELECT count(*) FROM j) AS images_b
)
SELECT *, rows / nullif(rows_a + rows_b - rows, 0) AS rows_jaccard,
       images / nullif(images_a + images_b - images, 0) AS images_jaccard FROM counted
"""
_STRATA: Final = """
WITH counted AS (
    SELECT stratum, max(pool) AS pool, map_from_entries(list((selection, selected))) AS by_name
    FROM coverage WHERE run_id = $run AND list_contains($names, selection) GROUP BY stratum
)
SELECT stratum, pool, [coalesce(by_name[name], 0) FOR name IN $names] AS selected,
       [number / nullif(pool, 0) FOR number IN selected] AS share
FROM counted ORDER BY pool DESC, stratum
"""
_SCORES: Final = """
SELECT scorer, selection, count(value) FILTER (isfinite(value)) AS n,
       avg(value) FILTER (isfinite(value)) AS mean,
       median(value) FILTER (isfinite(value)) AS median, avg(percentile) AS percentile
FROM scores JOIN compared USING (sample_id) WHERE scores.run_id = $run
GROUP BY ALL ORDER BY scorer
"""


def compare_selections(
    manifest: Path, names: Sequence[str], run_id: str | None = None
) -> Comparison:
    """Compare selections of the newest run that has all of them, or of `run_id`.

    Raises:
        UsageError: a name is given twice.
        ManifestError: no run has these selections; the message names those that exist.
    """
    for name in names:
        if list(names).count(name) > 1:
            raise UsageError(
                f"selection {name!r} is given twice; name two different ones",
                code="selection_invalid",
                selection=name,
            )
    with opened(manifest) as con:
        return compare(con, _run_with(con, manifest, names, run_id), names)


def compare(con: DuckDBPyConnection, run_id: str, names: Sequence[str]) -> Comparison:
    """Compare selections that exist, through a connection of `any_version.opened`."""
    names = list(names)
    con.execute(_COMPARED, {"run": run_id, "names": names})
    con.execute(_IMAGES)
    profiles = {line["selection"]: line for line in ask(con, _PROFILES, run=run_id)}
    return Comparison(
        run_id=run_id,
        names=names,
        profiles=[profiles[name] for name in names],
        overlaps=[ask(con, _OVERLAP, a=a, b=b)[0] for a, b in combinations(names, 2)],
        strata=ask(con, _STRATA, run=run_id, names=names),
        scores=_scores(ask(con, _SCORES, run=run_id), names),
    )


def selection_names(con: DuckDBPyConnection, run_id: str) -> list[str]:
    """Return the selections of a run, oldest first."""
    lines = ask(
        con,
        "SELECT selection FROM selections WHERE run_id = $run GROUP BY selection "
        "ORDER BY max(created_at), selection",
        run=run_id,
    )
    return [line["selection"] for line in lines]


def _run_with(
    con: DuckDBPyConnection, manifest: Path, names: Sequence[str], run_id: str | None
) -> str:
    runs = ask(con, "SELECT run_id FROM runs ORDER BY created_at DESC, run_id DESC")
    selections: dict[str, list[str]] = {
        line["run_id"]: selection_names(con, line["run_id"])
        for line in runs
        if run_id in (None, line["run_id"])
    }
    for run, known in selections.items():
        if set(names) <= set(known):
            return run
    if not selections:
        raise ManifestError(
            f"{manifest} has no run {run_id!r}; it has "
            + (", ".join(line["run_id"] for line in runs) or "none"),
            code="run_unknown",
            run_id=run_id,
        )
    run, known = next(iter(selections.items()))
    missing = [name for name in names if name not in known]
    raise ManifestError(
        f"run {run} of {manifest} has no selection {', '.join(map(repr, missing))}; "
        f"it has {', '.join(known) or 'none'}",
        code="selection_unknown",
        selections=missing,
        known=known,
    )


def _scores(lines: Sequence[Line], names: Sequence[str]) -> list[Line]:
    """Return one line for each scorer, with a cell for each selection."""
    cells: dict[str, dict[str, Line]] = {}
    for line in lines:
        cells.setdefault(line.pop("scorer"), {})[line.pop("selection")] = line
    return [
        {"scorer": scorer, "cells": [by.get(name) for name in names]}
        for scorer, by in cells.items()
    ]
