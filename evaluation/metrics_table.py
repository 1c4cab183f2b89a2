"""From scored predictions to the manifest's metrics: a pure function, again and again the same."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from evaluation.recipe import split_facet
from evaluation.records import ORIGINAL
from evaluation.robustness import robustness
from medsift.errors import UsageError
from medsift.manifest.schema import arrow_schema
from medsift.replies.choice import right_options
from medsift.replies.closed import polarity
from medsift.statistics import (
    METRICS,
    Calibration,
    Resampling,
    breakdown,
    calibration,
    cluster_ids,
    option_confidence,
)
from medsift.statistics.breakdown import ALL, Facet

ACCURACY: Final = {"accuracy": "score"}
OPEN_METRICS: Final = (
    "exact_match",
    "token_precision",
    "token_recall",
    "token_f1",
    "bleu_1",
    "rouge_l",
    "contains",
    "judge",
)
RELIABILITY: Final = arrow_schema("reliability")
"""The manifest's table `reliability`."""


def summarise(
    scored: pa.Table, facets: Sequence[str], resampling: Resampling
) -> tuple[pa.Table, pa.Table]:
    """Metrics and reliability of scored predictions, as the manifest's tables hold them.

    Accuracy by every facet and variant; metrics of open answers on the originals; robustness
    where there are variants; calibration where there are probabilities. Raises UsageError for a
    facet that predictions do not know.
    """
    originals = scored.filter(pc.equal(pc.fill_null(scored["variant"], ORIGINAL), ORIGINAL))
    wanted = [split_facet(facet) for facet in facets]
    parts = [breakdown(with_facets(scored, wanted), wanted, ACCURACY, resampling)]
    present = [name for name in OPEN_METRICS if name in originals.column_names]
    filled = {name: name for name in present if originals[name].null_count < originals.num_rows}
    if filled:
        lines = breakdown(originals, (), filled, resampling)
        known = pc.and_(pc.not_equal(lines["metric"], "unparsed"), pc.greater(lines["n"], 0))
        parts.append(lines.filter(known))
    if originals.num_rows < scored.num_rows:
        parts.append(robustness(scored, resampling))
    errors, bins = _reliability(originals, resampling)
    [protocol] = pc.unique(scored["protocol"]).to_pylist()
    whole = pa.concat_tables([*parts, errors])
    return whole.append_column("protocol", pa.repeat(protocol, whole.num_rows)), bins


def with_facets(scored: pa.Table, facets: Sequence[Facet]) -> pa.Table:
    """The predictions with a column for every facet, out of `extra` where it is no column.

    Raises UsageError for one that neither knows.
    """
    names = [name for facet in facets for name in ([facet] if isinstance(facet, str) else facet)]
    lacking = sorted(set(names) - set(scored.column_names))
    if not lacking:
        return scored
    extras = [json.loads(text) if text else {} for text in scored["extra"].to_pylist()]
    known = sorted({key for extra in extras for key in extra})
    for name in lacking:
        if name not in known:
            raise UsageError(
                f"facet {name!r} is no column of the predictions and no key of their extra "
                f"({', '.join(known) or 'which is empty'}); correct `facets`",
                code="facet_unknown",
                facet=name,
                known=known,
            )
        values = [extra.get(name) for extra in extras]
        words = [
            value if value is None or isinstance(value, str) else json.dumps(value, sort_keys=True)
            for value in values
        ]
        scored = scored.append_column(name, pa.array(words, pa.string()))
    return scored


def gold_place(line: Mapping[str, Any]) -> int | None:
    """Place of the right answer among the probabilities of a prediction, None where unknown."""
    if line["options"]:
        right = right_options(line["gold"], tuple(line["options"]))
        return min(right)
    pole = polarity(line["gold"])
    return None if pole is None else int(not pole)


def _reliability(originals: pa.Table, resampling: Resampling) -> tuple[pa.Table, pa.Table]:
    """Expected calibration errors as lines of METRICS, and the bins behind them."""
    errors: list[dict[str, Any]] = []
    bins: list[dict[str, Any]] = []
    stated = originals.filter(pc.is_valid(originals["probabilities"]))
    names = (stated[name].to_pylist() for name in ("evaluation_id", "benchmark"))
    for evaluation, benchmark in sorted(set(zip(*names, strict=True))):
        own = pc.and_(
            pc.equal(stated["evaluation_id"], evaluation), pc.equal(stated["benchmark"], benchmark)
        )
        found = _calibrated(stated.filter(own), resampling)
        head = {"evaluation_id": evaluation, "benchmark": benchmark}
        whole = head | {"variant": ORIGINAL, "facet": ALL, "facet_value": ALL, "n": found.n}
        figures = {"ece": found.error, "ece_by_chance": found.by_chance}
        errors += [whole | {"metric": name, "value": value} for name, value in figures.items()]
        bins += [head | line for line in _bin_lines(found)]
    return (
        pa.Table.from_pylist(errors, schema=METRICS),
        pa.Table.from_pylist(bins, schema=RELIABILITY),
    )


def _calibrated(stated: pa.Table, resampling: Resampling) -> Calibration:
    lines = stated.select(["options", "gold", "probabilities"]).to_pylist()
    golds = [gold_place(line) for line in lines]
    known = [at for at, gold in enumerate(golds) if gold is not None]
    width = max((len(lines[at]["probabilities"]) for at in known), default=1)
    matrix = np.full((len(known), width), np.nan)
    for row, at in enumerate(known):
        given = lines[at]["probabilities"]
        matrix[row, : len(given)] = given
    right = np.array([golds[at] for at in known], np.int64)
    confidence, correct = option_confidence(matrix, right)
    clusters = cluster_ids(stated).take(pa.array(known, pa.int64()))
    return calibration(confidence, correct, clusters, resampling=resampling)


def _bin_lines(found: Calibration) -> list[dict[str, Any]]:
    return [
        {
            "bin": number,
            "confidence_low": one.low,
            "confidence_high": one.high,
            "confidence": one.confidence,
            "accuracy": one.accuracy.value,
            "low": one.accuracy.low,
            "high": one.accuracy.high,
            "n": one.accuracy.n,
        }
        for number, one in enumerate(found.bins)
    ]
