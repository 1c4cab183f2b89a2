"""Samples without a picture whose words are nearly the same."""

from __future__ import annotations

import numpy as np

from curation.dedup.config import DedupConfig
from curation.dedup.conversations import Conversations, contrasts, text_cosine
from curation.dedup.samples import Links, Pictures
from curation.dedup.tables import NEAR_TEXT, REASONS, Flags, Indices
from curation.neighbors import near_texts


def text_links(
    rows: Indices, talks: Conversations, pictures: Pictures, config: DedupConfig, seed: int
) -> Links:
    """Pairs among some `rows` of samples without pictures that are near-duplicates.

    The shingles of whole conversations are near (MinHash candidates, decided by their true Jaccard
    similarity), questions ask the same, and no turn differs in a protected word: one long answer
    to two questions is no duplicate.
    """
    bare = rows[pictures.count[rows] == 0]
    pairs = near_texts(
        [talks.whole(row) for row in bare.tolist()],
        threshold=config.text.jaccard,
        shingle=config.text.shingle,
        permutations=config.text.permutations,
        seed=seed,
        copies="all",
    )
    left, right = bare[pairs.left], bare[pairs.right]
    kept = np.flatnonzero(talks.shape[left] == talks.shape[right])
    kept = kept[_same_turns(talks, left[kept], right[kept], config.sample.question)]
    return Links(
        left[kept],
        right[kept],
        np.full(len(kept), REASONS.index(NEAR_TEXT), np.int64),
        pairs.similarity[kept],
        np.full(len(kept), config.text.jaccard),
    )


def _same_turns(talks: Conversations, left: Indices, right: Indices, question: float) -> Flags:
    """Whether pairs (p,) of equal shape have the same questions, and answers without contrast."""
    same = np.ones(len(left), bool)
    turns = talks.start[left + 1] - talks.start[left]
    for turn in range(int(turns.max(initial=0))):
        here = np.flatnonzero(same & (turns > turn))
        one, other = talks.start[left[here]] + turn, talks.start[right[here]] + turn
        differ = talks.form[one] != talks.form[other]
        here, one, other = here[differ], one[differ], other[differ]
        a, b = talks.text[one], talks.text[other]
        asked = talks.role[one] != "a"
        apart = talks.options[one] != talks.options[other]
        apart[asked] |= ~(text_cosine(talks, a[asked], b[asked]) >= question)
        apart[~apart] = contrasts(talks, a[~apart], b[~apart])
        same[here[apart]] = False
    return same
