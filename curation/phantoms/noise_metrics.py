"""Measure how well scores rank planted noise: wrong answers and wrong pictures."""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa

from curation.phantoms.noise import MISMATCHED, WRONG_ANSWER
from medsift.arrays import Doubles, Flags

SUSPICIONS: Final = ((WRONG_ANSWER, "label_noise", 1.0), (MISMATCHED, "alignment", -1.0))
"""A kind of planted noise, the scorer that should see it, and the sign of a noisy score."""
_SCHEMA: Final = pa.schema(
    dict.fromkeys(("kind", "scorer"), pa.string())
    | dict.fromkeys(("planted", "scored"), pa.int64())
    | dict.fromkeys(("roc_auc", "average_precision", "chance"), pa.float64())
)


def rank_noise(truth: pa.Table, scores: pa.Table) -> pa.Table:
    """Compare scores (row_index, scorer, value) with the planted rows of `truth`.

    There is one line per kind: its planted rows that have a score, all rows that have one, ROC AUC,
    average precision, and the planted share, which is the average precision of chance. Kinds that
    were not planted, or whose scorer did not run, are left out. Rows with other planted defects are
    not counted.
    """
    planted: dict[int, str] = {
        line["row_index"]: line["kind"] for line in truth.select(["row_index", "kind"]).to_pylist()
    }
    lines = []
    for kind, scorer, sign in SUSPICIONS:
        scored = [
            (sign * line["value"], planted.get(line["row_index"]) == kind)
            for line in scores.to_pylist()
            if line["scorer"] == scorer
            and line["value"] is not None
            and planted.get(line["row_index"]) in (None, kind)
        ]
        suspect = np.array([value for value, _ in scored], np.float64)
        noisy = np.array([flag for _, flag in scored], bool)
        if noisy.any() and not noisy.all():
            figures = roc_auc(suspect, noisy), average_precision(suspect, noisy), noisy.mean()
            lines.append((kind, scorer, noisy.sum(), len(noisy), *map(float, figures)))
    columns = list(zip(*lines, strict=True)) or [()] * len(_SCHEMA)
    return pa.table(columns, schema=_SCHEMA)


def roc_auc(score: Doubles, positive: Flags) -> float:
    """Return the chance that a positive (n,) scores higher (n,) than a negative; ties count half.

    This is the Mann-Whitney statistic (Hanley and McNeil 1982).
    """
    ordered = np.sort(score[~positive])
    below = np.searchsorted(ordered, score[positive], "left")
    upto = np.searchsorted(ordered, score[positive], "right")
    return float((below + upto).sum() / (2.0 * len(ordered) * positive.sum()))


def average_precision(score: Doubles, positive: Flags) -> float:
    """Return the mean precision at each positive (n,), the highest score (n,) first."""
    # Equal scores share one threshold, so that their order does not matter.
    levels, member = np.unique(-score, return_inverse=True)
    hits = np.bincount(member, weights=positive, minlength=len(levels))
    counts = np.bincount(member, minlength=len(levels))
    precision = np.cumsum(hits) / np.cumsum(counts)
    return float((precision * hits).sum() / positive.sum())
