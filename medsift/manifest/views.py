"""The manifest's views: the questions users ask, answered by plain SQL over the tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from medsift.manifest.schema import VERDICTS, quoted


@dataclass(frozen=True, slots=True)
class View:
    """One view: its SQL, what it answers, and the meaning of each column in order."""

    name: str
    meaning: str
    sql: str
    columns: Mapping[str, str]


_NEWEST: Final = """
    SELECT run_id, selection
    FROM (SELECT run_id, selection, max(created_at) AS made FROM selections GROUP BY ALL)
    QUALIFY row_number() OVER (PARTITION BY run_id ORDER BY made DESC, selection DESC) = 1
"""

_SELECTED: Final = f"""
    WITH newest AS ({_NEWEST})
    SELECT s.run_id, s.selection, s.rank, s.sample_id, s.row_id, s.weight, s.gain, s.stratum,
           p.modality, p.body_part, p.task_type, p.answer_type, p.split, p.question, p.answer,
           p.messages, p.images, p.source, p.language, p.patient_id, p.study_id, p.license
    FROM selections s
    JOIN newest n ON s.run_id = n.run_id AND s.selection = n.selection
    JOIN samples p ON s.place = p.place
"""

# A value is a similarity where a witness stands on the other side of it.
_EXPLANATION: Final = """
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

_RUN: Final = {"run_id": "run"}

VIEWS: Final[tuple[View, ...]] = (
    View(
        "selected_samples",
        "the newest selection of every run, with everything a trainer needs",
        _SELECTED,
        _RUN
        | {
            "selection": "selection name",
            "rank": "place in the order, from 0",
            "sample_id": "sample",
            "row_id": "its row",
            "weight": "training weight",
            "gain": "marginal gain of the objective",
            "stratum": "stratum it counts for",
            "modality": "imaging technique",
            "body_part": "organ or region shown",
            "task_type": "what is asked",
            "answer_type": "closed, open or choice",
            "split": "train, validation or test",
            "question": "first user turn",
            "answer": "last assistant turn",
            "messages": "the conversation: list of (role, content)",
            "images": "its pictures: list of (image_id, ref)",
            "source": "source name of the recipe",
            "language": "language code of the text",
            "patient_id": "patient, where known",
            "study_id": "study, where known",
            "license": "licence of the record",
        },
    ),
    View(
        "funnel",
        "where rows went; rows_in = kept + dropped + failed in every line",
        "SELECT run_id, stage, rows_in, kept, dropped, failed, seconds, ordinal, reused "
        "FROM stages ORDER BY run_id, ordinal",
        _RUN
        | {
            "stage": "stage name",
            "rows_in": "rows that entered",
            "kept": "rows that went on",
            "dropped": "rows removed on purpose",
            "failed": "rows that could not be processed",
            "seconds": "wall time",
            "ordinal": "place of the stage in the run, from 0",
            "reused": "whether an earlier run's output was taken",
        },
    ),
    View(
        "why",
        "one line an input row: its fate in words",
        "SELECT run_id, row_id, sample_id, stage, action, reason, witness, value, threshold, "
        f"{_EXPLANATION} AS explanation FROM rows",
        _RUN
        | {
            "row_id": "source name, file and index",
            "sample_id": "its sample, null when it never became one",
            "stage": "stage that decided; the last stage for a kept row",
            "action": "kept, dropped or failed",
            "reason": "reason code, null when kept",
            "witness": "row_id of the kept row this one was too near to",
            "value": "measured value",
            "threshold": "value that decides",
            "explanation": "the same in words",
        },
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
            "selected": "of them selected",
            "weight": "their total weight",
            "share": "selected / pool, null when the pool is empty",
        },
    ),
    View(
        "duplicates",
        "groups and who stands for them",
        "SELECT run_id, kind, group_id, sample_id, survivor, similarity, member FROM clusters",
        _RUN
        | {
            "kind": "exact, image_copy, sample, text or semantic",
            "group_id": "group",
            "sample_id": "the member's sample; null for image_copy",
            "survivor": "member that stands for the group",
            "similarity": "nearness to the survivor",
            "member": "row_id; image_id for image_copy",
        },
    ),
    View(
        "conflicts",
        "same image group and question, answers that contradict each other",
        "SELECT run_id, group_id, sample_id, question, answer, row_id FROM conflicts_found",
        _RUN
        | {
            "group_id": "conflict",
            "sample_id": "sample that takes part",
            "question": "the question",
            "answer": "its answer",
            "row_id": "its row",
        },
    ),
    View(
        "leaks",
        "pool against benchmarks and held-out splits",
        "SELECT run_id, sample_id, benchmark, item_id, kind, similarity, verdict, row_id "
        "FROM leaks_found",
        _RUN
        | {
            "sample_id": "sample of the pool",
            "benchmark": "benchmark, or split:NAME for a split of the pool",
            "item_id": "held-out item",
            "kind": "same_image, image_copy, near_image, same_text, near_text or long_run",
            "similarity": "nearness to the item",
            "verdict": VERDICTS,
            "row_id": "its row",
        },
    ),
    View(
        "timings",
        "where the time went; a stage without operators has one line, 'whole stage'",
        _TIMINGS,
        _RUN
        | {
            "stage": "stage name",
            "operator": "part of the stage",
            "seconds": "time spent",
            "rows": "rows it handled",
            "rate": "rows a second",
        },
    ),
)


def view_ddl(view: View) -> list[str]:
    """Statements that create a view in the current database and comment on it."""
    return [
        f"CREATE VIEW {view.name} AS {view.sql}",
        f"COMMENT ON VIEW {view.name} IS {quoted(view.meaning)}",
        *(
            f'COMMENT ON COLUMN {view.name}."{name}" IS {quoted(meaning)}'
            for name, meaning in view.columns.items()
        ),
    ]
