"""Read the constructions of a run for its report: what was accepted, its cost, and traces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from medsift.manifest.any_version import Line, ask
from medsift.pages.chart_style import ACCENT, GONE, Figure, axis_title, layout
from medsift.pages.thumbnail import thumbnail

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

MAX_SHOWN: Final = 6
"""Constructions of a run that the report shows, the newest first."""
MAX_TRACES: Final = 50
MAX_CELLS: Final = 60
BINS: Final = 30

NEWEST: Final = """
SELECT construct_id, created_at::VARCHAR AS created_at, selection, teacher, judge, samples, kept,
       dropped, failed, calls, prompt_tokens, tokens, cost, path, seconds
FROM constructions WHERE run_id = $run
ORDER BY created_at DESC, construct_id LIMIT $limit
"""
_TAGS: Final = """
SELECT sample_id, coalesce(mode(modality ORDER BY modality), 'unknown') AS modality,
       coalesce(mode(task_type ORDER BY task_type), 'unknown') AS task_type
FROM samples WHERE run_id = $run GROUP BY sample_id
"""
# Questions put to a caption and attempts without the picture are no attempts at a trace.
CELLS: Final = f"""
SELECT modality, task_type, count(DISTINCT sample_id) AS samples, count(*) AS attempts,
       count(*) FILTER (accepted OR (kind = 'caption_to_qa' AND verdict = 'right')) AS accepted,
       sum(cost) AS cost, sum(tokens) AS tokens, median(reasoning_tokens) AS length,
       median(latency_s) AS seconds
FROM attempts JOIN ({_TAGS}) USING (sample_id)
WHERE attempts.run_id = $run AND construct_id = $construct AND kind <> 'blind'
GROUP BY ALL ORDER BY samples DESC, 1, 2 LIMIT {MAX_CELLS}
"""
VERDICTS: Final = """
SELECT verdict_by, count(*) FILTER (verdict = 'right') AS right,
       count(*) FILTER (verdict = 'wrong') AS wrong,
       count(*) FILTER (verdict = 'undecided') AS undecided
FROM attempts WHERE run_id = $run AND construct_id = $construct AND kind <> 'blind'
GROUP BY verdict_by ORDER BY count(*) DESC, 1
"""
REASONS: Final = """
SELECT coalesce(reason, 'kept') AS reason, action, count(*) AS traces
FROM traces WHERE run_id = $run AND construct_id = $construct
GROUP BY action, 1 ORDER BY action = 'kept' DESC, traces DESC, 1
"""
KINDS: Final = """
SELECT kind, count(*) AS traces, median(tokens) AS length
FROM traces WHERE run_id = $run AND construct_id = $construct AND action = 'kept'
GROUP BY ALL ORDER BY traces DESC, 1
"""
BLIND: Final = """
SELECT count(*) FILTER (text_solvable IS NOT NULL) AS asked,
       count(*) FILTER (text_solvable) AS solvable,
       count(*) FILTER (text_solvable AND action = 'kept') AS kept_solvable,
       count(*) FILTER (action = 'kept') AS kept
FROM traces WHERE run_id = $run AND construct_id = $construct
"""
LENGTHS: Final = """
SELECT reasoning_tokens AS tokens, accepted FROM attempts
WHERE run_id = $run AND construct_id = $construct AND kind <> 'blind' AND text IS NOT NULL
  AND reasoning <> ''
"""
# The order is that of a hash: as good as drawn, and the same in every report.
READ: Final = f"""
SELECT t.kind, t.reasoning, t.tokens, t.verdict_by, t.text_solvable, t.row_id,
       coalesce(t.question, s.question) AS question, coalesce(t.answer, s.answer) AS answer,
       s.answer AS before, s.images[1].ref AS ref
FROM traces t LEFT JOIN samples s ON s.run_id = $run AND s.row_id = t.row_id
WHERE t.run_id = $run AND construct_id = $construct AND action = 'kept'
ORDER BY hash(t.sample_id) LIMIT {MAX_TRACES}
"""
GRADES: Final = f"""
SELECT modality, count(*) AS samples, avg(image_quality) AS image_quality,
       avg(relevance) AS relevance, avg(correctness) AS correctness,
       avg(completeness) AS completeness, avg(clarity) AS clarity, avg(judged) AS judged,
       count(*) FILTER (NOT safe) AS unsafe
FROM judgements JOIN ({_TAGS}) USING (sample_id)
WHERE judgements.run_id = $run AND construct_id = $construct AND judged IS NOT NULL
GROUP BY ALL ORDER BY samples DESC, 1
"""
AGREEMENT: Final = """
SELECT dimension, rule, samples, images, good, agreement, kappa, kappa_low, kappa_high
FROM judge_agreement WHERE run_id = $run AND construct_id = $construct ORDER BY dimension, rule
"""


@dataclass(frozen=True, slots=True)
class ReadTrace:
    """A trace to read; `picture` is a data URI, or `missing` says why it is not shown."""

    line: Line
    picture: str | None
    missing: str | None


@dataclass(frozen=True, slots=True)
class ConstructionFacts:
    """What the report shows of one construction; `lengths` is None without any reasoning."""

    line: Line
    cells: list[Line]
    verdicts: list[Line]
    reasons: list[Line]
    kinds: list[Line]
    blind: Line
    lengths: Figure | None
    traces: list[ReadTrace]
    grades: list[Line]
    agreement: list[Line]

    @property
    def figure(self) -> str:
        """Return the name of its figure in the page."""
        return f"lengths-{self.line['construct_id']}"


def read_constructions(
    con: DuckDBPyConnection, run_id: str, construct_id: str | None = None
) -> list[ConstructionFacts]:
    """Return the newest constructions of a run, or one of them.

    Args:
        con: A connection of `any_version.opened`.
        run_id: The run.
        construct_id: A construction; the newest ones when None.
    """
    lines = ask(con, NEWEST, run=run_id, limit=MAX_SHOWN if construct_id is None else 1_000)
    chosen = [one for one in lines if construct_id in (None, one["construct_id"])]
    return [_facts(con, run_id, line) for line in chosen]


def _facts(con: DuckDBPyConnection, run_id: str, line: Line) -> ConstructionFacts:
    bound = {"run": run_id, "construct": line["construct_id"]}
    return ConstructionFacts(
        line=line,
        cells=ask(con, CELLS, **bound),
        verdicts=ask(con, VERDICTS, **bound),
        reasons=ask(con, REASONS, **bound),
        kinds=ask(con, KINDS, **bound),
        blind=ask(con, BLIND, **bound)[0],
        lengths=_lengths(ask(con, LENGTHS, **bound)),
        traces=[_trace(one) for one in ask(con, READ, **bound)],
        grades=ask(con, GRADES, **bound),
        agreement=ask(con, AGREEMENT, **bound),
    )


def _trace(line: Line) -> ReadTrace:
    picture, missing = thumbnail(line["ref"]) if line["ref"] else (None, None)
    return ReadTrace(line, picture, missing)


def _lengths(lines: list[Line]) -> Figure | None:
    """Draw how long accepted and refused replies are."""
    if not lines:
        return None
    highest = max(line["tokens"] for line in lines)
    width = max(1, -(-(highest + 1) // BINS))
    traces = []
    for name, wanted, colour in (("accepted", True, ACCENT), ("refused", False, GONE)):
        counts = [0] * (highest // width + 1)
        for line in lines:
            counts[line["tokens"] // width] += line["accepted"] is wanted
        traces.append(
            {
                "type": "bar",
                "name": name,
                "x": [at * width + width / 2 for at in range(len(counts))],
                "y": counts,
                "width": [width * 0.9] * len(counts),
                "marker": {"color": colour},
                "hovertemplate": "about %{x:.0f} tokens: %{y:,} " + name + "<extra></extra>",
            }
        )
    x = {"title": axis_title("estimated tokens of a reply's reasoning"), "rangemode": "tozero"}
    y = {"title": axis_title("replies"), "tickformat": ",d", "rangemode": "tozero"}
    return traces, layout(240, x, y, barmode="stack", bargap=0.1)
