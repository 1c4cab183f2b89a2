"""Label noise on request: wrong answers, and questions that sit with another patient's picture."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count, islice
from typing import Final

import numpy as np

from curation.phantoms.cases import Case, draw_case
from curation.phantoms.defects import KEPT, Base, Plan
from curation.phantoms.images import suffix
from curation.phantoms.questions import LETTERS, NO, YES, Question, answer_on
from medsift.errors import UsageError

NOISE: Final = 5
TRIES: Final = 200
WRONG_ANSWER, MISMATCHED = "wrong_answer", "mismatched"

Place = tuple[Base, int]


def plant_noise(plan: Plan, wrong_answers: int, mismatched: int) -> None:
    """Spoil training rows of the base set that have no other defect, and say so in the truth.

    `wrong_answers` closed and choice rows get a wrong answer. `mismatched` rows get a new picture
    of another patient and modality, about which their question has another answer or none; their
    tags stay. No other row changes.

    Raises UsageError when there are not as many such rows.
    """
    order = np.random.default_rng([plan.seed, 0, NOISE])
    sound = _sound_rows(plan)
    sound = [sound[int(place)] for place in order.permutation(len(sound))]
    wrong = [place for place in sound if _question(place).answer_type != "open"][:wrong_answers]
    _check(WRONG_ANSWER, wrong_answers, len(wrong))
    for place in wrong:
        _answer_wrongly(plan, place, order)
    taken = {base.rows[place] for base, place in wrong}
    left = (place for place in sound if place[0].rows[place[1]] not in taken)
    fresh = (draw_case(plan.seed, index) for index in count(len(plan.bases) + plan.paths))
    moves = ((place, _unfitting(place, fresh)) for place in left)
    moved = list(islice(((place, case) for place, case in moves if case), mismatched))
    _check(MISMATCHED, mismatched, len(moved))
    for place, case in moved:
        _move(plan, place, case)


def _check(kind: str, wanted: int, found: int) -> None:
    if found < wanted:
        raise UsageError(
            f"{wanted} rows of kind {kind} were asked for and {found} are free of other defects; "
            "ask for fewer, or for more images",
            code="phantom_rows_too_few",
            kind=kind,
            asked=wanted,
            free=found,
        )


def _sound_rows(plan: Plan) -> list[Place]:
    """Rows of training patients that no line of truth mentions."""
    planted = {line["row_index"] for line in plan.truth}
    planted |= {line["original_row_index"] for line in plan.truth}
    return [
        (base, place)
        for base in plan.bases
        for place, row in enumerate(base.rows)
        if base.case.split == "train" and row not in planted
    ]


def _question(place: Place) -> Question:
    return place[0].used[place[1]]


def _answer_wrongly(plan: Plan, place: Place, order: np.random.Generator) -> None:
    question, row = _question(place), place[0].rows[place[1]]
    known = LETTERS[: len(question.options)] or (YES, NO)
    others = [answer for answer in known if answer != question.answer]
    plan.rows[row]["answer"] = others[int(order.integers(len(others)))]
    plan.plant(row, WRONG_ANSWER, KEPT, None, f"the picture says {question.answer}")


def _unfitting(place: Place, fresh: Iterator[Case]) -> Case | None:
    """The next picture of another modality with another answer; None where none comes up soon.

    Some answers hold for every other modality: only ultrasound shows a kidney.
    """
    question, own = _question(place), place[0].case
    fitting = (
        case
        for case in islice(fresh, TRIES)
        if case.modality != own.modality and answer_on(question, case) != question.answer
    )
    return next(fitting, None)


def _move(plan: Plan, place: Place, case: Case) -> None:
    row = place[0].rows[place[1]]
    plan.rows[row]["image"] = plan.picture(case, "original", suffix(case))
    plan.plant(row, MISMATCHED, KEPT, None, f"the question is about {place[0].path}")
