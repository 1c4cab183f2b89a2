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
class Asked:
    """What n samples ask and answer, as numbers.

    `question` (n,) numbers questions of one meaning, whatever their wording and options, `NONE`
    where no other is like it. `answer` (n,) numbers answers in normal form, a letter as the option
    it represents. `offered` holds the answers that a question lets choose from, or none.
    """

    question: Indices
    answer: Indices
    offered: list[tuple[int, ...]]


def read_questions(pool: Pool, threshold: float) -> Asked:
    """Number the questions and answers of a pool.

    Two wordings have one meaning when the cosine of their vectors is `threshold` or more and no
    clinically protected word (side, negation, number, organ, modality, ...) parts them.
    """
    questions = [text or "" for text in pool.samples["question"].to_pylist()]
    parsed = {text: _parse(text) for text in set(questions)}
    codes: dict[str, int] = {}
    answers = [
        codes.setdefault(answer, len(codes)) if answer else NONE
        for answer in _answers(pool, questions)
    ]
    stems = [parsed[text][0] for text in questions]
    offered = [
        tuple(codes.setdefault(words, len(codes)) for words in parsed[text][1])
        for text in questions
    ]
    return Asked(
        question=_meanings(stems, offered, pool.vectors.question, threshold),
        answer=np.array(answers, np.int64),
        offered=offered,
    )


def _parse(question: str) -> tuple[str, tuple[str, ...]]:
    """A question in normal form without its options, and the options."""
    offered = choices(question)
    return normalise_question(stem(question)), tuple(words for _, words in offered)


def _answers(pool: Pool, questions: Sequence[str]) -> list[str]:
    """Answers in normal form; of a closed one that continues after "yes" or "no", that word."""
    answers = pool.samples["answer"].to_pylist()
    types = pool.samples["answer_type"].to_pylist()
    known: dict[tuple[str, str, bool], str] = {}
    for question, answer, kind in set(zip(questions, answers, types, strict=True)):
        told = chosen(question, answer or "")
        first = told.split(" ", 1)[0]
        closed = kind == "closed"
        known[question, answer or "", closed] = first if closed and first in YES_NO else told
    return [
        known[question, answer or "", kind == "closed"]
        for question, answer, kind in zip(questions, answers, types, strict=True)
    ]


def _meanings(
    stems: Sequence[str], offered: Sequence[tuple[int, ...]], vectors: Floats, threshold: float
) -> Indices:
    names, place, count = np.unique(
        np.array(stems, object), return_inverse=True, return_counts=True
    )
    # A vector with options says less about the question; it counts only where there is no other.
    plain = np.array([0.001 if options else 1.0 for options in offered])
    mean = np.zeros((len(names), vectors.shape[1]))
    np.add.at(mean, place, vectors * plain[:, None])
    norms = np.linalg.norm(mean, axis=1, keepdims=True)
    mean = np.divide(mean, norms, out=np.zeros_like(mean), where=norms > 1e-9)
    found: Indices = lead(list(names), count, mean, threshold)[place]
    return found


def lead(names: Sequence[str], count: Indices, vectors: Doubles, threshold: float) -> Indices:
    """Group (m,) of each of m sorted, distinct questions asked `count` times (m,).

    The commonest `LEADERS` are taken in order: one that is near no leader leads a new group, any
    other joins the nearest. The rest join the nearest leader, or stay alone (`NONE`). A group so
    never drifts from its leader's meaning.
    """
    codes: dict[frozenset[tuple[str, int]], int] = {}
    token = np.array(
        [codes.setdefault(frozenset(protected_tokens(name).items()), len(codes)) for name in names],
        np.int64,
    )
    order = np.argsort(-count, kind="stable")
    group = np.full(len(names), NONE, np.int64)
    leaders: list[int] = []
    head = np.empty((min(len(names), LEADERS), vectors.shape[1]))
    for row in order[:LEADERS]:
        near, best = _nearest(vectors[[row]], token[[row]], head[: len(leaders)], token[leaders])
        if near[0] < threshold:
            head[len(leaders)] = vectors[row]
            leaders.append(int(row))
            group[row] = len(leaders) - 1
        else:
            group[row] = best[0]
    for start in range(LEADERS, len(names), ROWS_AT_A_TIME):
        rows = order[start : start + ROWS_AT_A_TIME]
        near, best = _nearest(vectors[rows], token[rows], head[: len(leaders)], token[leaders])
        group[rows] = np.where(near >= threshold, best, NONE)
    return group


def _nearest(
    vectors: Doubles, token: Indices, leaders: Doubles, theirs: Indices
) -> tuple[Doubles, Indices]:
    """Cosine (r,) with, and place (r,) of, the nearest leader of equal protected words."""
    if not len(leaders):
        return np.full(len(vectors), -np.inf), np.full(len(vectors), NONE)
    cosine = np.where(token[:, None] == theirs[None, :], vectors @ leaders.T, -np.inf)
    best = cosine.argmax(axis=1)
    return cosine[np.arange(len(best)), best], best
