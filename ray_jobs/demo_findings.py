"""Say in plain lines what a demo showed: planted defects, the probe's verdict, the fine-tuning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from curation.phantoms.scorecard import DUPLICATES

if TYPE_CHECKING:
    from curation.probe.probe import ProbeResult
    from evaluation.evaluate import EvaluationResult

BEFORE: Final = "before"
AFTER: Final = "after"
ALL: Final = "all"
OTHER_PICTURE: Final = "swapped_image"
MARGIN: Final = 0.05
"""The margin of a comparison that asks only for superiority; it decides nothing here."""


def defects_finding(scorecard: pa.Table) -> str:
    """Return how many planted rows had the fate that their defect calls for, and the worst kind."""
    kinds = scorecard.filter(pc.not_equal(scorecard["kind"], DUPLICATES))
    planted, right = (pc.sum(kinds[name]).as_py() for name in ("planted", "found"))
    worst = min(kinds.to_pylist(), key=lambda line: (line["recall"], line["kind"]))
    line = (
        f"Planted defects: {right:,} of {planted:,} rows of {len(kinds)} kinds were dropped, "
        "reported or kept as their defect calls for"
    )
    if right < planted:
        line += f"; least of {worst['kind']} ({worst['found']} of {worst['planted']})"
    return f"{line}."


def probe_finding(probed: ProbeResult) -> str:
    """Return the verdict on the first arm of a probe."""
    return f"Selection: {probed.verdict}"


def compare_before_and_after(result: EvaluationResult) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the gain of the fine-tuned model, and what it loses with another picture.

    The gain is a line of `compare_models`, after against before; the loss is the metric `drop` of
    the variant `swapped_image`. Intervals are 95 %, paired by question and clustered by picture.

    Raises ManifestError.
    """
    from evaluation.compare_models import compare_models
    from medsift.manifest.evaluation_queries import read_evaluation

    names, ids = (result.evaluations[name].to_pylist() for name in ("model", "evaluation_id"))
    id_of = dict(zip(names, ids, strict=True))
    after, before = (
        read_evaluation(result.manifest, result.run_id, id_of[model], "predictions")
        for model in (AFTER, BEFORE)
    )
    drop = next(
        row
        for row in result.metrics.to_pylist()
        if (row["evaluation_id"], row["variant"]) == (id_of[AFTER], OTHER_PICTURE)
        and (row["metric"], row["facet"]) == ("drop", ALL)
    )
    return compare_models(after, before, MARGIN)[0], drop


def tuning_findings(gain: Mapping[str, Any], drop: Mapping[str, Any]) -> list[str]:
    """Return whether the model answers better than before, and than with another's picture.

    `gain` and `drop` are those of `compare_before_and_after`.
    """
    before, after = 100 * gain["second"], 100 * gain["first"]
    with_other = after - 100 * drop["value"]
    return [
        f"Fine-tuning: {before:.0f} % right before, {after:.0f} % after "
        f"on {gain['n']} held-out questions about {gain['clusters']} pictures: "
        f"{_points(gain['difference'], gain['low'], gain['high'])}.",
        f"Looking: {with_other:.0f} % right with another question's picture, "
        f"{after:.0f} % with its own: "
        f"{_points(drop['value'], drop['low'], drop['high'])}.",
    ]


def _points(value: float, low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return f"{100 * value:+.1f} points, without an interval"
    interval = f"{100 * value:+.1f} points [{100 * low:+.1f}, {100 * high:+.1f}]"
    if low > 0.0:
        return f"{interval}, better"
    return f"{interval}, {'worse' if high < 0.0 else 'not shown, since the interval contains zero'}"
