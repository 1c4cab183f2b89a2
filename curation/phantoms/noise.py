"""Plant label noise on request: wrong answers, and pictures of another patient."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count, islice
from typing import Final

import numpy as np

from curation.phantoms.cases import Case, draw_case
from curation.phantoms.defects import KEPT, PhantomPlan
from curation.phantoms.images import suffix
from curation.phantoms.questions import LETTERS, NAMES, NO, YES, Question, answer_on
from medsift.errors import UsageError

NOISE: Final = 5
TRIES: Final = 200
WRONG_ANSWER, MISMATCHED = "wrong_answer", "mismatched"


def plant_noise(plan: PhantomPlan, wrong_answers: int, mismatched: int) -> None:
    """Spoil training rows of the base set that have no other defect, and record it in the truth.

    Args:
        plan: The plan, which is changed.
        wrong_answers: How many closed and choice rows get a wrong answer.
        mismatched: How many rows get a new picture of another patient and modality, about which
            their question has another answer or none; their tags stay.

    Raises:
        UsageError: there are fewer such rows.
    """
    rng = np.random.default_rng([plan.seed, 0, NOISE])
    planted = {line["row_index"] for line in plan.truth}
    planted |= {line["original_row_index"] for line in plan.truth}
    sound = [
        (row, question, base)
        for base in plan.bases
        for row, question in zip(base.rows, base.used, strict=True)
        if base.case.split == "train" and row not in planted
    ]
    sound = [sound[int(position)] for position in rng.permutation(len(sound))]
    wrong = [line for line in sound if line[1].answer_type != "open"][:wrong_answers]
    _check(WRONG_ANSWER, wrong_answers, len(wrong))
    for row, question, _ in wrong:
        plan.rows[row]["answer"] = other_answer(question, rng)
        plan.plant(row, WRONG_ANSWER, KEPT, None, f"the picture says {question.answer}")
    answered = {row for row, _, _ in wrong}
    # Lazily, because a new case is drawn for each try.
    fresh = (draw_case(plan.seed, index) for index in count(len(plan.bases) + plan.paths))
    moves = (
        (row, base, case)
        for row, question, base in sound
        if row not in answered and (case := _draw_mismatch(question, base.case, fresh))
    )
    moved = list(islice(moves, mismatched))
    _check(MISMATCHED, mismatched, len(moved))
    for row, base, case in moved:
        plan.rows[row]["image"] = plan.picture(case, "original", suffix(case))
        plan.plant(row, MISMATCHED, KEPT, None, f"the question is about {base.path}")


def other_answer(question: Question, rng: np.random.Generator) -> str:
    """Draw a wrong answer that could have been given: an option, yes or no, a name of its task."""
    known: Sequence[str] = LETTERS[: len(question.options)]
    if question.answer_type != "choice":
        known = (YES, NO) if question.answer_type == "closed" else NAMES[question.task]
    others = [answer for answer in known if answer != question.answer]
    return others[int(rng.integers(len(others)))]


def _check(kind: str, asked: int, free: int) -> None:
    if free < asked:
        raise UsageError(
            f"{asked} rows of kind {kind} were asked for and {free} are free of other defects; "
            "ask for fewer, or for more images",
            code="phantom_rows_too_few",
            kind=kind,
            asked=asked,
            free=free,
        )


def _draw_mismatch(question: Question, own: Case, fresh: Iterator[Case]) -> Case | None:
    """Return the next picture of another modality with another answer; None after many tries.

    Some answers are the same for every other modality: only ultrasound shows a kidney.
    """
    fitting = (
        case
        for case in islice(fresh, TRIES)
        if case.modality != own.modality and answer_on(question, case) != question.answer
    )
    return next(fitting, None)
