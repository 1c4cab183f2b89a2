"""How well the probe's diagnosis recovers planted wrong answers: flip answers of curated phantoms.

    python -m benchmarks.label_noise_levels RUN [RUN ...]

Each RUN is a curated phantom set (`medsift demo --no-train`). Answers of its closed and choice
samples are replaced by another one that could have been given, for 0, 10 and 30 % of them (fewer
flips are among the more), `label_noise` scores the pool anew, and the share that the diagnosis
reads off is printed next to what was planted. The set's own noise comes on top: a
demo of 400 pictures has 50 wrong answers and 50 pictures of another patient, about 5 % of them.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from curation.pool import load_pool
from curation.pool.pool import Pool
from curation.probe.pool_figures import measure_doubts
from curation.run_dir import open_run
from curation.scoring.label_noise import LabelNoiseConfig
from curation.scoring.scorer import ScoringContext
from medsift.execution import LocalExecutor
from medsift.options import split_options

SHARES: Final = (0.0, 0.1, 0.3)
YES_NO: Final = {"yes": "no", "no": "yes"}


def flipped(pool: Pool, share: float) -> tuple[Pool, int]:
    """Return the pool with a share of its closed and choice answers replaced, and how many."""
    answers = pool.samples["answer"].to_pylist()
    questions = pool.samples["question"].to_pylist()
    kinds = pool.samples["answer_type"].to_pylist()
    rng = np.random.default_rng(0)
    rows = np.array([row for row, kind in enumerate(kinds) if kind in ("closed", "choice")])
    rows = rng.permutation(rows)[: round(share * len(rows))]
    for row in rows.tolist():
        if kinds[row] == "closed":
            answers[row] = YES_NO[answers[row]]
        else:
            letters = "ABCDE"[: len(split_options(questions[row])[1])]
            others = [letter for letter in letters if letter != answers[row]]
            answers[row] = others[row % len(others)]
    place = pool.samples.column_names.index("answer")
    field = pool.samples.schema.field("answer")
    samples = pool.samples.set_column(place, field, pa.array(answers, field.type))
    return replace(pool, samples=samples), len(rows)


def main() -> None:
    """Print planted and read shares for every run."""
    for folder in sys.argv[1:]:
        run = open_run(Path(folder))
        pool = load_pool(run.upstream, run.recipe.strata, shared_space=False)
        group = np.unique(np.array(pool.image_groups), return_inverse=True)[1]
        config = LabelNoiseConfig(kind="label_noise")
        for share in SHARES:
            noisy, count = flipped(pool, share)
            context = ScoringContext(
                noisy, lambda: None, LocalExecutor(), Path(), Path(), run.recipe.seed, print
            )
            wrong = config.score(context)
            known = np.flatnonzero(~np.isnan(wrong))
            doubts = measure_doubts(wrong[known], group[known].astype(np.int64), config.noise_rate)
            low, high = 100 * (doubts.low or 0.0), 100 * (doubts.high or 0.0)
            print(
                f"{folder}: {100 * share:.0f} % planted ({count:,}), {doubts.judged:,} judged, "
                f"{100 * (doubts.share or 0.0):.1f} % contradicted ({low:.1f} to {high:.1f})",
                flush=True,
            )


if __name__ == "__main__":
    main()
