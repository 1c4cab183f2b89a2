"""Whether a picture and what is said about it belong together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final, Literal

import numpy as np
from pydantic import Field

from curation.pool import Pool, SampleVectors
from curation.scoring.cross_fit import answer_odds, held_out
from curation.scoring.image_features import Shown, look_at
from curation.scoring.question_groups import read_questions
from curation.scoring.scorer import ScorerConfig, ScoringContext
from curation.scoring.vector_ops import ROWS_AT_A_TIME, mean_of, reduced, unit, unit_about
from medsift import records
from medsift.arrays import Doubles, Indices

DECIMALS: Final = 6
ANSWER_WEIGHT: Final = 0.5
TEXT_DIMENSIONS: Final = 128
TEXT_RIDGE: Final = 30.0
CANDIDATES: Final = 512
TEMPERATURES: Final = (0.02, 0.05, 0.1, 0.2, 0.4)


class AlignmentConfig(ScorerConfig):
    """Settings of `alignment`; they matter only where the encoder has no shared space."""

    renamed_keys: ClassVar[Mapping[str, str]] = {
        "least": "min_group_size",
        "question": "question_cosine",
    }

    kind: Literal["alignment"]
    folds: int = Field(5, ge=2, le=100)
    """Parts of the pool that are judged by the rest in turn."""
    min_group_size: int = Field(10, ge=2)
    """Samples that must ask the same before their answers are compared."""
    question_cosine: float = Field(0.88, gt=0.0, le=1.0)
    """Cosine of question vectors from which wordings without a contrast mean the same."""
    ridge: float = Field(1.0, gt=0.0)
    """Strength of the prior of an answer, in pictures."""

    def score(self, context: ScoringContext) -> Doubles:
        """Agreement (n,) of pictures and texts, NaN where a sample lacks one of them.

        NaN too where the encoder cannot read the question or the answer.

        A cosine where image and text vectors share a space, else nats: the estimated log-ratio of
        the text's probability with the picture to that without it.
        """
        pool = context.pool
        if pool.vectors.shared_space:
            found = centred_cosine(pool.vectors)
        else:
            shown = look_at(pool, self.folds, context.seed)
            asked = read_questions(pool, self.question_cosine)
            odds = answer_odds(shown, asked, ridge=self.ridge, least=self.min_group_size)
            found = text_gain(pool, shown, context.seed)
            # What other pictures with this very question say, where there are enough of them.
            found = found + np.nan_to_num(np.log(odds.seen) - np.log(odds.prior), nan=0.0)
        return np.round(found, DECIMALS)


def centred_cosine(vectors: SampleVectors) -> Doubles:
    """Cosine (n,) of the image with question and answer, each space centred on its mean.

    Images and texts lie in two narrow cones of a shared space (Liang et al. 2022, arXiv
    2203.02053): the means say nothing about a pair.
    """
    text = np.where(vectors.unread[:, None], np.float32(0.0), vectors.question + vectors.answer)
    means = mean_of(vectors.image), mean_of(text)
    found = np.full(len(text), np.nan)
    for first in range(0, len(text), ROWS_AT_A_TIME):
        part = slice(first, first + ROWS_AT_A_TIME)
        image, words = unit_about(vectors.image[part], means[0]), unit_about(text[part], means[1])
        there = np.any(image, axis=1) & np.any(words, axis=1)
        found[part] = np.where(there, np.einsum("ij,ij->i", image, words), np.nan)
    return found


def text_gain(pool: Pool, shown: Shown, seed: int) -> Doubles:
    """Log-ratio (n,), in nats, of a text's likelihood with its picture to that with any picture.

    Ridge regression predicts the text vector (question and, at half weight, answer) from the
    picture, held out by fold. A text scores exp(cosine / t) against the mean of that over
    `CANDIDATES` texts of the pool: the density ratio of InfoNCE (van den Oord, Li and Vinyals
    2018, arXiv 1807.03748, eq. 4), with the temperature t under which the texts are likeliest.
    """
    text = _texts(pool.vectors)
    legible = np.any(text, axis=1) & ~pool.vectors.unread
    rows = np.flatnonzero((shown.place >= 0) & legible)
    found = np.full(len(pool), np.nan)
    if not len(rows) or np.ptp(shown.fold[rows]) == 0:
        return found
    start = np.zeros(text.shape[1])
    _, predicted = held_out(shown.of(rows), text[rows], shown.fold[rows], TEXT_RIDGE, start)
    ids = pool.sample_ids
    some = _drawn([ids[row] for row in rows.tolist()], seed)
    own = np.einsum("ij,ij->i", predicted, text[rows])
    rivals = text[rows[some]]
    t = max(TEMPERATURES, key=lambda t: _ratio(own[some], predicted[some] @ rivals.T, t).mean())
    for first in range(0, len(rows), ROWS_AT_A_TIME):
        part = slice(first, first + ROWS_AT_A_TIME)
        found[rows[part]] = _ratio(own[part], predicted[part] @ rivals.T, t)
    return found


def _ratio(own: Doubles, rivals: Doubles, temperature: float) -> Doubles:
    """Log of exp(own / t) (r,) over the mean of exp(rivals / t) (r, c)."""
    top = rivals.max(axis=1)
    mean = np.exp((rivals - top[:, None]) / temperature).mean(axis=1)
    found: Doubles = (own - top) / temperature - np.log(mean)
    return found


def _drawn(sample_ids: list[str], seed: int) -> Indices:
    """Places of `CANDIDATES` samples, drawn by a hash of their ids."""
    keys = [records.digest("candidate", str(seed), sample) for sample in sample_ids]
    return np.argsort(np.array(keys))[:CANDIDATES]


def _texts(vectors: SampleVectors) -> Doubles:
    """Text vectors (n, d): question and answer, each about its mean; zero without either."""
    question, answer = mean_of(vectors.question), mean_of(vectors.answer)

    def block(part: slice) -> Doubles:
        asked = unit_about(vectors.question[part], question)
        told = unit_about(vectors.answer[part], answer)
        return unit(np.concatenate([asked, ANSWER_WEIGHT * told], axis=1))

    return reduced(block, len(vectors.question), TEXT_DIMENSIONS)
