"""Measure how well scores rank planted noise: wrong answers and wrong pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa

from curation.phantoms.noise import MISMATCHED, WRONG_ANSWER
from medsift.arrays import Doubles, Flags


@dataclass(frozen=True, slots=True)
class Suspicion:
    """A kind of planted noise, the scorer that should see it, and whether a high score is noise."""

    kind: str
    scorer: str
    noisy_is_high: bool


SUSPICIONS: Final = (
    Suspicion(WRONG_ANSWER, "label_noise", noisy_is_high=True),
    Suspicion(MISMATCHED, "alignment", noisy_is_high=False),
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
    lines = [_line(suspicion, planted, scores) for suspicion in SUSPICIONS]
    return pa.Table.from_pylist([line for line in lines if line is not None], schema=_SCHEMA)


def _line(suspicion: Suspicion, planted: dict[int, str], scores: pa.Table) -> dict[str, Any] | None:
    scored = [
        (line["value"], planted.get(line["row_index"]) == suspicion.kind)
        for line in scores.to_pylist()
        if line["scorer"] == suspicion.scorer
        and line["value"] is not None
        and planted.get(line["row_index"]) in (None, suspicion.kind)
    ]
    value = np.array([value for value, _ in scored], np.float64)
    noisy = np.array([flag for _, flag in scored], bool)
    if not noisy.any() or noisy.all():
        return None
    suspect = value if suspicion.noisy_is_high else -value
    return {
        "kind": suspicion.kind,
        "scorer": suspicion.scorer,
        "planted": int(noisy.sum()),
        "scored": len(noisy),
        "roc_auc": roc_auc(suspect, noisy),
        "average_precision": average_precision(suspect, noisy),
        "chance": float(noisy.mean()),
    }


_SCHEMA: Final = pa.schema(
    [
        ("kind", pa.string()),
        ("scorer", pa.string()),
        ("planted", pa.int64()),
        ("scored", pa.int64()),
        ("roc_auc", pa.float64()),
        ("average_precision", pa.float64()),
        ("chance", pa.float64()),
    ]
)


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
