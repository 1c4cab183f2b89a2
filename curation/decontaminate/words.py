"""What a question and its answer say, as digests that can be compared and shared."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from curation.neighbors.shingles import canonical, shingles_of
from curation.records import digest
from curation.text import normalise_answer, normalise_question

SHINGLE = 3


@dataclass(frozen=True, slots=True)
class Wording:
    """Digests of one question and answer.

    `question` and `whole` are digests of the normal forms, `words` counts the words of both,
    `shingles` and `grams` are 64-bit hashes of their short and long runs of words.
    """

    question: str
    whole: str
    words: int
    shingles: frozenset[int]
    grams: frozenset[int]


def wording(question: str | None, answer: str | None, gram: int) -> Wording:
    """Digests of a question and answer; `gram` is the length of a long run, in words."""
    asked, told = normalise_question(question or ""), normalise_answer(answer or "")
    text = canonical(f"{asked}\n{told}")
    words = text.split()
    runs = (" ".join(words[at : at + gram]) for at in range(len(words) - gram + 1))
    return Wording(
        question=digest("question", asked),
        whole=digest("whole", asked, told),
        words=len(words),
        shingles=frozenset(map(_hash, shingles_of(text, SHINGLE))) if text else frozenset(),
        grams=frozenset(map(_hash, runs)),
    )


def _hash(run: str) -> int:
    return int.from_bytes(hashlib.blake2b(run.encode(), digest_size=8).digest(), "little")
