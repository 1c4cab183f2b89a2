"""Find near-duplicate texts: MinHash finds candidates, their shingles decide."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from curation.neighbors.pairs import Pairs, join_pairs
from curation.neighbors.shingles import canonical, jaccard, shingles_of
from medsift.arrays import Indices
from medsift.errors import UsageError

TEXT_LIMIT = 20_000_000
_TEXTS_AT_A_TIME = 20_000
_CHARACTERS_AT_A_TIME = 1 << 20
_MIX = np.uint64(0x9E3779B97F4A7C15)
_MISSED = 1e-3  # probability with which a pair exactly at the threshold is missed


def near_texts(
    texts: Sequence[str],
    *,
    threshold: float = 0.7,
    shingle: int = 3,
    permutations: int = 128,
    seed: int = 0,
    copies: Literal["star", "all"] = "star",
    within: Callable[[Indices], Indices] | None = None,
    limit: int = TEXT_LIMIT,
) -> Pairs:
    """Return pairs of texts whose shingle sets have Jaccard similarity >= threshold.

    Texts with the same canonical form are grouped first. Texts without any visible character match
    nothing.

    Candidates share a band of MinHash values (Broder 1997; bands after Leskovec, Rajaraman and
    Ullman, section 3.4) and are decided by their true Jaccard similarity; a pair exactly at
    the threshold is missed with probability below 0.001, a closer pair with less. Hashes depend
    on a text and `seed` alone, so the order of texts does not change who matches whom.

    Args:
        texts: What to compare (n).
        threshold: Jaccard similarity from which two texts are a pair.
        shingle: Words of a shingle.
        permutations: MinHash values of a text.
        seed: Of the hashes.
        copies: As a "star", each later copy is paired with the first, similarity 1.0, and between
            groups only the first texts are paired: the groups that pairs connect are right, but
            who is first depends on the order of texts. For greedy survivors, collapse equal texts
            before, or ask for "all" pairs (quadratic in the copies of one text).
        within: Returns a number, 0 or more, for each of some texts (k,): only texts of equal number
            are compared. A caller that knows which pairs cannot matter spares them, however alike
            their texts are. It is asked once, about texts that share a band with another.
        limit: Most candidates.

    Raises:
        UsageError: a setting out of range, or more than `limit` candidates.
    """
    if not 0.0 < threshold <= 1.0 or shingle < 1 or not 8 <= permutations <= 4096:
        raise UsageError(
            f"threshold is {threshold}, shingle {shingle} and permutations {permutations}; pass a "
            "threshold in (0, 1], a shingle of at least 1 and 8 to 4096 permutations",
            code="search_setting_invalid",
        )
    rows = _rows_per_band(threshold, permutations)
    # Texts of one form are one text; -1 for a text without a form.
    number: dict[str, int] = {}
    form_of = np.array(
        [
            number.setdefault(form, len(number)) if (form := canonical(text)) else -1
            for text in texts
        ],
        np.int64,
    )
    sets = [shingles_of(form, shingle) for form in number]
    digests = _digests(sets, permutations, seed)
    part = np.zeros(len(texts), np.int64)
    if within is not None:
        # Every text that meets no other is a part by itself.
        part = -1 - np.arange(len(texts))
        meet = _meet_another(digests, rows) | (np.bincount(form_of[form_of >= 0]) > 1)
        asked = np.flatnonzero((form_of >= 0) & np.append(meet, False)[form_of])
        part[asked] = within(asked)
    # Each text's first of equal form and part (n,), -1 for a text without a form.
    keys = np.stack([form_of, part], axis=1)
    _, first, back = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    member = np.where(form_of >= 0, first[back.reshape(-1)], -1).astype(np.int64)
    names = np.unique(member[member >= 0])
    left, right = _candidates(digests[form_of[names]], part[names], rows, limit)
    sets = [sets[form] for form in form_of[names].tolist()]
    similarity = np.array(
        [jaccard(sets[a], sets[b]) for a, b in zip(left.tolist(), right.tolist(), strict=True)],
        dtype=np.float64,
    )
    near = Pairs(left, right, similarity).where(similarity >= threshold)
    if copies == "all":
        return _every_copy(near, member, names, limit)
    later = np.flatnonzero((member >= 0) & (member != np.arange(len(member))))
    star = Pairs.of(member[later], later.astype(np.int64), np.ones(len(later)))
    return join_pairs([star, near.renamed(names)])


def band_keys(
    texts: Sequence[str], *, threshold: float, shingle: int, permutations: int, seed: int
) -> tuple[Indices, npt.NDArray[np.uint64]]:
    """Return texts (k,) and keys (k,): texts that `near_texts` may pair share a text's key.

    Every text is listed once for each of its bands; one without a visible character is not listed.
    Two texts of one key need not be near. The key of a text does not depend on other texts.

    Args:
        texts: As for `near_texts`, like all other arguments.
        threshold: Jaccard similarity from which two texts are a pair.
        shingle: Words of a shingle.
        permutations: MinHash values of a text.
        seed: Of the hashes.
    """
    rows = _rows_per_band(threshold, permutations)
    digests, seen = [np.empty((0, permutations), np.uint32)], list[int]()
    sets, characters = list[frozenset[str]](), 0
    for number, text in enumerate(texts):
        if not (form := canonical(text)):
            continue
        seen.append(number)
        sets.append(shingles_of(form, shingle))
        characters += len(form)
        if characters >= _CHARACTERS_AT_A_TIME:
            # Shingles take thirty times as much memory as their texts.
            digests.append(_digests(sets, permutations, seed))
            sets, characters = [], 0
    digests.append(_digests(sets, permutations, seed))
    keys = _mixed_bands(np.concatenate(digests), rows)
    return np.repeat(np.array(seen, np.int64), keys.shape[1]), keys.ravel()


def _every_copy(near: Pairs, member: Indices, names: Indices, limit: int) -> Pairs:
    """Return the pairs between all copies of near groups, and within each group."""
    grouped = np.flatnonzero(member >= 0)
    by_group = grouped[np.argsort(member[grouped], kind="stable")]
    copies = np.split(by_group, np.flatnonzero(np.diff(member[by_group])) + 1)
    sizes = np.array([len(group) for group in copies[: len(names)]], dtype=np.int64)
    count = int((sizes[near.left] * sizes[near.right]).sum() + (sizes * (sizes - 1) // 2).sum())
    # Counted before any is made: a template in 100,000 texts would take 120 GB.
    check_candidates(count, limit)
    parts = []
    for a, b, value in zip(near.left, near.right, near.similarity, strict=True):
        left, right = np.repeat(copies[a], sizes[b]), np.tile(copies[b], sizes[a])
        parts.append(Pairs.of(left, right, np.full(len(left), value)))
    for group in copies[: len(names)]:
        row, column = np.triu_indices(len(group), 1)
        parts.append(Pairs.of(group[row], group[column], np.ones(len(row))))
    return join_pairs(parts)


def _digests(sets: list[frozenset[str]], permutations: int, seed: int) -> npt.NDArray[np.uint32]:
    """Return MinHash values (n, permutations) of the shingle sets."""
    from rensa import RMinHash

    digests = np.empty((len(sets), permutations), dtype=np.uint32)
    for start in range(0, len(sets), _TEXTS_AT_A_TIME):
        part = sets[start : start + _TEXTS_AT_A_TIME]
        matrix = RMinHash.digest_matrix_from_token_sets(part, permutations, seed)
        digests[start : start + len(part)] = matrix.to_rows()
    return digests


def _rows_per_band(threshold: float, permutations: int) -> int:
    """Return the most rows of a band that still miss a pair at the threshold under 1 in 1000.

    A pair of similarity s shares no band of r rows among b with probability (1 - s**r)**b.
    """
    allowed = [
        rows
        for rows in range(1, permutations + 1)
        if (1.0 - threshold**rows) ** (permutations // rows) <= _MISSED
    ]
    if not allowed:
        raise UsageError(
            f"{permutations} permutations cannot find pairs at Jaccard {threshold} reliably; "
            "raise the threshold or the permutations",
            code="search_setting_invalid",
            permutations=permutations,
        )
    # More rows of a band let fewer unlike pairs through: the least work at the allowed miss rate.
    return max(allowed)


def _candidates(
    digests: npt.NDArray[np.uint32], part: Indices, rows: int, limit: int
) -> tuple[Indices, Indices]:
    """Return the pairs (p,), (p,) of texts that share a band and a part, each once and sorted.

    A band's keys are merged once: k texts alike cost their k * k / 2 pairs a band, no more.
    """
    n = max(len(digests), 1)
    keys = np.empty(0, dtype=np.int64)
    for start in range(0, digests.shape[1] - rows + 1, rows):
        more = _same_band(digests[:, start : start + rows], part, limit)
        if len(more):
            # Sorted by hand: np.unique hashes whole numbers, and keys as regular as these collide.
            keys = np.sort(np.concatenate([keys, more]))
            keys = keys[np.append(True, keys[1:] != keys[:-1])]
        check_candidates(len(keys), limit)
    return keys // n, keys % n


def _meet_another(digests: npt.NDArray[np.uint32], rows: int) -> npt.NDArray[np.bool_]:
    """Return which of n texts share a band with another, or may do so."""
    meets = np.zeros(len(digests), bool)
    for key in _mixed_bands(digests, rows).T:
        order = np.argsort(key)
        same = key[order[1:]] == key[order[:-1]]
        meets[order[1:][same]] = True
        meets[order[:-1][same]] = True
    return meets


def _mixed_bands(digests: npt.NDArray[np.uint32], rows: int) -> npt.NDArray[np.uint64]:
    """Return the values of each band of n texts as one number (n, bands)."""
    bands = digests.shape[1] // rows
    values = digests[:, : bands * rows].reshape(-1, bands, rows)
    keys = np.broadcast_to(np.arange(bands, dtype=np.uint64), values.shape[:2])
    for place in range(rows):
        keys = (keys ^ values[:, :, place]) * _MIX
        keys ^= keys >> np.uint64(29)
    return keys


def _same_band(band: npt.NDArray[np.uint32], part: Indices, limit: int) -> Indices:
    """Return the keys (p,), smaller text * n + larger text, of texts with equal bands and part."""
    order = np.lexsort((*band.T, part))
    inside = part[order]
    new = np.any(band[order[1:]] != band[order[:-1]], axis=1) | (inside[1:] != inside[:-1])
    group = np.concatenate([[0], np.cumsum(new)])[: len(order)]
    sizes = np.bincount(group)
    check_candidates(int((sizes * (sizes - 1) // 2).sum()), limit)
    # Each place meets those behind it in its group.
    behind = np.repeat(np.cumsum(sizes), sizes) - np.arange(len(order)) - 1
    place = np.repeat(np.arange(len(order)), behind)
    offset = np.arange(len(place)) - np.repeat(np.cumsum(behind) - behind, behind)
    left, right = order[place], order[place + offset + 1]
    keys: Indices = np.minimum(left, right) * len(order) + np.maximum(left, right)
    return keys


def check_candidates(count: int, limit: int) -> None:
    """Refuse more candidate pairs than a caller has time to compare.

    Raises:
        UsageError: more than `limit` candidates.
    """
    if count > limit:
        raise UsageError(
            f"{count} pairs of texts look alike, more than the limit of {limit}: "
            "raise the threshold or the limit (dedup.text.max_pairs in a recipe), or remove the "
            "shared template from the texts",
            code="too_many_pairs",
            limit=limit,
        )
