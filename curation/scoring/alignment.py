"""Score whether a picture and what is said about it belong together."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Final, Literal

import numpy as np
import pyarrow.compute as pc

from curation.pool import Pool, SampleVectors
from curation.pool.pool import unit_rows
from curation.scoring.cross_fit import CrossFitConfig, held_out
from curation.scoring.image_features import ImageFeatures
from curation.scoring.scorer import ScoringContext
from curation.scoring.vector_ops import ROWS_AT_A_TIME, mean_of, reduce, unit_about
from curation.sources.caption import CAPTION
from medsift import records
from medsift.arrays import Doubles

DECIMALS: Final = 6
ANSWER_WEIGHT: Final = 0.5
TEXT_DIMENSIONS: Final = 128
TEXT_RIDGE: Final = 30.0
RIVALS: Final = 512
"""Texts of the pool that each text is compared with."""
TEMPERATURES: Final = (0.02, 0.05, 0.1, 0.2, 0.4)


class AlignmentConfig(CrossFitConfig):
    """Settings of `alignment`; they matter only where the encoder has no shared space."""

    # Cosines of plots, scans and photographs have means of their own.
    within_modality: ClassVar[bool] = True
    kind: Literal["alignment"]

    def score(self, context: ScoringContext) -> Doubles:
        """Return the agreement (n,) of pictures and texts, NaN where a sample lacks one of them.

        NaN too where the encoder cannot read the question or the answer.

        A cosine where image and text vectors share a space, else nats: the estimated log-ratio of
        the text's probability with the picture to that without it.
        """
        pool = context.pool
        if pool.vectors.shared_space:
            agreement = centred_cosine(said_vectors(pool))
        else:
            features, odds = self.fit(context)
            agreement = text_gain(pool, features, context.seed)
            # What other pictures with this very question say, where there are enough of them.
            agreement += np.nan_to_num(np.log(odds.seen) - np.log(odds.prior), nan=0.0)
        # Rounded, since sums differ in the last digits between machines.
        return np.round(agreement, DECIMALS)


def said_vectors(pool: Pool) -> SampleVectors:
    """Return the pool's vectors, without the fixed requests of captions, which say nothing."""
    captions = pc.fill_null(pc.equal(pool.samples["task_type"], CAPTION), False).to_numpy()
    if not captions.any():
        return pool.vectors
    question = np.where(captions[:, None], np.float32(0.0), pool.vectors.question)
    return replace(pool.vectors, question=question)


def centred_cosine(vectors: SampleVectors) -> Doubles:
    """Return the cosine (n,) of the image with question and answer, each centred on its mean.

    Images and texts fill two narrow cones of a shared space (Liang et al. 2022, arXiv
    2203.02053): the means say nothing about a pair.
    """
    text = np.where(vectors.unread[:, None], np.float32(0.0), vectors.question + vectors.answer)
    image_mean, text_mean = mean_of(vectors.image), mean_of(text)
    cosine = np.full(len(text), np.nan)
    for first in range(0, len(text), ROWS_AT_A_TIME):
        part = slice(first, first + ROWS_AT_A_TIME)
        image = unit_about(vectors.image[part], image_mean)
        words = unit_about(text[part], text_mean)
        known = np.any(image, axis=1) & np.any(words, axis=1)
        cosine[part] = np.where(known, np.einsum("ij,ij->i", image, words), np.nan)
    return cosine


def text_gain(pool: Pool, features: ImageFeatures, seed: int) -> Doubles:
    """Return the log-ratio (n,), in nats, of a text's likelihood with its picture to any picture's.

    Ridge regression predicts the text vector (question and, at half weight, answer) from the
    picture, without the fold that is judged. A text scores exp(cosine / t) against the mean of that
    over `RIVALS` texts of the pool: the density ratio of InfoNCE (van den Oord, Li and Vinyals
    2018, arXiv 1807.03748, eq. 4), with the temperature t under which the texts are likeliest.
    """
    text = _texts(said_vectors(pool))
    legible = np.any(text, axis=1) & ~pool.vectors.unread
    rows = np.flatnonzero((features.number >= 0) & legible)
    gain = np.full(len(pool), np.nan)
    # In one fold nobody is left to judge by.
    if not len(rows) or np.ptp(features.fold[rows]) == 0:
        return gain
    start = np.zeros(text.shape[1])
    _, predicted = held_out(features.take(rows), text[rows], features.fold[rows], TEXT_RIDGE, start)
    # Rivals are drawn by a hash of their ids, so that no order of rows changes them.
    ids = pool.sample_ids
    keys = [records.digest("candidate", str(seed), ids[row]) for row in rows.tolist()]
    drawn = np.argsort(np.array(keys))[:RIVALS]
    own = np.einsum("ij,ij->i", predicted, text[rows])
    rivals = text[rows[drawn]]
    t = max(
        TEMPERATURES, key=lambda t: _log_ratio(own[drawn], predicted[drawn] @ rivals.T, t).mean()
    )
    for first in range(0, len(rows), ROWS_AT_A_TIME):
        part = slice(first, first + ROWS_AT_A_TIME)
        gain[rows[part]] = _log_ratio(own[part], predicted[part] @ rivals.T, t)
    return gain


def _log_ratio(own: Doubles, rivals: Doubles, temperature: float) -> Doubles:
    """Return the log of exp(own / t) (r,) over the mean of exp(rivals / t) (r, c)."""
    # Less the greatest, so that no exponential overflows.
    top = rivals.max(axis=1)
    mean = np.exp((rivals - top[:, None]) / temperature).mean(axis=1)
    return np.asarray((own - top) / temperature - np.log(mean))


def _texts(vectors: SampleVectors) -> Doubles:
    """Return text vectors (n, d): question and answer, each about its mean; zero without either."""
    question_mean, answer_mean = mean_of(vectors.question), mean_of(vectors.answer)

    def block(part: slice) -> Doubles:
        question = unit_about(vectors.question[part], question_mean)
        answer = unit_about(vectors.answer[part], answer_mean)
        return unit_rows(np.concatenate([question, ANSWER_WEIGHT * answer], axis=1))

    return reduce(block, len(vectors.question), TEXT_DIMENSIONS)
