"""Find redundant samples in the joint space of their images, question and answer."""

from __future__ import annotations

import numpy as np

from curation.dedup.config import SemanticConfig
from curation.dedup.samples import Links, Pictures
from curation.dedup.schemas import REASONS, SEMANTIC
from curation.matching.image_copies import ImageSet
from curation.matching.text_match import Conversations, contrasts, readable
from curation.neighbors import NeighborsConfig, PairSearch, TileRunner, find_pairs
from medsift.arrays import Floats, Indices


def joint_vectors(
    rows: Indices,
    conversations: Conversations,
    pictures: Pictures,
    images: ImageSet,
    config: SemanticConfig,
) -> Floats:
    """Return unit vectors (r, d) of [image mean; first question; last answer], weighted.

    A part that a sample lacks is zero; a sample without any part is the zero vector. So is one
    with a question or answer that the encoder cannot read: its picture alone decides nothing.

    Args:
        rows: Samples to describe (r,).
        conversations: The turns of all samples.
        pictures: The pictures of all samples.
        images: The vectors of the pictures.
        config: The weights of the parts.
    """
    total = np.zeros((len(rows), images.vectors.shape[1]), np.float32)
    count = pictures.count[rows]
    for place in range(int(count.max(initial=0))):
        having = np.flatnonzero(count > place)
        total[having] += images.vectors[pictures.image[pictures.start[rows[having]] + place]]
    parts = [config.image * _unit(total)]
    unread = np.zeros(len(rows), bool)
    for turn, weight in zip(
        question_answer(conversations), (config.question, config.answer), strict=True
    ):
        present = np.flatnonzero(turn[rows] >= 0)
        text = conversations.text[turn[rows[present]]]
        vectors = np.zeros((len(rows), conversations.vectors.shape[1]), np.float32)
        vectors[present] = conversations.vectors[text]
        parts.append(weight * vectors)
        # An empty turn says nothing; one with words but no vector says something unknown.
        has_words = np.array([bool(conversations.texts[at].strip()) for at in text], bool)
        unread[present] |= has_words & ~readable(conversations, text)
    joint = np.concatenate(parts, axis=1).astype(np.float32)
    joint[unread] = 0.0
    return _unit(joint)


def question_answer(conversations: Conversations) -> tuple[Indices, Indices]:
    """Return the turns of each sample's first question and last answer (n,), (n,); -1 for none."""
    start, stop = conversations.start[:-1], conversations.start[1:]
    questions = np.flatnonzero(conversations.role == "u")
    answers = np.flatnonzero(conversations.role == "a")
    question = np.append(questions, -1)[np.searchsorted(questions, start)]
    answer = np.append(answers, -1)[np.searchsorted(answers, stop) - 1]
    # A sample without one would get a neighbour's turn.
    return (
        np.where((question >= start) & (question < stop), question, -1),
        np.where((answer >= start) & (answer < stop), answer, -1),
    )


def semantic_links(
    rows: Indices,
    conversations: Conversations,
    joint: Floats,
    config: SemanticConfig,
    neighbors: NeighborsConfig,
    run: TileRunner | None = None,
) -> tuple[Links, PairSearch]:
    """Link `rows` whose joint vectors are near, and return the search that found them.

    Pairs whose question or answer differ in a protected word, or may do so, stay apart.

    Args:
        rows: Samples to compare (r,).
        conversations: The turns of all samples.
        joint: Joint vectors of the rows (r, d).
        config: The cosine from which a row is redundant.
        neighbors: How near rows are searched.
        run: Spreads a large search over workers.
    """
    search = find_pairs(joint, config.threshold, neighbors, neighbors.runner(len(rows), run))
    left, right = rows[search.pairs.left], rows[search.pairs.right]
    same = np.ones(len(left), bool)
    # A cosine hardly sees one changed word: left for right, 3 mm for 4 mm.
    for turn in question_answer(conversations):
        both = np.flatnonzero((turn[left] >= 0) & (turn[right] >= 0) & same)
        same[both] = ~contrasts(conversations, turn[left[both]], turn[right[both]])
    count = int(same.sum())
    reason = np.full(count, REASONS.index(SEMANTIC), np.int64)
    value, threshold = search.pairs.similarity[same], np.full(count, config.threshold)
    return Links(left[same], right[same], reason, value, threshold), search


def _unit(vectors: Floats) -> Floats:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    # Below rounding a direction means nothing: such a vector becomes zero and matches nothing.
    unit: Floats = np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 1e-6)
    return unit
