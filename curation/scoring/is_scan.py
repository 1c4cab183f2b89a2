"""Score whether a picture is a medical image, or a chart, a diagram or a table of an article."""

from __future__ import annotations

import json
import re
from typing import Final, Literal

import numpy as np
from pydantic import Field

from curation.neighbors import kmeans
from curation.scoring.cross_fit import held_out
from curation.scoring.image_features import ImageFeatures, image_features
from curation.scoring.scorer import ScorerConfig, ScoringContext
from medsift.arrays import Doubles, Floats, Indices

DECIMALS: Final = 6
RIDGE: Final = 1.0
PRIOR: Final = 1.0
"""Votes that the other pictures' share has in every cluster."""
LEAST: Final = 10
"""Labelled pictures of each kind from which labels decide instead of words."""
YES: Final = frozenset({"true", "yes", "1", "scan"})
NO: Final = frozenset({"false", "no", "0", "chart", "diagram", "other"})
SCANS: Final = re.compile(
    r"\b(?:ct|mri?|pet|oct|us|x-?rays?|xray|radiogra\w*|tomogra\w*|ultrasound\w*|sonogra\w*|"
    r"angiogra\w*|mammogra\w*|echocardiogra\w*|fundus\w*|endoscop\w*|dermoscop\w*|histolog\w*|"
    r"micrograph\w*|scintigra\w*|magnetic resonance)\b",
    re.IGNORECASE,
)
CHARTS: Final = re.compile(
    r"\b(?:(?:bar|pie|line|flow|radar)[ -]?charts?|charts?|graphs?|plots?|boxplots?|histograms?|"
    r"diagrams?|flowcharts?|schematic\w*|schemes?|workflows?|curves?|kaplan\W+meier|heat ?maps?|"
    r"tables?|pipelines?|nomograms?)\b",
    re.IGNORECASE,
)


class IsScanConfig(ScorerConfig):
    """Settings of `is_scan`: the probability that a sample's picture is a medical image.

    Where the source labels pictures under `label` (yes or no, scan or chart), ten of each kind at
    least, it is a ridge regression of labels on picture vectors, a labelled picture judged without
    its own fold. Elsewhere words of captions and `modality` vote: pictures are clustered by their
    vectors, and a picture has the share of scans among those of its cluster that words tell, its
    own fold left out, with the whole pool's share as one vote more. Null without a picture.
    """

    kind: Literal["is_scan"] = "is_scan"
    label: str = "is_scan"
    """Column of the source with the labels; map it under the source's `columns`."""
    folds: int = Field(5, ge=2, le=100)
    """Parts of the pictures that are judged by the rest in turn."""
    clusters: int | None = Field(None, ge=1)
    """Clusters of pictures; twice the square root of their number when not given."""

    def score(self, context: ScoringContext) -> Doubles:
        """Return the probability (n,)."""
        pool = context.pool
        features = image_features(pool, self.folds, context.seed)
        value = np.full(len(pool), np.nan)
        seen = features.number >= 0
        if not seen.any():
            return value
        fold = np.zeros(len(features.vectors), np.int64)
        fold[features.number[seen]] = features.fold[seen]
        labels = _mean_labels(features, [self._labelled(one) for one in _column(context, "extra")])
        # Of both kinds, in two folds at least: nobody judges itself.
        enough = min((labels > 0.5).sum(), (labels < 0.5).sum()) >= LEAST
        if enough and np.ptp(fold[~np.isnan(labels)]) > 0:
            probability = probe(features.vectors, labels, fold)
        else:
            texts = zip(_column(context, "answer"), _column(context, "modality"), strict=True)
            from_words = _mean_labels(features, [by_words(*map(_text, text)) for text in texts])
            n = len(features.vectors)
            k = min(n, self.clusters or max(1, round(2 * n**0.5)))
            vectors = features.vectors.astype(np.float32)
            probability = cluster_votes(vectors, from_words, fold, k, context.seed)
        value[seen] = probability[features.number[seen]]
        return np.round(value, DECIMALS)

    def _labelled(self, extra: str | None) -> float:
        word = str(json.loads(extra or "{}").get(self.label, "")).strip().casefold()
        return 1.0 if word in YES else 0.0 if word in NO else np.nan


def by_words(caption: str, modality: str) -> float:
    """Return 1 for words of medical images, 0 for words of charts, NaN for both or neither."""
    text = f"{caption} {modality}"
    scan, chart = SCANS.search(text), CHARTS.search(text)
    return np.nan if bool(scan) == bool(chart) else float(scan is not None)


def probe(vectors: Doubles, labels: Doubles, fold: Indices) -> Doubles:
    """Return the probability (u,) by a linear probability model of labels (u,), NaN without one.

    Args:
        vectors: Features (u, d) of pictures.
        labels: 1, 0 or between; NaN for a picture without a label.
        fold: Fold (u,); a labelled picture is judged by the other folds.
    """
    known = ~np.isnan(labels)
    x, y = vectors[known], labels[known][:, None]
    probability = np.empty(len(vectors))
    probability[known] = held_out(x, y, fold[known], RIDGE, np.array([0.5]))[1][:, 0]
    middle = (y.sum(axis=0) + 0.5) / (len(y) + 1)
    weights = np.linalg.solve(x.T @ x + RIDGE * np.eye(x.shape[1]), x.T @ (y - middle))
    probability[~known] = (middle + vectors[~known] @ weights)[:, 0]
    return np.clip(probability, 0.0, 1.0)


def cluster_votes(
    vectors: Floats, labels: Doubles, fold: Indices, clusters: int, seed: int
) -> Doubles:
    """Return each picture's share (u,) of scans among the labelled of its cluster, the prior added.

    NaN for all where nothing is labelled.
    """
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0)
    _, cluster = kmeans(unit, clusters, seed % (1 << 31), device="cpu")
    known = ~np.isnan(labels)
    if not known.any():
        return np.full(len(vectors), np.nan)
    votes, scans = (np.zeros((clusters, int(fold.max()) + 1)) for _ in range(2))
    np.add.at(votes, (cluster[known], fold[known]), 1.0)
    np.add.at(scans, (cluster[known], fold[known]), labels[known])
    share = (scans.sum() + 0.5) / (votes.sum() + 1.0)
    others = votes[cluster].sum(axis=1) - votes[cluster, fold]
    of_them = scans[cluster].sum(axis=1) - scans[cluster, fold]
    return np.asarray((of_them + PRIOR * share) / (others + PRIOR))


def _mean_labels(features: ImageFeatures, labels: list[float]) -> Doubles:
    """Return the mean label (u,) of the samples that show each list of pictures, NaN for none."""
    given = np.array(labels, np.float64)
    rows = (features.number >= 0) & ~np.isnan(given)
    size = len(features.vectors)
    count = np.bincount(features.number[rows], minlength=size)
    total = np.bincount(features.number[rows], weights=given[rows], minlength=size)
    mean: Doubles = np.divide(total, count, out=np.full(size, np.nan), where=count > 0)
    return mean


def _column(context: ScoringContext, name: str) -> list[str | None]:
    values: list[str | None] = context.pool.samples[name].to_pylist()
    return values


def _text(value: str | None) -> str:
    return value or ""
