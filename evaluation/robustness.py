"""Measure what variants do to a model: drop, flips, worst case, rotations, and whether it looks.

Scored predictions are all it reads. Every figure is a mean over items with its interval by
cluster, in the manifest's table `metrics`:

* of each variant, `drop` (score lost against the original) and `flip_rate` (another answer);
* ``worst_case``: the lowest score of an item over the original and its `invariant` variants
  (HELM, Liang et al. 2022, arXiv 2211.09110, section 4.3);
* ``rotation_mean`` and ``all_rotations_right`` over every order of the options;
* ``grounding``: the score with as much hidden elsewhere, less that with the region hidden;
* the four-way table of arXiv 2603.20985: whether all paraphrases get the original's answer
  (consistent), and whether the answer changes without the picture (reliant).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from string import ascii_uppercase as LETTERS
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from evaluation.perturb.apply import BY_NAME, find_variant
from evaluation.records import ORIGINAL
from evaluation.scoring.coverage import check_once
from medsift.arrays import Doubles
from medsift.errors import UsageError
from medsift.replies.closed import polarity
from medsift.statistics import METRICS, Estimate, Resampling, cluster_ids, intervals
from medsift.statistics.breakdown import ALL
from medsift.text import normalise_answer

Codes = NDArray[np.int64]

READ: Final = (
    "evaluation_id",
    "benchmark",
    "item_id",
    "variant",
    "options",
    "gold",
    "parsed",
    "score",
)
FOUR_WAY: Final = {
    "consistent_reliant": (True, True),
    "consistent_unreliant": (True, False),
    "inconsistent_reliant": (False, True),
    "inconsistent_unreliant": (False, False),
}
"""Metric of each cell: whether the item is consistent, whether it is reliant on its picture."""
SIGNED: Final = ("drop", "grounding")
"""Metrics that are differences of scores, and may be negative."""


@dataclass(frozen=True, slots=True)
class Replies:
    """One model's replies to one benchmark as matrices, items (m) by variants (k).

    The original is the first variant. `score` is NaN where there is none. `answer` numbers what
    was answered, so that equal answers have equal numbers whatever letter or negation they came
    under; 0 is unparsed, -1 no reply. `options` (m,) counts the options of an item.
    """

    variants: Sequence[str]
    score: Doubles
    answer: Codes
    clusters: Sequence[str]
    options: Codes

    def columns(self, *families: str) -> list[int]:
        """Return the columns of the variants of these families."""
        return [at for at, name in enumerate(self.variants) if name.partition("@")[0] in families]

    def flips(self) -> Doubles:
        """Return 1 where a variant (m, k) got another answer than the original, 0 or NaN.

        A rotated option counts as the same by its words, a negated question's answer by its
        meaning; two unparsed replies are the same.
        """
        other = (self.answer != self.answer[:, [0]]).astype(np.float64)
        return np.where(self.answer >= 0, other, np.nan)

    def lowest(self, columns: Sequence[int]) -> Doubles:
        """Return the lowest score (m,) over the original and these variants.

        NaN where none of them was asked.
        """
        asked = (self.answer[:, columns] >= 0).any(axis=1)
        scores = self.score[:, [0, *columns]]
        lowest = np.where(np.isnan(scores), np.inf, scores).min(axis=1)
        return np.where(asked & np.isfinite(lowest), lowest, np.nan)


class Figure(NamedTuple):
    """Item values (m,) of one metric of one variant, and the columns of replies behind them."""

    variant: str
    metric: str
    values: Doubles
    columns: Sequence[int]


def robustness(
    scored: pa.Table, resampling: Resampling | None = None, removed: str = "no_image"
) -> pa.Table:
    """Return the robustness of scored predictions as rows of METRICS, facet `all`.

    Args:
        scored: predictions with `parsed` and `score` and the columns that name a cluster.
        resampling: draws and seed of the bootstrap.
        removed: the control that represents a removed picture in the four-way table.

    Raises UsageError where an item has no original reply, is answered twice, lacks some of its
    rotations, or a variant is unknown.
    """
    missing = [name for name in READ if name not in scored.column_names]
    if missing:
        raise UsageError(
            f"predictions lack {', '.join(missing)}; they have {', '.join(scored.column_names)}",
            code="predictions_incomplete",
            missing=missing,
        )
    check_once(scored)
    for name in set(scored["variant"].to_pylist()) - {None}:
        find_variant(name)
    rows: list[dict[str, Any]] = []
    groups = sorted(set(zip(*(scored[name].to_pylist() for name in READ[:2]), strict=True)))
    for evaluation, benchmark in groups:
        own = pc.and_(
            pc.equal(scored["evaluation_id"], evaluation), pc.equal(scored["benchmark"], benchmark)
        )
        head = {"evaluation_id": evaluation, "benchmark": benchmark}
        replies = read_replies(scored.filter(own))
        rows += [head | row for row in _metric_rows(replies, resampling, removed)]
    return pa.Table.from_pylist(rows, schema=METRICS)


def read_replies(scored: pa.Table) -> Replies:
    """Arrange the replies of one model to one benchmark by item and variant.

    Raises UsageError for items without original.
    """
    names = pc.fill_null(scored["variant"], ORIGINAL).to_pylist()
    ids: list[str] = scored["item_id"].to_pylist()
    variants = [ORIGINAL, *sorted(set(names) - {ORIGINAL}, key=variant_order)]
    items = sorted(set(ids))
    row_of = {item: at for at, item in enumerate(items)}
    column_of = {name: at for at, name in enumerate(variants)}
    row = np.array([row_of[item] for item in ids], np.int64)
    column = np.array([column_of[name] for name in names], np.int64)
    at = np.full((len(items), len(variants)), -1, np.int64)
    at[row, column] = np.arange(len(ids))
    originals = at[:, 0]
    lacking = np.flatnonzero(originals < 0)
    if lacking.size:
        first = items[int(lacking[0])]
        raise UsageError(
            f"{lacking.size} items have replies to variants but none to the original, the first is "
            f"{first!r}: ask the original too",
            code="predictions_incomplete",
            items=int(lacking.size),
            first=first,
        )
    score = np.full(at.shape, np.nan)
    score[row, column] = pc.fill_null(scored["score"].cast(pa.float64()), np.nan).to_numpy()
    answer = np.full(at.shape, -1, np.int64)
    answer[row, column] = _answers(scored, originals[row])
    sizes = pc.fill_null(pc.list_value_length(scored["options"]), 0).take(pa.array(originals))
    clusters = cluster_ids(scored).take(pa.array(originals)).to_pylist()
    return Replies(variants, score, answer, clusters, sizes.to_numpy().astype(np.int64))


def figures(replies: Replies, removed: str) -> Iterator[Figure]:
    """Yield every figure of a model on a benchmark. Raises UsageError for missing rotations."""
    lost, flips = replies.score[:, [0]] - replies.score, replies.flips()
    for at, variant in enumerate(replies.variants):
        if variant != ORIGINAL:
            yield Figure(variant, "drop", lost[:, at], [at])
            yield Figure(variant, "flip_rate", flips[:, at], [at])
    yield from _rotations(replies)
    region, elsewhere = replies.columns("mask_region"), replies.columns("mask_elsewhere")
    if region and elsewhere:
        gained = replies.score[:, elsewhere[0]] - replies.score[:, region[0]]
        yield Figure("mask_region", "grounding", gained, [*region, *elsewhere])
    invariant = [name for name, family in BY_NAME.items() if family.role == "invariant"]
    worst = replies.lowest(replies.columns(*invariant))
    yield Figure(ALL, "worst_case", worst, range(len(replies.variants)))
    control = replies.columns(removed)
    if control:
        rephrased, blind = flips[:, replies.columns("paraphrase")], flips[:, control[0]]
        known = ~np.isnan(rephrased).all(axis=1) & ~np.isnan(blind)
        consistent = ~(rephrased == 1.0).any(axis=1)
        columns = [0, *replies.columns("paraphrase", removed)]
        for name, (same, looks) in FOUR_WAY.items():
            cell = (consistent == same) & (blind == float(looks))
            yield Figure(ALL, name, np.where(known, cell, np.nan), columns)


def _rotations(replies: Replies) -> Iterator[Figure]:
    """Yield the mean over all orders of the options, and whether every order was right."""
    columns = replies.columns("rotation")
    asked = (replies.answer[:, columns] >= 0).sum(1)
    # The mean over orders is free of a model's liking for a letter only when no order lacks.
    lacking = int(((asked > 0) & (asked != replies.options - 1)).sum())
    if lacking:
        raise UsageError(
            f"{lacking} items lack some of their rotations: a choice of k options needs "
            "k - 1 of them besides the original; ask the rest",
            code="predictions_incomplete",
            items=lacking,
        )
    scores = replies.score[:, [0, *columns]]
    orders = np.maximum((~np.isnan(scores)).sum(1), 1)
    mean = np.where(asked > 0, np.nansum(scores, axis=1) / orders, np.nan)
    lowest = replies.lowest(columns)
    right = np.where(np.isnan(lowest), np.nan, (lowest == 1.0).astype(np.float64))
    yield Figure("rotation", "rotation_mean", mean, [0, *columns])
    yield Figure("rotation", "all_rotations_right", right, [0, *columns])


def _metric_rows(
    replies: Replies, resampling: Resampling | None, removed: str
) -> Iterator[dict[str, Any]]:
    known = [one for one in figures(replies, removed) if not np.isnan(one.values).all()]
    estimates: dict[int, Estimate] = {}
    for signed, bounds in ((True, (-1.0, 1.0)), (False, (0.0, 1.0))):
        columns = {
            str(at): one.values for at, one in enumerate(known) if (one.metric in SIGNED) == signed
        }
        found = intervals(columns, replies.clusters, resampling, bounds) if columns else {}
        estimates |= {int(at): estimate for at, estimate in found.items()}
    for at, figure in enumerate(known):
        behind = replies.answer[~np.isnan(figure.values)][:, figure.columns]
        yield {
            "variant": figure.variant,
            "facet": ALL,
            "facet_value": ALL,
            "metric": figure.metric,
            **asdict(estimates[at]),
            "unparsed_rate": float((behind == 0).sum() / (behind >= 0).sum()),
        }


def _answers(scored: pa.Table, originals: Codes) -> Codes:
    """Number (n,) each row's answer; `originals` (n,) is the row of its item's original."""
    golds: list[str] = scored["gold"].to_pylist()
    numbers: dict[str, int] = {}
    answers = np.zeros(scored.num_rows, np.int64)
    said = zip(scored["parsed"].to_pylist(), scored["options"].to_pylist(), strict=True)
    for at, (parsed, options) in enumerate(said):
        if parsed is not None:
            meaning = _meaning(parsed, options or (), golds[at], golds[int(originals[at])])
            answers[at] = numbers.setdefault(meaning, len(numbers) + 1)
    return answers


def _meaning(parsed: str, options: Sequence[str], gold: str, original: str) -> str:
    """Return an answer as the original question would have it: an option's words, yes, no, words.

    `original` is the gold of the original: where the golds are opposite, so are the questions.
    """
    if len(parsed) == 1 and parsed in LETTERS[: len(options)]:
        return options[LETTERS.index(parsed)]
    said, poles = polarity(parsed), (polarity(gold), polarity(original))
    if said is None:
        return normalise_answer(parsed)
    negated = gold != original and None not in poles and poles[0] != poles[1]
    return ("no", "yes")[said != negated]


def variant_order(variant: str) -> tuple[int, int, str]:
    """Order variants by family and level; families of other versions come last."""
    family, _, level = variant.partition("@")
    place = list(BY_NAME).index(family) if family in BY_NAME else len(BY_NAME)
    return (place, int(level) if level.isdecimal() else 0, variant)
