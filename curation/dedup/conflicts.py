"""Find samples that contradict each other: same pictures and question, answers not both right."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from curation.dedup.samples import Pictures, pair_blocks
from curation.dedup.schemas import CONFLICTS
from curation.dedup.semantic import question_answer
from curation.matching.image_copies import Copies
from curation.matching.lettered_options import choices, chosen, stem
from curation.matching.settings import SampleConfig
from curation.matching.text_match import Conversations, text_cosine
from curation.meaning import alike, contrast, read_meaning
from curation.neighbors import Pairs
from medsift.arrays import Flags, Indices
from medsift.connected import connected_components
from medsift.records import digest
from medsift.text import normalise_question


def find_conflicts(
    samples: pa.Table,
    conversations: Conversations,
    pictures: Pictures,
    copies: Copies,
    config: SampleConfig,
) -> pa.Table:
    """Return rows whose answer another row on the same image group and question contradicts.

    Closed and choice answers contradict each other when they differ. Where one of two is open,
    their normal forms differ and so do values of one kind that exclude each other (`contrast`):
    side, size, sign, grade, number, negation, …; other wordings and more detail do not. Rows with
    one question each are compared; those that contradict each other, directly or by way of a
    third, share a `group_id`. They are flagged, never dropped.

    Args:
        samples: SAMPLES rows (n).
        conversations: Their turns.
        pictures: Their pictures.
        copies: Confirmed copies among the pictures.
        config: From which cosine questions are compared in meaning.
    """
    is_question = np.append(conversations.role == "u", False).astype(int)
    asked = np.add.reduceat(is_question, conversations.start[:-1])
    rows = np.flatnonzero((pictures.count > 0) & (asked == 1)).astype(np.int64)
    question, last_answer = question_answer(conversations)
    # Answers by number: equal in normal form, a letter by its choice.
    answer = np.full(samples.num_rows, -1, np.int64)
    known: dict[str, int] = {}
    answers, questions = samples["answer"].to_pylist(), samples["question"].to_pylist()
    for row in rows.tolist():
        said = chosen(questions[row] or "", answers[row] or "")
        answer[row] = known.setdefault(said, len(known))
    parts = [(rows[:0], rows[:0])]
    for left, right in _pairs_in_same_group(rows, conversations.shape, pictures, copies):
        # The cheapest test first: most pairs have equal answers.
        differ = answer[left] != answer[right]
        left, right = left[differ], right[differ]
        same = _same_question(
            conversations, question[left], question[right], config.question_cosine
        )
        left, right = left[same], right[same]
        # Closed and choice answers have few values: two different ones cannot both be right.
        against = conversations.exact[left] & conversations.exact[right]
        for pair in np.flatnonzero(~against).tolist():
            a, b = int(last_answer[left[pair]]), int(last_answer[right[pair]])
            if a >= 0 and b >= 0:
                against[pair] = contrast(conversations.meaning(a), conversations.meaning(b))
        parts.append((left[against], right[against]))
    left, right = (np.concatenate(side) for side in zip(*parts, strict=True))
    return _conflict_table(samples, Pairs.of(left, right, np.ones(len(left))))


def _pairs_in_same_group(
    rows: Indices, shape: Indices, pictures: Pictures, copies: Copies
) -> Iterator[tuple[Indices, Indices]]:
    """Yield pairs of rows of equal shape whose pictures are in equal groups, place by place."""
    known: dict[tuple[int, ...], int] = {}
    key = np.empty(len(rows), np.int64)
    for place, row in enumerate(rows.tolist()):
        groups = copies.group[pictures.shown_by(row)].tolist()
        key[place] = known.setdefault((int(shape[row]), *groups), len(known))
    order = np.argsort(key, kind="stable")
    key = key[order]
    member = np.arange(len(rows))
    stop = np.searchsorted(key, key, side="right")
    yield from pair_blocks(rows[order], member, member + 1, stop)


def _same_question(
    conversations: Conversations, left: Indices, right: Indices, threshold: float
) -> Flags:
    """Return whether pairs (p,) of question turns ask the same, in any order of choices."""
    same: Flags = conversations.form[left] == conversations.form[right]
    differ = np.flatnonzero(~same)
    text = conversations.text
    cosine = text_cosine(conversations, text[left[differ]], text[right[differ]])
    near = differ[cosine >= threshold]
    pairs = zip(left[near].tolist(), right[near].tolist(), strict=True)
    same[near] = [_ask_the_same(conversations, a, b) for a, b in pairs]
    return same


def _ask_the_same(conversations: Conversations, left: int, right: int) -> bool:
    """Return whether two question turns ask the same; their options may be in another order."""
    a, b = (conversations.texts[conversations.text[turn]] for turn in (left, right))
    offered = [sorted(words for _, words in choices(text)) for text in (a, b)]
    if offered[0] != offered[1]:
        return False
    if not offered[0]:
        return alike(conversations.meaning(left), conversations.meaning(right))
    if normalise_question(stem(a)) == normalise_question(stem(b)):
        return True
    languages = conversations.language(left), conversations.language(right)
    return alike(read_meaning(stem(a), languages[0]), read_meaning(stem(b), languages[1]))


def _conflict_table(samples: pa.Table, pairs: Pairs) -> pa.Table:
    group = connected_components(samples.num_rows, pairs.left, pairs.right)
    rows = np.unique(np.concatenate([pairs.left, pairs.right]))
    among = np.zeros(samples.num_rows, bool)
    among[rows] = True
    # Filtered chunk by chunk: the texts of all rows may be more than one array can have.
    table = samples.select(["sample_id", "row_id", "question", "answer"]).filter(pa.array(among))
    groups = group[rows].tolist()
    members: dict[int, set[str]] = {}
    for label, sample in zip(groups, table["sample_id"].to_pylist(), strict=True):
        members.setdefault(label, set()).add(sample)
    # Named by content, so that a group keeps its name when other rows are added.
    names = {label: digest("conflict", *sorted(ids))[:16] for label, ids in members.items()}
    listed = pa.array([names[label] for label in groups], pa.string())
    table = table.append_column("group_id", listed).select(CONFLICTS.names).cast(CONFLICTS)
    return table.sort_by([(name, "ascending") for name in ("group_id", "sample_id", "row_id")])
