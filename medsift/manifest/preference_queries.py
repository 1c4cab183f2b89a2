"""Ask a manifest which right and wrong replies to one question there are, and pair them."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

import pyarrow as pa

from medsift.manifest.reading import read

ReplySource = Literal["rollouts", "attempts"]

_REPLIES: Final[dict[ReplySource, str]] = {
    # A cut reply has no end, which a pair would give it.
    "rollouts": """
        SELECT sample_id, prompt, NULL::VARCHAR AS reasoning, trim(reply) AS answer,
            correct AS good, count(*) AS often, min(draw) AS first
        FROM rollouts
        WHERE run_id = $run AND ($name IS NULL OR rollouts = $name) AND NOT blank
            AND correct IS NOT NULL AND trim(reply) <> '' AND NOT coalesce(cut, false)
        GROUP BY ALL""",
    # What is right and was refused for another fault teaches neither.
    "attempts": """
        SELECT sample_id, NULL::VARCHAR AS prompt, reasoning, trim(answer) AS answer,
            accepted AS good, count(*) AS often, min(attempt) AS first
        FROM attempts
        WHERE run_id = $run AND kind IN ('plain', 'reflective')
            AND ($name IS NULL OR construct_id = $name OR starts_with(construct_id, $name || '-'))
            AND (accepted OR verdict = 'wrong') AND trim(answer) <> ''
            AND finish_reason IS DISTINCT FROM 'length'
        GROUP BY ALL""",
}
_PAIRS: Final = """
WITH replies AS ({replies}),
ranked AS (
    SELECT *,
        row_number() OVER (
            PARTITION BY sample_id, prompt, good ORDER BY often DESC, first, answer, reasoning
        ) - 1 AS k,
        count(*) OVER (PARTITION BY sample_id, prompt, good) AS size
    FROM replies SEMI JOIN
        (FROM selections WHERE run_id = $run AND selection = $selection) USING (sample_id)
)
SELECT r.sample_id, r.prompt, r.reasoning AS chosen_reasoning, r.answer AS chosen,
    w.reasoning AS rejected_reasoning, w.answer AS rejected
FROM ranked r JOIN ranked w ON r.sample_id = w.sample_id
    AND r.prompt IS NOT DISTINCT FROM w.prompt AND r.good AND NOT w.good
    -- Each reply of the larger side once, those of the other in turn.
    AND CASE WHEN w.size >= r.size THEN r.k = w.k % r.size ELSE w.k = r.k % w.size END
QUALIFY row_number() OVER (
    PARTITION BY r.sample_id ORDER BY greatest(r.k, w.k), r.prompt
) <= $most
ORDER BY r.sample_id, greatest(r.k, w.k), r.prompt
"""


def reply_pairs(
    manifest: Path, run_id: str, selection: str, source: ReplySource, name: str | None, most: int
) -> pa.Table:
    """Return pairs of a right and a wrong reply to one prompt, the most frequent replies first.

    The columns are `sample_id`, `prompt` (null is the sample's own question), and answer and
    reasoning of both: `chosen`, `chosen_reasoning`, `rejected`, `rejected_reasoning`.

    Args:
        manifest: the DuckDB file.
        run_id: the run.
        selection: its samples are paired.
        source: the table that has the replies.
        name: set of rollouts, or construction; all of the run when None.
        most: pairs of one sample.
    """
    bound = {"run": run_id, "selection": selection, "name": name, "most": most}
    return read(manifest, _PAIRS.format(replies=_REPLIES[source]), bound)
