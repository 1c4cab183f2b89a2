"""Read the report's facts from the manifest; every answer is small whatever the run's size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from curation.report.selections import SelectionFacts, read_selections
from medsift.manifest.any_version import Line, ask

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

BINS = 40
MAX_POINTS = 5_000
MAX_LISTED = 20
MAX_EXAMPLES = 3
MAX_STRATA = 60
MAX_MODALITIES = 7
"""Scores are shown by modality up to so many modalities."""
UNKNOWN = "unknown"
# Sharpness spans orders of magnitude between modalities: without the logarithm all radiographs
# would be in one bin.
QUALITIES = {name: name for name in ("contrast", "entropy", "sharpness", "blank_share")}
QUALITIES["sharpness"] = "log10(sharpness + 1)"
QUALITY = """
SELECT ({value})::DOUBLE AS value, CASE WHEN kept THEN 'kept' ELSE 'dropped' END AS label
FROM pictures
"""

RUN = """
SELECT run_id, name, created_at::VARCHAR AS created_at, status, recipe::VARCHAR AS recipe, seed,
       packages::VARCHAR AS packages
FROM runs WHERE run_id = $run
"""

QUERIES: Final = {
    "stages": """
SELECT stage, rows_in, kept, dropped, failed, seconds, reused
FROM stages WHERE run_id = $run ORDER BY ordinal
""",
    "reasons": """
WITH counted AS (
    SELECT stage, action, reason, count(*) AS rows, min(row_id) AS first_row
    FROM decisions WHERE run_id = $run GROUP BY ALL
)
SELECT counted.stage, counted.action, counted.reason, counted.rows,
       first_row || ': ' || why.explanation AS example
FROM counted
LEFT JOIN stages ON stages.run_id = $run AND stages.stage = counted.stage
LEFT JOIN why ON why.run_id = $run AND why.row_id = first_row
ORDER BY stages.ordinal, counted.action, counted.rows DESC, counted.reason
""",
    "failures": f"""
SELECT stage, reason, count(*) AS rows,
       min({{'row_id': row_id, 'detail': detail}}, {MAX_EXAMPLES}) AS examples
FROM decisions WHERE run_id = $run AND action = 'failed'
GROUP BY ALL ORDER BY rows DESC, stage, reason
""",
    "sweep": """
SELECT modality, threshold, images, samples, confirmed
FROM sweep WHERE run_id = $run ORDER BY modality = 'all' DESC, modality, threshold
""",
    # What curation kept of each stratum; shown where the run has no selection.
    "strata": f"""
SELECT coalesce(modality, '{UNKNOWN}') AS modality, coalesce(task_type, '{UNKNOWN}') AS task_type,
       coalesce(answer_type, '{UNKNOWN}') AS answer_type, count(*) AS pool,
       count(*) FILTER (decisions.row_id IS NULL) AS kept
FROM samples LEFT JOIN decisions
  ON decisions.run_id = $run AND decisions.row_id = samples.row_id
WHERE samples.run_id = $run
GROUP BY ALL ORDER BY pool DESC, 1, 2, 3 LIMIT {MAX_STRATA}
""",
    "conflicts": f"""
SELECT group_id, question, list(DISTINCT answer ORDER BY answer) AS answers, count(*) AS samples
FROM conflicts WHERE run_id = $run
GROUP BY ALL ORDER BY samples DESC, group_id, question LIMIT {MAX_LISTED}
""",
    "leak_kinds": """
SELECT benchmark, kind, verdict, count(*) AS samples, min(similarity) AS lowest
FROM leaks WHERE run_id = $run
GROUP BY ALL ORDER BY samples DESC, benchmark, kind, verdict
""",
    "leaks": f"""
SELECT benchmark, kind, sample_id, item_id, similarity, verdict
FROM leaks WHERE run_id = $run ORDER BY benchmark, kind, sample_id, item_id LIMIT {MAX_LISTED}
""",
    "notes": f"""
WITH noted AS (
    SELECT 'rows' AS what, row_id AS id, unnest(notes) AS note FROM rows WHERE run_id = $run
    UNION
    SELECT 'rows', row_id, unnest(notes) FROM samples WHERE run_id = $run
    UNION
    SELECT 'images', ref, unnest(notes) FROM images WHERE run_id = $run
    UNION
    SELECT 'sources', name, concat_ws(': ', name, note) FROM measures
    WHERE run_id = $run AND stage = 'ingest'
)
SELECT note, what, count(*) AS count, min(id) AS example
FROM noted GROUP BY ALL ORDER BY count DESC, what, note LIMIT {MAX_LISTED}
""",
    "timings": """
SELECT timings.stage, operator, timings.seconds, rows, rate
FROM timings LEFT JOIN stages ON stages.run_id = $run AND stages.stage = timings.stage
WHERE timings.run_id = $run ORDER BY stages.ordinal, timings.seconds DESC, operator
""",
    "measures": """
SELECT stage, name, threshold, value, note FROM measures
WHERE run_id = $run ORDER BY stage, name, threshold
""",
}
"""Lists of the report's facts, by the names that `ReportFacts` gives them."""

# One line for each picture of a valid sample: its facts, and whether any of its samples is kept.
# An image's modality is the one that most of its samples name.
PICTURES = f"""
CREATE OR REPLACE TEMP TABLE pictures AS
WITH shown AS (
    SELECT unnest(samples.images).image_id AS image_id, samples.modality AS modality,
           decisions.row_id IS NULL AS kept
    FROM samples LEFT JOIN decisions
      ON decisions.run_id = $run AND decisions.row_id = samples.row_id
    WHERE samples.run_id = $run
), used AS (
    SELECT image_id, bool_or(kept) AS kept, coalesce(mode(modality ORDER BY modality), '{UNKNOWN}')
      AS modality
    FROM shown GROUP BY image_id
), facts AS (
    SELECT image_id, min(ref) AS ref, any_value(x) AS x, any_value(y) AS y,
           any_value(contrast) AS contrast, any_value(entropy) AS entropy,
           any_value(sharpness) AS sharpness, any_value(blank_share) AS blank_share
    FROM images WHERE run_id = $run GROUP BY image_id
)
SELECT facts.*, used.kept, used.modality FROM facts JOIN used USING (image_id)
"""

POINTS = f"""
SELECT x, y, modality, kept, regexp_extract(ref, '[^/]*$') AS name
FROM pictures WHERE isfinite(x) AND isfinite(y)
ORDER BY image_id LIMIT {MAX_POINTS}
"""

SCORERS = "SELECT DISTINCT scorer FROM scores WHERE run_id = $run ORDER BY scorer"

# Rows of equal content share their sample id, and so their scores.
SCORED = f"""
CREATE OR REPLACE TEMP TABLE scored AS
WITH shown AS (
    SELECT sample_id, coalesce(mode(modality ORDER BY modality), '{UNKNOWN}') AS modality
    FROM samples WHERE run_id = $run GROUP BY sample_id
)
SELECT scorer, value, coalesce(modality, '{UNKNOWN}') AS modality
FROM scores LEFT JOIN shown USING (sample_id) WHERE scores.run_id = $run
"""

SCORED_MODALITIES = """
SELECT modality FROM scored GROUP BY modality ORDER BY count(*) DESC, modality
"""

COUNTS = """
SELECT (SELECT count(*) FROM rows WHERE run_id = $run) AS rows,
       (SELECT count(DISTINCT image_id) FROM images WHERE run_id = $run) AS images,
       (SELECT count(*) FROM pictures WHERE isfinite(x) AND isfinite(y)) AS placed,
       (SELECT count(DISTINCT (kind, group_id)) FROM clusters WHERE run_id = $run) AS groups,
       (SELECT count(DISTINCT (group_id, question)) FROM conflicts WHERE run_id = $run)
         AS conflicts,
       (SELECT count(*) FROM leaks WHERE run_id = $run) AS leaks
"""


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts per bin of one measure, by group; `edges` has one value more than the counts."""

    name: str
    edges: list[float]
    counts: dict[str, list[int]]
    missing: int


@dataclass(frozen=True, slots=True)
class ReportFacts:
    """Everything that the page shows of one run, except the pictures."""

    run: Line
    counts: Line
    stages: list[Line]
    reasons: list[Line]
    failures: list[Line]
    points: list[Line]
    sweep: list[Line]
    qualities: list[Histogram]
    scores: list[Histogram]
    selections: SelectionFacts
    strata: list[Line]
    conflicts: list[Line]
    leak_kinds: list[Line]
    leaks: list[Line]
    notes: list[Line]
    timings: list[Line]
    measures: list[Line]


def read_facts(con: DuckDBPyConnection, run_id: str) -> ReportFacts:
    """Read everything that the page shows of run `run_id`."""
    con.execute(PICTURES, {"run": run_id})
    return ReportFacts(
        run=ask(con, RUN, run=run_id)[0],
        counts=ask(con, COUNTS, run=run_id)[0],
        points=ask(con, POINTS),
        qualities=[
            _histogram(con, name, QUALITY.format(value=value), ("kept", "dropped"))
            for name, value in QUALITIES.items()
        ],
        scores=_scores(con, run_id),
        selections=read_selections(con, run_id),
        **{name: ask(con, sql, run=run_id) for name, sql in QUERIES.items()},
    )


def _scores(con: DuckDBPyConnection, run_id: str) -> list[Histogram]:
    """Return a histogram for each scorer, by modality where they are few."""
    con.execute(SCORED, {"run": run_id})
    labels, column = [str(line["modality"]) for line in ask(con, SCORED_MODALITIES)], "modality"
    if not 1 < len(labels) <= MAX_MODALITIES:
        labels, column = ["samples"], "'samples'"
    source = f"SELECT value, {column} AS label FROM scored WHERE scorer = $scorer"
    return [
        _histogram(con, line["scorer"], source, labels, scorer=line["scorer"])
        for line in ask(con, SCORERS, run=run_id)
    ]


def _histogram(
    con: DuckDBPyConnection, name: str, source: str, labels: Sequence[str], **bound: str
) -> Histogram:
    """Count finite values in `BINS` equal bins.

    Args:
        con: The manifest.
        name: What is measured.
        source: A query of the columns value and label.
        labels: The labels, in the order in which they are shown.
        bound: Parameters of the query.
    """
    sql = f"""
        WITH given AS ({source}), finite AS (SELECT * FROM given WHERE isfinite(value)),
        span AS (SELECT min(value) AS low, max(value) AS high FROM finite)
        SELECT low, high, label, least({BINS - 1}, CASE WHEN high > low
                 THEN floor({BINS} * (value - low) / (high - low)) ELSE 0 END)::INTEGER AS bin,
               count(*) AS count,
               (SELECT count(*) FROM given) - (SELECT count(*) FROM finite) AS missing
        FROM finite, span GROUP BY ALL ORDER BY bin
    """
    lines = con.execute(sql, bound).fetchall()
    if not lines:
        return Histogram(name, [], {}, 0)
    low, high = lines[0][0], lines[0][1]
    bins = BINS if high > low else 1
    step = (high - low) / bins if high > low else 1.0
    counts = {label: [0] * bins for label in labels}
    for _, _, label, number, count, _ in lines:
        counts[label][number] = count
    edges = [low + step * number for number in range(bins + 1)]
    return Histogram(name, edges, counts, lines[0][5])
