"""Turn answers into the classes that the probe predicts, and count what it cannot ask about."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa

from curation.matching.lettered_options import choices, chosen
from medsift.arrays import Doubles, Flags, Indices

YES_NO: Final = ("yes", "no")
NO_CLASS: Final = -1
MOST_CLASSES: Final = 1000
"""Classes at most, the commonest ones: each costs a column in every training."""


@dataclass(frozen=True, slots=True)
class Answers:
    """What n samples answer, as classes.

    `label` (n,) numbers each sample's class out of `classes`, -1 where the probe leaves the sample
    out; `reason` (n) says why, and is empty for the others. `offered` (n, c) is true for the
    classes that a sample's question lets choose from, for all where the question does not say.
    """

    label: Indices
    classes: list[str]
    offered: Flags
    reason: list[str]

    @property
    def usable(self) -> Indices:
        """The samples that have a class, in order."""
        return np.flatnonzero(self.label != NO_CLASS)

    def take(self, rows: Indices) -> Answers:
        """Return the answers of some samples."""
        reason = [self.reason[row] for row in rows.tolist()]
        return Answers(self.label[rows], self.classes, self.offered[rows], reason)

    def best(self, rows: Indices, scores: Doubles) -> Indices:
        """Return the class (r,) with the highest score among those offered, the first of equals."""
        return np.asarray(np.where(self.offered[rows], scores, -np.inf).argmax(axis=1), np.int64)

    def correct(self, rows: Indices, scores: Doubles) -> Doubles:
        """Return 1.0 (r,) where the best class is the right one, else 0.0."""
        return np.asarray(self.best(rows, scores) == self.label[rows], np.float64)


def answer_classes(samples: pa.Table, group: Indices, least: int) -> Answers:
    """Number the answers of samples (n) that at least `least` groups (n,) of samples give.

    An answer is compared in normal form: the option for its letter, "yes" or "no" for a closed
    answer that continues after that word. One that a single picture or patient gives, however
    often, could never be asked about on another: so groups are counted, not samples.
    """
    questions = [text or "" for text in samples["question"].to_pylist()]
    answers = [text or "" for text in samples["answer"].to_pylist()]
    kinds = samples["answer_type"].to_pylist()
    turns = [
        sum(turn["role"] == "assistant" for turn in messages)
        for messages in samples["messages"].to_pylist()
    ]
    names = [_normal(*sample) for sample in zip(questions, answers, kinds, strict=True)]
    single = [name if count == 1 else "" for name, count in zip(names, turns, strict=True)]
    common = _common(single, group, least)
    number = {name: place for place, name in enumerate(common)}
    label = np.array([number.get(name, NO_CLASS) for name in single], np.int64)
    offered = _offered(questions, number)
    # Every training would answer such a question rightly, whatever it learned.
    forced = (label != NO_CLASS) & (offered.sum(axis=1) == 1) & (len(common) > 1)
    label[forced] = NO_CLASS
    reason = [
        _reason(count, normal, forced[row]) if label[row] == NO_CLASS else ""
        for row, (count, normal) in enumerate(zip(turns, names, strict=True))
    ]
    return Answers(label, common, offered, reason)


def _normal(question: str, answer: str, kind: str | None) -> str:
    normal = chosen(question, answer)
    first = normal.split(" ", 1)[0]
    return first if kind == "closed" and first in YES_NO else normal


def _common(names: list[str], group: Indices, least: int) -> list[str]:
    """Return the answers that enough groups give, sorted by name."""
    groups = Counter(name for name, _ in set(zip(names, group.tolist(), strict=True)) if name)
    enough = [name for name, count in groups.items() if count >= least]
    # Of equally common answers the first by name stays, so that no order of rows decides.
    return sorted(sorted(enough, key=lambda name: (-groups[name], name))[:MOST_CLASSES])


def _reason(turns: int, normal: str, forced: bool) -> str:
    if turns != 1:
        return "several turns"
    if forced:
        return "one option alone"
    return "rare answer" if normal else "no answer"


def _offered(questions: list[str], number: dict[str, int]) -> Flags:
    offered = np.ones((len(questions), len(number)), bool)
    for row, question in enumerate(questions):
        options = [number[words] for _, words in choices(question) if words in number]
        if options:
            offered[row] = False
            offered[row, options] = True
    return offered
