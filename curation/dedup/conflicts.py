"""Samples that contradict each other: same pictures and question, answers not both right."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from curation.dedup.samples import Pictures, blocks
from curation.dedup.schemas import CONFLICTS
from curation.dedup.semantic import question_answer
from curation.matching.image_copies import Copies
from curation.matching.lettered_options import choices, chosen, stem
from curation.matching.settings import SampleConfig
from curation.matching.text_match import Conversations, text_cosine
from curation.meaning import alike, contrast, read_meaning
from curation.neighbors import Pairs, connected_components
from medsift.arrays import Flags, Indices
from medsift.records import digest
from medsift.text import normalise_question


def find_conflicts(
    samples: pa.Table,
    talks: Conversations,
    pictures: Pictures,
    copies: Copies,
    config: SampleConfig,
) -> pa.Table:
    """Rows whose answer another row on the same image group and question contradicts.

    Closed and choice answers contradict each other when they differ. Where one of two is open,
    their normal forms differ and so do values of one kind that exclude each other (`contrast`):
    side, size, sign, grade, number, negation, …; other wordings and more detail do not. Rows with
    one question each are compared; those that contradict each other, directly or by way of a
    third, share a `group_id`. They are flagged, never dropped.
    """
    asked = np.add.reduceat(np.append(talks.role == "u", False).astype(int), talks.start[:-1])
    rows = np.flatnonzero((pictures.count > 0) & (asked == 1)).astype(np.int64)
    question, answer = _questions_and_answers(samples, talks, rows)
    parts = []
    for left, right in _in_same_group(rows, talks.shape, pictures, copies):
        apart = answer[left] != answer[right]
        left, right = left[apart], right[apart]
        same = _same_question(talks, question[left], question[right], config.question_cosine)
        left, right = left[same], right[same]
        against = _exclude_each_other(talks, left, right)
        parts.append((left[against], right[against]))
    left = np.concatenate([np.empty(0, np.int64), *(one for one, _ in parts)])
    right = np.concatenate([np.empty(0, np.int64), *(other for _, other in parts)])
    return _table(samples, Pairs.of(left, right, np.ones(len(left))))


def _questions_and_answers(
    samples: pa.Table, talks: Conversations, rows: Indices
) -> tuple[Indices, Indices]:
    """Turn of the question (n,), and a number for the answer (n,), where a letter is its choice."""
    turn = np.full(samples.num_rows, -1, np.int64)
    sample = np.repeat(np.arange(samples.num_rows), np.diff(talks.start))
    asked = np.flatnonzero(talks.role == "u")
    turn[sample[asked]] = asked
    answer = np.full(samples.num_rows, -1, np.int64)
    known: dict[str, int] = {}
    answers, questions = samples["answer"].to_pylist(), samples["question"].to_pylist()
    for row in rows.tolist():
        told = chosen(questions[row] or "", answers[row] or "")
        answer[row] = known.setdefault(told, len(known))
    return turn, answer


def _in_same_group(
    rows: Indices, shape: Indices, pictures: Pictures, copies: Copies
) -> Iterator[tuple[Indices, Indices]]:
    """Pairs of rows of equal shape whose pictures lie in equal groups, place by place."""
    known: dict[tuple[int, ...], int] = {}
    group = copies.group[pictures.image]
    key = np.empty(len(rows), np.int64)
    for place, row in enumerate(rows.tolist()):
        shown = group[pictures.start[row] : pictures.start[row + 1]].tolist()
        key[place] = known.setdefault((int(shape[row]), *shown), len(known))
    order = np.argsort(key, kind="stable")
    key = key[order]
    here = np.arange(len(rows))
    yield from blocks(rows[order], here, here + 1, np.searchsorted(key, key, side="right"))


def _exclude_each_other(talks: Conversations, left: Indices, right: Indices) -> Flags:
    """Whether the answers of pairs (p,) of rows, which differ in normal form, cannot both hold."""
    against: Flags = talks.exact[left] & talks.exact[right]
    answer = question_answer(talks)[1]
    for place in np.flatnonzero(~against).tolist():
        one, other = int(answer[left[place]]), int(answer[right[place]])
        if one >= 0 and other >= 0:
            against[place] = contrast(talks.meaning(one), talks.meaning(other))
    return against


def _same_question(talks: Conversations, one: Indices, other: Indices, threshold: float) -> Flags:
    """Whether pairs (p,) of question turns ask the same; the order of choices does not count."""
    same: Flags = talks.form[one] == talks.form[other]
    differ = np.flatnonzero(~same)
    a, b = talks.text[one[differ]], talks.text[other[differ]]
    near = differ[text_cosine(talks, a, b) >= threshold]
    pairs = zip(one[near].tolist(), other[near].tolist(), strict=True)
    same[near] = [_ask_the_same(talks, a, b) for a, b in pairs]
    return same


def _ask_the_same(talks: Conversations, one: int, other: int) -> bool:
    """Whether two question turns ask the same; the same options may stand in another order."""
    a, b = talks.texts[talks.text[one]], talks.texts[talks.text[other]]
    offered = [sorted(words for _, words in choices(text)) for text in (a, b)]
    if offered[0] != offered[1]:
        return False
    if not offered[0]:
        return alike(talks.meaning(one), talks.meaning(other))
    if normalise_question(stem(a)) == normalise_question(stem(b)):
        return True
    languages = talks.language(one), talks.language(other)
    return alike(read_meaning(stem(a), languages[0]), read_meaning(stem(b), languages[1]))


def _table(samples: pa.Table, pairs: Pairs) -> pa.Table:
    group = connected_components(samples.num_rows, pairs) if len(pairs) else np.empty(0, np.int64)
    rows = np.unique(np.concatenate([pairs.left, pairs.right]))
    lines = samples.select(["sample_id", "row_id", "question", "answer"]).take(pa.array(rows))
    ids = lines["sample_id"].to_pylist()
    members: dict[int, set[str]] = {}
    for row, sample in zip(rows.tolist(), ids, strict=True):
        members.setdefault(int(group[row]), set()).add(sample)
    names = {label: digest("conflict", *sorted(held))[:16] for label, held in members.items()}
    listed = pa.array([names[int(group[row])] for row in rows.tolist()], pa.string())
    found = lines.append_column("group_id", listed).select(CONFLICTS.names).cast(CONFLICTS)
    return found.sort_by([(name, "ascending") for name in ("group_id", "sample_id", "row_id")])
