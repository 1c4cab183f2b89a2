"""Samples without a picture whose words are nearly the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from curation.dedup.config import DedupConfig
from curation.dedup.samples import Links, Pictures
from curation.dedup.schemas import NEAR_TEXT, REASONS
from curation.matching.text_match import Conversations, say_the_same, text_cosine
from curation.neighbors import near_texts
from curation.neighbors.shingles import canonical
from medsift.arrays import Doubles, Flags, Indices


@dataclass(frozen=True, slots=True)
class _Wordings:
    """Rows that say the same word for word: `first` (g,) speaks for `copies` (g lists)."""

    first: Indices
    copies: list[Indices]


def text_links(
    rows: Indices,
    order: Indices,
    talks: Conversations,
    pictures: Pictures,
    config: DedupConfig,
    seed: int,
) -> Links:
    """Pairs among some `rows` of samples without pictures of which one must go as a near-duplicate.

    The shingles of whole conversations are near (MinHash candidates, decided by their true Jaccard
    similarity), questions ask the same, and every turn that differs does so for a harmless reason
    (`alike`): one long answer to two questions is no duplicate. Texts whose concepts differ are not
    even compared, so that thousands of reports from one template cost no more than their number.

    Of rows with one wording, only the first by `order` (n,) can survive. It is paired with its
    copies, and with every copy of a near wording; the pairs among the others decide nothing, so a
    wording that thousands share costs no more than its rows.
    """
    bare = rows[pictures.count[rows] == 0]
    words = _wordings(bare, order, talks)
    pairs = near_texts(
        [talks.whole(row) for row in words.first.tolist()],
        threshold=config.text.jaccard,
        shingle=config.text.shingle_words,
        permutations=config.text.permutations,
        seed=seed,
        copies="all",
        within=_by_meaning(words.first, talks),
        limit=config.text.max_pairs,
    )
    left, right = words.first[pairs.left], words.first[pairs.right]
    same = talks.shape[left] == talks.shape[right]
    same[same] = _same_turns(talks, left[same], right[same], config.sample.question_cosine)
    near = pairs.where(same)
    parts = [
        *_facing(words, near.left, near.right, near.similarity),
        *_facing(words, near.right, near.left, near.similarity),
        *_facing(words, *_themselves(words)),
    ]
    return _links(parts, config.text.jaccard)


def _wordings(bare: Indices, order: Indices, talks: Conversations) -> _Wordings:
    """Group rows by their words in order, best row first; rows without a word are left out."""
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    groups: dict[tuple[object, ...], list[int]] = {}
    for row in bare[np.argsort(rank[bare])].tolist():
        words = canonical(talks.whole(row))
        turns = talks.form[talks.start[row] : talks.start[row + 1]].tolist()
        if words:
            groups.setdefault((words, int(talks.shape[row]), *turns), []).append(row)
    held = [np.array(group, np.int64) for group in groups.values()]
    return _Wordings(np.array([group[0] for group in held], np.int64), held)


def _by_meaning(rows: Indices, talks: Conversations) -> Indices:
    """Numbers (p,) of rows: equal where their shape and the concepts of each turn are equal.

    A turn in a language without lists is the same in normal form only.
    """
    codes: dict[tuple[object, ...], int] = {}
    numbers = []
    for row in rows.tolist():
        keys: list[object] = [int(talks.shape[row])]
        for turn in range(int(talks.start[row]), int(talks.start[row + 1])):
            meaning = talks.meaning(turn)
            known = meaning.language is not None
            keys.append((meaning.language, meaning.key) if known else int(talks.form[turn]))
        numbers.append(codes.setdefault(tuple(keys), len(codes)))
    return np.array(numbers, np.int64)


def _themselves(words: _Wordings) -> tuple[Indices, Indices, Doubles]:
    several = np.flatnonzero([len(copies) > 1 for copies in words.copies]).astype(np.int64)
    return several, several, np.ones(len(several))


Part = tuple[Indices, Indices, Doubles]


def _facing(words: _Wordings, one: Indices, other: Indices, similarity: Doubles) -> Sequence[Part]:
    """The first row of each wording in `one` (p,) against every copy of that in `other` (p,)."""
    parts = []
    for a, b, value in zip(one.tolist(), other.tolist(), similarity.tolist(), strict=True):
        facing = words.copies[b][words.copies[b] != words.first[a]]
        parts.append((np.full(len(facing), words.first[a]), facing, np.full(len(facing), value)))
    return parts


def _links(parts: Sequence[Part], threshold: float) -> Links:
    """Each pair once: two firsts face each other from both sides."""
    left = np.concatenate([np.empty(0, np.int64), *(part[0] for part in parts)])
    right = np.concatenate([np.empty(0, np.int64), *(part[1] for part in parts)])
    value = np.concatenate([np.empty(0), *(part[2] for part in parts)])
    pairs = np.stack([np.minimum(left, right), np.maximum(left, right)], axis=1)
    distinct, place = np.unique(pairs, axis=0, return_index=True)
    count = len(distinct)
    return Links(
        distinct[:, 0],
        distinct[:, 1],
        np.full(count, REASONS.index(NEAR_TEXT), np.int64),
        value[place],
        np.full(count, threshold),
    )


def _same_turns(talks: Conversations, left: Indices, right: Indices, question: float) -> Flags:
    """Whether pairs (p,) of equal shape have the same questions and answers, turn by turn."""
    same = np.ones(len(left), bool)
    turns = talks.start[left + 1] - talks.start[left]
    for turn in range(int(turns.max(initial=0))):
        here = np.flatnonzero(same & (turns > turn))
        one, other = talks.start[left[here]] + turn, talks.start[right[here]] + turn
        differ = talks.form[one] != talks.form[other]
        here, one, other = here[differ], one[differ], other[differ]
        asked = talks.role[one] != "a"
        apart = talks.options[one] != talks.options[other]
        a, b = talks.text[one[asked]], talks.text[other[asked]]
        apart[asked] |= ~(text_cosine(talks, a, b) >= question)
        apart[~apart] = ~say_the_same(talks, one[~apart], other[~apart])
        same[here[apart]] = False
    return same
