"""Group samples that ask the same, and answers that say the same: the classes that heads learn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from curation.matching.lettered_options import choices, chosen, stem
from curation.pool import Pool
from medsift.arrays import Doubles, Floats, Indices
from medsift.text import normalise_question, protected_tokens

LEADERS: Final = 4096
ROWS_AT_A_TIME: Final = 4096
NONE: Final = -1
YES_NO: Final = ("yes", "no")


@dataclass(frozen=True, slots=True)
class QuestionGroups:
    """What n samples ask and answer, as numbers.

    `question` (n,) numbers questions of one meaning, whatever their wording and options, `NONE`
    where no other is like it. `answer` (n,) numbers answers in normal form, a letter as the option
    it represents. `offered` (n) are the answers that a question lets choose from, or none.
    """

    question: Indices
    answer: Indices
    offered: list[tuple[int, ...]]


def group_questions(pool: Pool, threshold: float) -> QuestionGroups:
    """Number the questions and answers of a pool.

    Two wordings have one meaning when the cosine of their vectors is `threshold` or more and both
    have the same clinically protected words (side, negation, number, organ, modality, ...).
    """
    questions = [text or "" for text in pool.samples["question"].to_pylist()]
    codes: dict[str, int] = {}
    answers = [
        codes.setdefault(answer, len(codes)) if answer else NONE
        for answer in _normalise_answers(pool, questions)
    ]
    # Questions repeat a lot: each wording is parsed once.
    stems = {text: normalise_question(stem(text)) for text in set(questions)}
    options = {text: [words for _, words in choices(text)] for text in stems}
    offered = [
        tuple(codes.setdefault(words, len(codes)) for words in options[text]) for text in questions
    ]
    wordings = [stems[text] for text in questions]
    return QuestionGroups(
        question=_group_wordings(wordings, offered, pool.vectors.question, threshold),
        answer=np.array(answers, np.int64),
        offered=offered,
    )


def _normalise_answers(pool: Pool, questions: Sequence[str]) -> list[str]:
    """Return answers in normal form; of a closed one that begins with "yes" or "no", that word."""
    answers = [answer or "" for answer in pool.samples["answer"].to_pylist()]
    closed = [kind == "closed" for kind in pool.samples["answer_type"].to_pylist()]
    exchanges = list(zip(questions, answers, closed, strict=True))
    known: dict[tuple[str, str, bool], str] = {}
    for question, answer, is_closed in set(exchanges):
        words = chosen(question, answer)
        first = words.split(" ", 1)[0]
        known[question, answer, is_closed] = first if is_closed and first in YES_NO else words
    return [known[exchange] for exchange in exchanges]


def _group_wordings(
    wordings: Sequence[str], offered: Sequence[tuple[int, ...]], vectors: Floats, threshold: float
) -> Indices:
    """Return the group (n,) of each sample's question, by its wording and its vectors (n, d)."""
    names, number, count = np.unique(
        np.array(wordings, object), return_inverse=True, return_counts=True
    )
    # A vector with options says less about the question; it counts only where there is no other.
    weight = np.array([0.001 if options else 1.0 for options in offered])
    mean = np.zeros((len(names), vectors.shape[1]))
    np.add.at(mean, number, vectors * weight[:, None])
    norms = np.linalg.norm(mean, axis=1, keepdims=True)
    mean = np.divide(mean, norms, out=np.zeros_like(mean), where=norms > 1e-9)
    return np.asarray(follow_leaders(list(names), count, mean, threshold)[number])


def follow_leaders(
    names: Sequence[str], count: Indices, vectors: Doubles, threshold: float
) -> Indices:
    """Return the group (m,) of each of m distinct questions.

    The commonest `LEADERS` are taken in order: one that is near no leader leads a new group, any
    other joins the nearest. The rest join the nearest leader, or stay alone (`NONE`).

    Args:
        names: The questions (m), sorted.
        count: How often (m,) each is asked.
        vectors: Their unit vectors (m, d).
        threshold: Cosine from which a question is near a leader.
    """
    codes: dict[frozenset[tuple[str, int]], int] = {}
    protected = np.array(
        [codes.setdefault(frozenset(protected_tokens(name).items()), len(codes)) for name in names],
        np.int64,
    )
    # A stable sort: of equally common questions the first by name leads.
    order = np.argsort(-count, kind="stable")
    group = np.full(len(names), NONE, np.int64)
    leaders: list[int] = []
    led = np.empty((min(len(names), LEADERS), vectors.shape[1]))

    def nearest_leader(rows: Indices) -> tuple[Doubles, Indices]:
        """Return the cosine (r,) with, and number (r,) of, the leader of equal protected words."""
        if not leaders:
            return np.full(len(rows), -np.inf), np.full(len(rows), NONE)
        same = protected[rows][:, None] == protected[leaders][None, :]
        cosine = np.where(same, vectors[rows] @ led[: len(leaders)].T, -np.inf)
        best = cosine.argmax(axis=1)
        return cosine[np.arange(len(best)), best], best

    # Members are compared with leaders alone: a group never drifts from its leader's meaning.
    for row in order[:LEADERS]:
        cosine, leader = nearest_leader(np.array([row]))
        if cosine[0] < threshold:
            led[len(leaders)] = vectors[row]
            leaders.append(int(row))
            group[row] = len(leaders) - 1
        else:
            group[row] = leader[0]
    for start in range(LEADERS, len(names), ROWS_AT_A_TIME):
        rows = order[start : start + ROWS_AT_A_TIME]
        cosine, leader = nearest_leader(rows)
        group[rows] = np.where(cosine >= threshold, leader, NONE)
    return group
