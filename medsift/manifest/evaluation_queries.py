"""Queries about stored evaluations: which there are, their rows, and what their page shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from medsift.manifest import read

KNOWN: Final = """
SELECT run_id, evaluation_id, any_value(model) AS model, max(created_at) AS made
FROM evaluations GROUP BY ALL ORDER BY made DESC, evaluation_id
"""
STORED: Final = """
SELECT * EXCLUDE (run_id) FROM {table} WHERE run_id = $run AND evaluation_id = $evaluation
ORDER BY {keys}
"""
KEYS: Final = {"predictions": "benchmark, variant, item_id", "evaluations": "benchmark"}
ASKED: Final = """
SELECT benchmark, asked, unanswered FROM evaluations
WHERE run_id = $run AND evaluation_id = $evaluation AND protocol = $protocol
"""
_QUESTIONS: Final = """
SELECT s.row_id, s.sample_id, s.question, s.answer, s.answer_type, s.images, s.extra,
       s.patient_id, s.modality, s.body_part, s.task_type, s.language,
       s.source, s.study_id, s.license,
       len(list_filter(s.messages, lambda turn: turn.role = 'user')) AS turns
FROM samples s JOIN rows r ON r.run_id = s.run_id AND r.row_id = s.row_id
WHERE s.run_id = $run AND list_contains({wanted})
  AND (r.action = 'kept' OR r.stage = 'select')
ORDER BY s.row_id
"""
HELD_OUT: Final = _QUESTIONS.format(wanted="$splits, s.split")
"""Samples of a split that curation kept, selected or not."""
NAMED: Final = _QUESTIONS.format(wanted="$ids, s.sample_id")
"""Samples of some ids that curation kept, selected or not."""
SPLITS: Final = """
SELECT DISTINCT split FROM samples WHERE run_id = $run AND split != '' ORDER BY split
"""

PAGE_RUNS: Final = """
SELECT run_id FROM runs WHERE run_id IN (SELECT run_id FROM evaluations)
ORDER BY created_at DESC, run_id DESC
"""
PAGE_KNOWN: Final = """
SELECT DISTINCT evaluation_id FROM evaluations WHERE run_id = $run ORDER BY evaluation_id
"""
PAGE_EVALUATIONS: Final = """
SELECT evaluation_id, model, model_hash, training_id, benchmark, files, items, images,
       content_hash, variants, asked, left_out, unanswered, protocol, settings, seed, contaminated,
       packages, created_at::VARCHAR AS created_at, seconds, tokens
FROM evaluations WHERE run_id = $run AND list_contains($chosen, evaluation_id)
ORDER BY benchmark, model, created_at, evaluation_id
"""
# Every metric of whole benchmarks; of their parts the accuracy of the items as published.
PAGE_METRICS: Final = """
SELECT evaluation_id, benchmark, coalesce(variant, 'original') AS variant,
       coalesce(facet, 'all') AS facet, facet_value, metric, value, low, high, n, clusters,
       unparsed_rate
FROM metrics WHERE run_id = $run AND list_contains($chosen, evaluation_id)
  AND (coalesce(facet, 'all') = 'all'
       OR (metric = 'accuracy' AND coalesce(variant, 'original') = 'original'))
ORDER BY ALL
"""
PAGE_RELIABILITY: Final = """
SELECT evaluation_id, benchmark, bin, confidence_low, confidence_high, confidence, accuracy, low,
       high, n
FROM reliability WHERE run_id = $run AND list_contains($chosen, evaluation_id)
ORDER BY evaluation_id, benchmark, bin
"""
EXPLAINED: Final = """
SELECT count(*) > 0 AS explained FROM duckdb_columns()
WHERE table_name = 'predictions' AND column_name = 'explanation'
  AND database_name = current_database()
"""
"""Whether scores are explained: manifests before layout 4 have no such column."""
# Wrong answers of which the model was surest come first; then what could not be read; then what
# shares the fewest words with the right answer. The probability of an answer is that of the option
# it names; where that is not known, of the likeliest one. Benchmarks of a model take turns.
# Replies may be long and many: they are read of the chosen items alone.
PAGE_WORST: Final = """
WITH wrong AS (
    SELECT evaluation_id, benchmark, item_id, parse_status, token_f1, probabilities, CASE
        WHEN len(options) > 0 AND length(parsed) = 1 AND ascii(parsed) - 64 BETWEEN 1 AND 26
            THEN ascii(parsed) - 64
        WHEN len(options) > 0 THEN list_position([lower(trim(one)) for one in options], parsed)
        WHEN parsed IN ('yes', 'no') THEN 1 + (parsed = 'no')::INTEGER
    END AS place
    FROM predictions
    WHERE run_id = $run AND list_contains($chosen, evaluation_id)
      AND coalesce(variant, 'original') = 'original'
      AND (score < 1 OR parse_status = 'unparsed')
), sure AS (
    SELECT *, coalesce(list_extract(probabilities, place), list_max(probabilities)) AS sureness,
           CASE WHEN parse_status = 'unparsed' THEN 1
                WHEN sureness IS NOT NULL THEN 0 ELSE 2 END AS kind
    FROM wrong
), ranked AS (
    SELECT evaluation_id, benchmark, item_id, sureness, count(*) OVER own AS found,
           row_number() OVER (own ORDER BY kind, CASE WHEN kind = 0 THEN -sureness END,
                              CASE WHEN kind = 2 THEN coalesce(token_f1, 0) END, item_id) AS turn
    FROM sure WINDOW own AS (PARTITION BY evaluation_id, benchmark)
), worst AS (
    SELECT * FROM ranked
    QUALIFY row_number() OVER (PARTITION BY evaluation_id ORDER BY turn, benchmark) <= $most
)
SELECT evaluation_id, benchmark, item_id, question, options, gold, images, reply, error,
       probabilities, parsed, parse_status, token_f1, fault, {explanation} AS explanation,
       modality, task_type, answer_type, sureness, found
FROM worst JOIN predictions USING (evaluation_id, benchmark, item_id)
WHERE run_id = $run AND coalesce(variant, 'original') = 'original'
ORDER BY evaluation_id, benchmark, turn
"""


def run_ids(manifest: Path) -> list[str]:
    """Return the runs of a manifest, the newest first. Raises ManifestError."""
    sql = "SELECT run_id FROM runs ORDER BY created_at DESC, run_id DESC"
    return list(read(manifest, sql)["run_id"].to_pylist())


def known_evaluations(manifest: Path) -> list[dict[str, Any]]:
    """Return run_id, evaluation_id, model and time of all evaluations, the newest first.

    Raises ManifestError.
    """
    return list(read(manifest, KNOWN).to_pylist())


def read_evaluation(manifest: Path, run_id: str, evaluation_id: str, table: str) -> pa.Table:
    """Return the rows of an evaluation in one of the manifest's tables, in a fixed order.

    Args:
        manifest: The DuckDB file.
        run_id: The run of the evaluation.
        evaluation_id: The evaluation.
        table: The table's name; its `run_id` is left out.

    Raises ManifestError.
    """
    sql = STORED.format(table=table, keys=KEYS.get(table, "ALL"))
    rows = read(manifest, sql, {"run": run_id, "evaluation": evaluation_id})
    return rows.cast(pa.schema([(one.name, _plain_type(one.type)) for one in rows.schema]))


def _plain_type(kind: pa.DataType) -> pa.DataType:
    """Return plain strings and lists for DuckDB's string views and large lists."""
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return pa.list_(_plain_type(kind.value_type))
    return pa.string() if kind in (pa.string_view(), pa.large_string()) else kind
