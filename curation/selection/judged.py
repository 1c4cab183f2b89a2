"""Read the grades of a judge as scores that a selection can use."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from curation.scoring.percentiles import rank_percentiles
from medsift.manifest import read

JUDGED: Final = "judged"
PREFIX: Final = "judged_"
GRADES: Final = ("image_quality", "relevance", "correctness", "completeness", "clarity")
# Of several constructions the newest that graded a sample counts.
NEWEST: Final = """
SELECT j.sample_id, j.safe, j.judged, {grades}, p.stratum
FROM judgements j JOIN constructions c USING (run_id, construct_id)
JOIN (SELECT sample_id, min(coalesce(modality, '') || ' ' || coalesce(task_type, '')) AS stratum
      FROM samples WHERE run_id = $1 GROUP BY sample_id) p USING (sample_id)
WHERE j.run_id = $1 AND j.judged IS NOT NULL
QUALIFY row_number() OVER (PARTITION BY j.sample_id ORDER BY c.created_at DESC, c.construct_id) = 1
ORDER BY j.sample_id
"""


def read_judged(manifest: Path, run_id: str) -> pa.Table | None:
    """Return the columns scorer, sample_id and percentile of a run's grades; None without any.

    Scorers are `judged`, the mean, and `judged_correctness` and the like. A percentile is among the
    graded samples of the same modality and task. That of an unsafe sample is 0 for every scorer.
    """
    columns = ", ".join(f"j.{name}" for name in GRADES)
    table = read(manifest, NEWEST.format(grades=columns), [run_id])
    if not table.num_rows:
        return None
    unsafe = ~np.asarray(table["safe"].to_numpy(zero_copy_only=False), bool)
    parts = []
    for name in (JUDGED, *GRADES):
        values = table[name].cast(pa.float64()).to_numpy(zero_copy_only=False).astype(np.float64)
        percentile = rank_percentiles(values, table["stratum"].combine_chunks())
        percentile[unsafe] = 0.0
        scorer = name if name == JUDGED else f"{PREFIX}{name}"
        columns_of = {
            "scorer": pa.array([scorer] * len(table), pa.string()),
            "sample_id": table["sample_id"],
            "percentile": pa.array(percentile, pa.float64(), from_pandas=True),
        }
        parts.append(pa.table(columns_of))
    return pa.concat_tables(parts)
