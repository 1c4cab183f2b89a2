"""Link samples without a picture whose words are nearly the same."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from curation.dedup.config import DedupConfig
from curation.dedup.samples import Links, Pictures
from curation.dedup.schemas import NEAR_TEXT, REASONS
from curation.matching.text_match import Conversations, say_the_same, text_cosine
from curation.neighbors import Pairs, near_texts
from curation.neighbors.shingles import canonical
from medsift.arrays import Doubles, Flags, Indices


def text_links(
    rows: Indices,
    order: Indices,
    conversations: Conversations,
    pictures: Pictures,
    config: DedupConfig,
    seed: int,
) -> Links:
    """Link samples without pictures whose words are nearly the same.

    The shingles of whole conversations are near (MinHash candidates, decided by their true Jaccard
    similarity), questions ask the same, and every turn that differs does so for a harmless reason
    (`alike`): one long answer to two questions is no duplicate. Texts whose concepts differ are not
    even compared, so that thousands of reports from one template cost no more than their number.

    Of rows with one wording, only the first by `order` can survive. It is paired with its
    copies, and with every copy of a near wording; the pairs among the others decide nothing, so a
    wording that thousands share costs no more than its rows.

    Args:
        rows: Samples to compare (r,), one of each content.
        order: All samples (n,), best first.
        conversations: The turns of all samples.
        pictures: The pictures of all samples.
        config: From which similarity texts and questions are near.
        seed: Of the MinHash values.
    """
    rank = np.argsort(order)
    bare = rows[pictures.count[rows] == 0]
    wordings = _group_by_words(bare[np.argsort(rank[bare])], conversations)
    first = np.array([copies[0] for copies in wordings], np.int64)
    pairs = near_texts(
        [conversations.whole(row) for row in first.tolist()],
        threshold=config.text.jaccard,
        shingle=config.text.shingle_words,
        permutations=config.text.permutations,
        seed=seed,
        copies="all",
        within=lambda places: _number_meanings(first[places], conversations),
        limit=config.text.max_pairs,
    )
    # Shingles hardly see one changed word in a long text, so every turn is compared in meaning.
    left, right = first[pairs.left], first[pairs.right]
    same = conversations.shape[left] == conversations.shape[right]
    same[same] = _same_turns(conversations, left[same], right[same], config.sample.question_cosine)
    parts = list(_pairs_of_firsts(wordings, pairs.where(same)))
    none = np.empty(0, np.int64)
    left, right, similarity = (
        np.concatenate(column) for column in zip((none, none, np.empty(0)), *parts, strict=True)
    )
    # Each pair once: two firsts meet from both sides.
    ends = np.stack([np.minimum(left, right), np.maximum(left, right)], axis=1)
    distinct, place = np.unique(ends, axis=0, return_index=True)
    return Links(
        distinct[:, 0],
        distinct[:, 1],
        np.full(len(distinct), REASONS.index(NEAR_TEXT), np.int64),
        similarity[place],
        np.full(len(distinct), config.text.jaccard),
    )


def _group_by_words(rows: Indices, conversations: Conversations) -> list[Indices]:
    """Group rows, given best first, by their words in order; rows without a word are left out."""
    groups: dict[tuple[object, ...], list[int]] = {}
    for row in rows.tolist():
        words = canonical(conversations.whole(row))
        turns = slice(conversations.start[row], conversations.start[row + 1])
        if words:
            key = (words, int(conversations.shape[row]), *conversations.form[turns].tolist())
            groups.setdefault(key, []).append(row)
    return [np.array(group, np.int64) for group in groups.values()]


def _number_meanings(rows: Indices, conversations: Conversations) -> Indices:
    """Number rows (r,), equal where their shape and the concepts of each turn are equal."""
    known: dict[tuple[object, ...], int] = {}
    numbers = []
    for row in rows.tolist():
        keys: list[object] = [int(conversations.shape[row])]
        for turn in range(int(conversations.start[row]), int(conversations.start[row + 1])):
            meaning = conversations.meaning(turn)
            # Without word lists nothing is known of a meaning: the normal form must be equal.
            listed = meaning.language is not None
            keys.append(
                (meaning.language, meaning.key) if listed else int(conversations.form[turn])
            )
        numbers.append(known.setdefault(tuple(keys), len(known)))
    return np.array(numbers, np.int64)


def _pairs_of_firsts(
    wordings: list[Indices], near: Pairs
) -> Iterator[tuple[Indices, Indices, Doubles]]:
    """Yield each wording's first row with its own copies and with every copy of near wordings."""
    several = [g for g, copies in enumerate(wordings) if len(copies) > 1]
    left, right, similarity = near.left.tolist(), near.right.tolist(), near.similarity.tolist()
    for group, other, value in zip(
        left + right + several,
        right + left + several,
        similarity + similarity + [1.0] * len(several),
        strict=True,
    ):
        first = wordings[group][0]
        partners = wordings[other][wordings[other] != first]
        yield np.full(len(partners), first), partners, np.full(len(partners), value)


def _same_turns(
    conversations: Conversations, left: Indices, right: Indices, question_cosine: float
) -> Flags:
    """Return whether pairs (p,) of equal shape say the same, turn by turn."""
    same = np.ones(len(left), bool)
    turns = conversations.start[left + 1] - conversations.start[left]
    for turn in range(int(turns.max(initial=0))):
        pairs = np.flatnonzero(same & (turns > turn))
        a = conversations.start[left[pairs]] + turn
        b = conversations.start[right[pairs]] + turn
        differ = conversations.form[a] != conversations.form[b]
        pairs, a, b = pairs[differ], a[differ], b[differ]
        # The cheap tests first: reading a meaning costs most.
        apart = conversations.options[a] != conversations.options[b]
        asked = conversations.role[a] != "a"
        texts = conversations.text[a[asked]], conversations.text[b[asked]]
        # Written so that a text that cannot be read (NaN) counts as apart.
        apart[asked] |= ~(text_cosine(conversations, *texts) >= question_cosine)
        apart[~apart] = ~say_the_same(conversations, a[~apart], b[~apart])
        same[pairs[apart]] = False
    return same
