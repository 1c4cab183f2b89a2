"""Measure what variants do to a model: drop, flips, worst case, rotations, and whether it looks.

All from scored predictions, one line an item and variant; no model, no benchmark. Every figure is
a mean over items with its interval by cluster, in the manifest's table `metrics`:

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
from dataclasses import dataclass
from string import ascii_uppercase as LETTERS
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from evaluation.perturb.apply import BY_NAME, find_variant
from evaluation.records import ORIGINAL
from evaluation.scoring.closed import polarity
from evaluation.scoring.coverage import check_once
from evaluation.statistics import METRICS, Estimate, Resampling, cluster_ids, intervals
from medsift.arrays import Doubles
from medsift.errors import UsageError
from medsift.text import normalise_answer

Codes = NDArray[np.int64]

ALL: Final = "all"
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


@dataclass(frozen=True, slots=True)
class Replies:
    """One model's replies to one benchmark as matrices, items (m) by variants (k).

    `score` is NaN where there is none. `answer` numbers what was answered, so that equal answers
    have equal numbers whatever letter or negation they came under; 0 is unparsed, -1 no reply.
    """

    variants: Sequence[str]
    score: Doubles
    answer: Codes
    clusters: Sequence[str]
    options: Codes

    def columns(self, *families: str) -> list[int]:
        """Places of the variants of these families."""
        return [at for at, name in enumerate(self.variants) if _family(name) in families]

    @property
    def original(self) -> int:
        """Place of the original."""
        return self.variants.index(ORIGINAL)


def robustness(
    scored: pa.Table, resampling: Resampling | None = None, removed: str = "no_image"
) -> pa.Table:
    """Robustness of scored predictions as lines of METRICS, facet `all`.

    Args:
        scored: predictions with `parsed` and `score` and what names a cluster.
        resampling: draws and seed of the bootstrap.
        removed: the control that represents a removed picture in the four-way table.

    Raises UsageError where an item has no original reply, is answered twice, lacks some of its
    rotations, or a variant is unknown.
    """
    _check(scored)
    lines = []
    groups = sorted(set(zip(*(scored[name].to_pylist() for name in READ[:2]), strict=True)))
    for evaluation, benchmark in groups:
        same = pc.and_(
            pc.equal(scored["evaluation_id"], evaluation), pc.equal(scored["benchmark"], benchmark)
        )
        replies = read_replies(scored.filter(same))
        head = {"evaluation_id": evaluation, "benchmark": benchmark}
        lines += [head | line for line in _lines(replies, resampling, removed)]
    return pa.Table.from_pylist(lines, schema=METRICS)


def read_replies(scored: pa.Table) -> Replies:
    """The replies of one model to one benchmark. Raises UsageError for items without original."""
    names = pc.fill_null(scored["variant"], ORIGINAL).to_pylist()
    ids: list[str] = scored["item_id"].to_pylist()
    variants = [ORIGINAL, *sorted(set(names) - {ORIGINAL}, key=_order)]
    row_of, column_of = _places(sorted(set(ids))), _places(variants)
    row = np.array([row_of[item] for item in ids], np.int64)
    column = np.array([column_of[name] for name in names], np.int64)
    at = np.full((len(row_of), len(variants)), -1, np.int64)
    at[row, column] = np.arange(len(ids))
    _check_originals(at[:, 0], sorted(row_of))
    score = np.full(at.shape, np.nan)
    score[row, column] = pc.fill_null(scored["score"].cast(pa.float64()), np.nan).to_numpy()
    answer = np.full(at.shape, -1, np.int64)
    answer[row, column] = _answers(scored, at[:, 0][row])
    firsts = pa.array(at[:, 0])
    sizes = pc.fill_null(pc.list_value_length(scored["options"]), 0).take(firsts)
    clusters = cluster_ids(scored).take(firsts).to_pylist()
    return Replies(variants, score, answer, clusters, sizes.to_numpy().astype(np.int64))


def drops(replies: Replies) -> Doubles:
    """Score (m, k) lost against the original, NaN where a variant was not asked."""
    lost: Doubles = replies.score[:, [replies.original]] - replies.score
    return lost


def flips(replies: Replies) -> Doubles:
    """1 where a variant (m, k) got another answer than the original, 0 where the same, or NaN.

    A rotated option counts as the same by its words, a negated question's answer by its meaning;
    two unparsed replies are the same.
    """
    other = (replies.answer != replies.answer[:, [replies.original]]).astype(np.float64)
    return np.where(replies.answer >= 0, other, np.nan)


def worst_case(replies: Replies) -> Doubles:
    """Lowest score (m,) over the original and all `invariant` variants; NaN where there is none."""
    invariant = [name for name, family in BY_NAME.items() if family.role == "invariant"]
    return _lowest(replies, replies.columns(*invariant))


def rotations(replies: Replies) -> tuple[Doubles, Doubles]:
    """Mean score (m,) over all orders of the options, and 1 where every order was right.

    NaN for items that were not rotated. Raises UsageError where some of an item's orders lack.
    """
    columns = replies.columns("rotation")
    asked = (replies.answer[:, columns] >= 0).sum(1)
    lacking = (asked > 0) & (asked != replies.options - 1)
    if lacking.any():
        raise UsageError(
            f"{int(lacking.sum())} items lack some of their rotations: a choice of k options needs "
            "k - 1 of them beside the original; ask the rest",
            code="predictions_incomplete",
        )
    scores = replies.score[:, [replies.original, *columns]]
    orders = np.maximum((~np.isnan(scores)).sum(1), 1)
    mean = np.where(asked > 0, np.nansum(scores, axis=1) / orders, np.nan)
    lowest = _lowest(replies, columns)
    return mean, np.where(np.isnan(lowest), np.nan, (lowest == 1.0).astype(np.float64))


def grounding(replies: Replies) -> Doubles:
    """Score (m,) with as much hidden elsewhere, less the score with the region hidden."""
    region, elsewhere = replies.columns("mask_region"), replies.columns("mask_elsewhere")
    if not region or not elsewhere:
        return np.full(len(replies.score), np.nan)
    gained: Doubles = replies.score[:, elsewhere[0]] - replies.score[:, region[0]]
    return gained


def four_way(replies: Replies, removed: str = "no_image") -> dict[str, Doubles]:
    """Of each cell of the four-way table, 1 for the items (m,) in it and 0 for the others.

    NaN for items without a paraphrase or without the control `removed`.
    """
    changed = flips(replies)
    rephrased, without = changed[:, replies.columns("paraphrase")], replies.columns(removed)
    # Without the control nothing is known of any item.
    blind = changed[:, without[0]] if without else np.full(len(changed), np.nan)
    known = ~np.isnan(rephrased).all(axis=1) & ~np.isnan(blind)
    consistent = ~(rephrased == 1.0).any(axis=1)
    return {
        name: np.where(known, (consistent == same) & (blind == float(looks)), np.nan)
        for name, (same, looks) in FOUR_WAY.items()
    }


@dataclass(frozen=True, slots=True)
class _Figure:
    """Item values (m,) of one metric of one variant, and the columns of replies behind them."""

    variant: str
    metric: str
    values: Doubles
    read: Sequence[int]

    @property
    def bounds(self) -> tuple[float, float]:
        """Where values may lie: a difference may be negative."""
        return (-1.0, 1.0) if self.metric in ("drop", "grounding") else (0.0, 1.0)


def _figures(replies: Replies, removed: str) -> Iterator[_Figure]:
    lost, changed = drops(replies), flips(replies)
    for at, variant in enumerate(replies.variants):
        if variant != ORIGINAL:
            yield _Figure(variant, "drop", lost[:, at], [at])
            yield _Figure(variant, "flip_rate", changed[:, at], [at])
    original, every = replies.original, range(len(replies.variants))
    mean, right = rotations(replies)
    turned = [original, *replies.columns("rotation")]
    yield _Figure("rotation", "rotation_mean", mean, turned)
    yield _Figure("rotation", "all_rotations_right", right, turned)
    masks = replies.columns("mask_region", "mask_elsewhere")
    yield _Figure("mask_region", "grounding", grounding(replies), masks)
    yield _Figure(ALL, "worst_case", worst_case(replies), every)
    seen = [original, *replies.columns("paraphrase", removed)]
    for name, values in four_way(replies, removed).items():
        yield _Figure(ALL, name, values, seen)


def _lines(
    replies: Replies, resampling: Resampling | None, removed: str
) -> Iterator[dict[str, Any]]:
    figures = [one for one in _figures(replies, removed) if not np.isnan(one.values).all()]
    found: dict[int, Estimate] = {}
    for bounds in {one.bounds for one in figures}:
        columns = {str(at): one.values for at, one in enumerate(figures) if one.bounds == bounds}
        estimates = intervals(columns, replies.clusters, resampling, bounds)
        found |= {int(at): estimate for at, estimate in estimates.items()}
    for at, one in enumerate(figures):
        yield _line(one, found[at], replies)


def _line(figure: _Figure, found: Estimate, replies: Replies) -> dict[str, Any]:
    given = replies.answer[~np.isnan(figure.values)][:, figure.read]
    return {
        "variant": figure.variant,
        "facet": ALL,
        "facet_value": ALL,
        "metric": figure.metric,
        "value": found.value,
        "low": found.low,
        "high": found.high,
        "n": found.n,
        "clusters": found.clusters,
        "unparsed_rate": float((given == 0).sum() / (given >= 0).sum()),
    }


def _lowest(replies: Replies, columns: Sequence[int]) -> Doubles:
    """Lowest score (m,) over the original and these variants, NaN where none of them was asked."""
    asked = (replies.answer[:, columns] >= 0).any(axis=1)
    scores = replies.score[:, [replies.original, *columns]]
    lowest = np.where(np.isnan(scores), np.inf, scores).min(axis=1)
    return np.where(asked & np.isfinite(lowest), lowest, np.nan)


def _answers(scored: pa.Table, originals: Codes) -> Codes:
    """Number (n,) of each row's answer; `originals` (n,) is the row of its item's original."""
    golds: list[str] = scored["gold"].to_pylist()
    numbers: dict[str, int] = {}
    found = np.zeros(scored.num_rows, np.int64)
    said = zip(scored["parsed"].to_pylist(), scored["options"].to_pylist(), strict=True)
    for at, (parsed, options) in enumerate(said):
        if parsed is not None:
            meant = _meaning(parsed, options or (), golds[at], golds[int(originals[at])])
            found[at] = numbers.setdefault(meant, len(numbers) + 1)
    return found


def _meaning(parsed: str, options: Sequence[str], gold: str, original: str) -> str:
    """An answer as the original question would have it: an option's words, yes or no, or words."""
    if len(parsed) == 1 and parsed in LETTERS[: len(options)]:
        return options[LETTERS.index(parsed)]
    pole = None if gold == original else (polarity(gold), polarity(original))
    said = polarity(parsed)
    if pole and said is not None and None not in pole and pole[0] != pole[1]:
        return ("yes", "no")[said]
    return normalise_answer(parsed) if said is None else ("no", "yes")[said]


def _check(scored: pa.Table) -> None:
    missing = [name for name in READ if name not in scored.column_names]
    if missing:
        raise UsageError(
            f"predictions lack {', '.join(missing)}; they have {', '.join(scored.column_names)}",
            code="predictions_incomplete",
        )
    check_once(scored)
    for name in set(scored["variant"].to_pylist()) - {None}:
        find_variant(name)


def _check_originals(originals: Codes, items: Sequence[str]) -> None:
    lacking = np.flatnonzero(originals < 0)
    if lacking.size:
        raise UsageError(
            f"{lacking.size} items have replies to variants but none to the original, the first is "
            f"{items[int(lacking[0])]!r}: ask the original too",
            code="predictions_incomplete",
        )


def _places(names: Sequence[str]) -> dict[str, int]:
    return {name: at for at, name in enumerate(names)}


def _family(variant: str) -> str:
    return variant.partition("@")[0]


def _order(variant: str) -> tuple[int, int]:
    """Variants in the order of their families, then of their levels."""
    family, _, level = variant.partition("@")
    return list(BY_NAME).index(family), int(level or 0)
