"""Declare the manifest's views, which answer common questions by plain SQL over the tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from medsift.manifest.schema import BY_NAME, quoted


@dataclass(frozen=True, slots=True)
class View:
    """One view: its SQL, the question that it answers, and the meaning of each column in order."""

    name: str
    meaning: str
    sql: str
    columns: Mapping[str, str]


_SELECTED: Final = """
    WITH newest AS (
      SELECT run_id, selection
      FROM (SELECT run_id, selection, max(created_at) AS made FROM selections GROUP BY ALL)
      QUALIFY row_number() OVER (PARTITION BY run_id ORDER BY made DESC, selection DESC) = 1
    )
    SELECT s.run_id, s.selection, s.rank, s.sample_id, s.row_id, s.weight, s.gain, s.stratum,
           p.modality, p.body_part, p.task_type, p.answer_type, p.split, p.question, p.answer,
           p.messages, p.images, p.source, p.language, p.patient_id, p.study_id, p.license,
           p.series_id, p.plane, p.laterality, p.age_class, p.sex
    FROM selections s
    JOIN newest n ON s.run_id = n.run_id AND s.selection = n.selection
    JOIN samples p ON s.place = p.place
"""

# With a witness the value is the similarity to it.
EXPLANATION: Final = """
    CASE action
      WHEN 'kept' THEN 'kept through ' || stage
      ELSE action || ' in ' || stage || ': ' || reason
        || CASE WHEN witness IS NULL THEN '' ELSE ' of row ' || witness END
        || CASE WHEN value IS NULL THEN '' ELSE ' ('
             || CASE WHEN witness IS NULL THEN 'value ' ELSE 'similarity ' END
             || printf('%.4g', value)
             || CASE WHEN threshold IS NULL THEN ''
                     WHEN value >= threshold THEN ' ≥ ' || printf('%.4g', threshold)
                     ELSE ' < ' || printf('%.4g', threshold) END
             || ')' END
        || CASE WHEN coalesce(detail, '') = '' THEN '' ELSE ': ' || detail END
    END
"""

_COVERAGE: Final = """
    WITH chosen AS (
      SELECT run_id, selection, stratum, count(*) AS selected, sum(weight) AS weight
      FROM selections GROUP BY ALL
    ), names AS (SELECT DISTINCT run_id, selection FROM chosen),
    expected AS (
      SELECT n.run_id, n.selection, s.stratum, s.pool
      FROM names n JOIN strata s ON n.run_id = s.run_id
    )
    SELECT coalesce(e.run_id, c.run_id) AS run_id, coalesce(e.selection, c.selection) AS selection,
           coalesce(e.stratum, c.stratum) AS stratum, coalesce(e.pool, 0) AS pool,
           coalesce(c.selected, 0) AS selected, coalesce(c.weight, 0) AS weight,
           coalesce(c.selected, 0) / nullif(e.pool, 0) AS share
    FROM expected e FULL JOIN chosen c
      ON e.run_id = c.run_id AND e.selection = c.selection AND e.stratum = c.stratum
"""

_TIMINGS: Final = """
    SELECT run_id, stage, operator, seconds, rows, rows / nullif(seconds, 0) AS rate
    FROM operators
    UNION ALL
    SELECT run_id, stage, 'whole stage', seconds, rows_in, rows_in / nullif(seconds, 0)
    FROM stages s ANTI JOIN operators o ON s.run_id = o.run_id AND s.stage = o.stage
"""


_CAPTIONS: Final = """
    SELECT run_id, sample_id, row_id, source, extra ->> '$.article' AS article,
           extra ->> '$.figure' AS figure, extra ->> '$.panel' AS panel, license, modality, split,
           answer AS caption
    FROM samples WHERE task_type = 'caption'
"""


def _columns(table: str, names: str) -> dict[str, str]:
    """Return the meanings of some columns of a table, in this order."""
    meanings = {column.name: column.meaning for column in BY_NAME[table].columns}
    return {name: meanings[name] for name in names.split()}


_RUN: Final = {"run_id": "run"}

VIEWS: Final[tuple[View, ...]] = (
    View(
        "selected_samples",
        "the newest selection of every run, with everything a trainer needs",
        _SELECTED,
        _RUN
        | _columns("selections", "selection rank sample_id row_id weight gain stratum")
        | _columns("samples", "modality body_part task_type answer_type split question answer")
        | _columns("samples", "messages images source language patient_id study_id license")
        | _columns("samples", "series_id plane laterality age_class sex"),
    ),
    View(
        "funnel",
        "where rows went; rows_in = kept + dropped + failed in every line",
        "SELECT run_id, stage, rows_in, kept, dropped, failed, seconds, ordinal, reused "
        "FROM stages ORDER BY run_id, ordinal",
        _RUN | _columns("stages", "stage rows_in kept dropped failed seconds ordinal reused"),
    ),
    View(
        "why",
        "what happened to each input row, in words: one line per row",
        "SELECT run_id, row_id, sample_id, stage, action, reason, witness, value, threshold, "
        f"{EXPLANATION} AS explanation FROM rows",
        _RUN
        | _columns("rows", "row_id sample_id stage action reason witness value threshold")
        | {"explanation": "the same in words"},
    ),
    View(
        "coverage",
        "what each selection keeps of each stratum, empty strata included",
        _COVERAGE,
        _RUN
        | {
            "selection": "selection name",
            "stratum": "stratum",
            "pool": "candidates in it",
            "selected": "how many of them are selected",
            "weight": "their total weight",
            "share": "selected / pool, null when the pool is empty",
        },
    ),
    View(
        "duplicates",
        "groups of duplicates and the member that represents each group",
        "SELECT run_id, kind, group_id, sample_id, survivor, similarity, member FROM clusters",
        _RUN | _columns("clusters", "kind group_id sample_id survivor similarity member"),
    ),
    View(
        "conflicts",
        "same image group and question, answers that contradict each other",
        "SELECT run_id, group_id, sample_id, question, answer, row_id FROM conflicts_found",
        _RUN | _columns("conflicts_found", "group_id sample_id question answer row_id"),
    ),
    View(
        "leaks",
        "samples of the pool that are also in a benchmark or held-out split",
        "SELECT run_id, sample_id, benchmark, item_id, kind, similarity, verdict, row_id "
        "FROM leaks_found",
        _RUN
        | _columns("leaks_found", "sample_id benchmark item_id kind similarity verdict row_id"),
    ),
    View(
        "captions",
        "pairs of picture and caption, with the article and figure that they are from",
        _CAPTIONS,
        _RUN
        | _columns("samples", "sample_id row_id source")
        | {
            "article": "article, where the source names one",
            "figure": "figure of the article",
            "panel": "panel of the figure",
        }
        | _columns("samples", "license modality split")
        | {"caption": "the caption"},
    ),
    View(
        "timings",
        "where the time went; a stage without operators has one line, 'whole stage'",
        _TIMINGS,
        _RUN | _columns("operators", "stage operator seconds rows") | {"rate": "rows per second"},
    ),
)


def view_ddl(view: View) -> list[str]:
    """Return the statements that create a view in the current database and comment on it."""
    return [
        f"CREATE VIEW {view.name} AS {view.sql}",
        f"COMMENT ON VIEW {view.name} IS {quoted(view.meaning)}",
        *(
            f'COMMENT ON COLUMN {view.name}."{name}" IS {quoted(meaning)}'
            for name, meaning in view.columns.items()
        ),
    ]
