"""Redundancy of whole samples in the joint space of their images, question and answer."""

from __future__ import annotations

from typing import Any

import numpy as np

from curation.dedup.config import SemanticConfig
from curation.dedup.samples import Links, Pictures
from curation.dedup.schemas import REASONS, SEMANTIC
from curation.dedup.threshold_sweep import THRESHOLDS
from curation.matching.image_copies import ImageSet
from curation.matching.text_match import Conversations, contrasts
from curation.neighbors import NeighborsConfig, PairSearch, TileRunner, find_pairs, join
from medsift.arrays import Flags, Floats, Indices


def joint_vectors(
    rows: Indices,
    talks: Conversations,
    pictures: Pictures,
    images: ImageSet,
    config: SemanticConfig,
) -> Floats:
    """Unit vectors (rows, d) of [image mean; first question; last answer], weighted.

    A part that a sample lacks is zero; a sample without any part is the zero vector. So is one
    with a question or answer that the encoder cannot read: its picture alone decides nothing.
    """
    question, answer = question_answer(talks)
    unread = _unread(talks, question[rows]) | _unread(talks, answer[rows])
    parts = [
        config.image * _image_means(rows, pictures, images.vectors),
        config.question * _text_vectors(talks, question[rows]),
        config.answer * _text_vectors(talks, answer[rows]),
    ]
    joint = np.concatenate(parts, axis=1).astype(np.float32)
    joint[unread] = 0.0
    return _unit(joint)


def question_answer(talks: Conversations) -> tuple[Indices, Indices]:
    """Turns of each sample's first question and last answer (n,), (n,); -1 where there is none."""
    start, stop = talks.start[:-1], talks.start[1:]
    asked, told = np.flatnonzero(talks.role == "u"), np.flatnonzero(talks.role == "a")
    first, last = np.searchsorted(asked, start), np.searchsorted(told, stop) - 1
    question = np.append(asked, -1)[np.minimum(first, len(asked))]
    answer = np.append(told, -1)[last]
    return (
        np.where((question >= start) & (question < stop), question, -1),
        np.where((answer >= start) & (answer < stop), answer, -1),
    )


def semantic_report(
    rows: Indices,
    order: Indices,
    joint: Floats,
    neighbors: NeighborsConfig,
    run: TileRunner | None = None,
) -> dict[str, Any]:
    """How many of `rows` each threshold would drop for a row before them in `order` (n,).

    `joint` (rows, d) are the joint vectors of the rows.
    """
    nearest = np.full(len(rows), -np.inf)
    if len(rows):
        ranked = np.argsort(np.argsort(order)[rows]).astype(np.int64)
        runner = neighbors.runner(len(rows), run)
        found = join(joint, order=ranked, device=neighbors.device, run=runner).max_earlier
        nearest = nearest if found is None else found
    counts = {f"{at:.2f}": int((nearest >= at).sum()) for at in THRESHOLDS}
    return {"rows": len(rows), "redundant": counts, "recall": 1.0, "method": "exact"}


def semantic_links(
    rows: Indices,
    talks: Conversations,
    joint: Floats,
    config: SemanticConfig,
    neighbors: NeighborsConfig,
    run: TileRunner | None = None,
) -> tuple[Links, PairSearch]:
    """Pairs of `rows` whose joint vectors (rows, d) are near, and the search that found them.

    Pairs whose question or answer differ in a protected word, or may do so, stay apart.
    """
    search = find_pairs(joint, config.threshold, neighbors, neighbors.runner(len(rows), run))
    left, right = rows[search.pairs.left], rows[search.pairs.right]
    same = np.ones(len(left), bool)
    for turn in question_answer(talks):
        there = np.flatnonzero((turn[left] >= 0) & (turn[right] >= 0) & same)
        same[there] = ~contrasts(talks, turn[left[there]], turn[right[there]])
    count = int(same.sum())
    reason = np.full(count, REASONS.index(SEMANTIC), np.int64)
    value, threshold = search.pairs.similarity[same], np.full(count, config.threshold)
    return Links(left[same], right[same], reason, value, threshold), search


def _unread(talks: Conversations, turns: Indices) -> Flags:
    """Whether turns (r,), -1 for none, have words but no vector."""
    blank = np.flatnonzero(~talks.vectors.any(axis=1))
    found = np.zeros(len(turns), bool)
    there = np.flatnonzero(turns >= 0)
    text = talks.text[turns[there]]
    found[there] = np.isin(text, blank) & np.array(
        [bool(talks.texts[at].strip()) for at in text], bool
    )
    return found


def _text_vectors(talks: Conversations, turns: Indices) -> Floats:
    found = np.zeros((len(turns), talks.vectors.shape[1]), np.float32)
    there = turns >= 0
    found[there] = talks.vectors[talks.text[turns[there]]]
    return found


def _image_means(rows: Indices, pictures: Pictures, vectors: Floats) -> Floats:
    """Unit means (rows, d) of the image vectors of samples."""
    total = np.zeros((len(rows), vectors.shape[1]), np.float32)
    count = pictures.count[rows]
    for place in range(int(count.max(initial=0))):
        here = np.flatnonzero(count > place)
        total[here] += vectors[pictures.image[pictures.start[rows[here]] + place]]
    return _unit(total)


def _unit(vectors: Floats) -> Floats:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    found: Floats = np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 1e-6)
    return found
