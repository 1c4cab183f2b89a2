"""Plan a pool of phantoms whose redundancy, wrong answers and imbalance are known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Final

import numpy as np

from curation.phantoms.cases import MODALITIES, Case, draw_case
from curation.phantoms.defects import (
    COPIES,
    DROPPED,
    KEPT,
    BasePicture,
    PhantomPlan,
    draw_questions,
)
from curation.phantoms.images import suffix
from curation.phantoms.noise import WRONG_ANSWER, other_answer
from curation.phantoms.questions import NAMES
from medsift.arrays import Indices
from medsift.errors import UsageError

POOL, WRONG, ROWS = 6, 7, 8
TASKS: Final = ("presence", *NAMES)
Cell = tuple[str, str]
"""A modality and a task; ultrasound has no plane."""
CELLS: Final = tuple(
    (modality, task)
    for modality in MODALITIES
    for task in TASKS
    if (modality, task) != ("us", "plane")
)
TRAIN_QUESTIONS: Final = 3
TEST_QUESTIONS: Final = 5
"""Rows of one picture on average, in the training and the test split."""
ALTERED_PICTURES: Final = 3
MOST_COPIES: Final = (1 + ALTERED_PICTURES) * 3
"""Pictures of one case times wordings of one question."""
MOST_IMBALANCE: Final = 100.0


@dataclass(frozen=True, slots=True)
class PoolShape:
    """What is known of a pool's training split: redundancy, wrong answers, imbalance.

    Every row occurs `copies` times: once as drawn, then with its picture altered or its question
    reworded, so that 1 is no redundancy. `wrong_share` of the distinct rows have a wrong answer,
    which their copies repeat. `imbalance` is the ratio of the largest to the smallest cell of
    modality and task: sizes fall geometrically over modalities and over tasks, in an order that
    the seed draws.
    """

    copies: int = 1
    wrong_share: float = 0.0
    imbalance: float = 1.0

    def check(self) -> None:
        """Raise UsageError for a value out of its range."""
        for option, value, least, most in (
            ("copies", self.copies, 1, MOST_COPIES),
            ("wrong_share", self.wrong_share, 0.0, 0.9),
            ("imbalance", self.imbalance, 1.0, MOST_IMBALANCE),
        ):
            if not least <= value <= most:
                raise UsageError(
                    f"{option}={value}: must be between {least:g} and {most:g}; change it",
                    code="phantom_option_invalid",
                    option=option,
                    least=least,
                )


def plan_pool(images: int, seed: int, shape: PoolShape) -> PhantomPlan:
    """Plan a pool of `images` training pictures, three rows each on average, without defects.

    As many pictures are held out as split `test`: with all cells of one size, right answers and
    no copies, whatever the shape. So pools of one seed that differ in copies and wrong
    answers have the same distinct rows and the same test, and those that differ in imbalance have
    the same test and as many distinct rows.

    Raises:
        UsageError: a value of the shape out of its range, or too few images for its imbalance.
    """
    shape.check()
    plan = PhantomPlan(seed)
    for split, pictures, questions, imbalance in (
        ("train", images, TRAIN_QUESTIONS, shape.imbalance),
        ("test", images, TEST_QUESTIONS, 1.0),
    ):
        sizes = cell_sizes(pictures * questions, imbalance, seed)
        _add_rows(plan, split, pictures, sizes)
    training = [base for base in plan.bases if base.case.split == "train"]
    _spoil_answers(plan, training, shape.wrong_share)
    for base in training:
        _add_copies(plan, base, shape.copies)
    return plan


def cell_sizes(rows: int, imbalance: float, seed: int) -> dict[Cell, int]:
    """Return how many of `rows` are in each cell; the largest is `imbalance` times the smallest.

    Raises:
        UsageError: the smallest cell would be empty.
    """
    modalities, tasks = _orders(seed)
    step = np.log(imbalance) / 2
    weight = np.array(
        [
            np.exp(-step * modalities.index(modality) / (len(MODALITIES) - 1))
            * np.exp(-step * tasks.index(task) / (len(TASKS) - 1))
            for modality, task in CELLS
        ]
    )
    # Rounding the running sum keeps the total exact, and each cell within one row of its share.
    ends = np.floor(np.cumsum(weight / weight.sum()) * rows + 0.5).astype(np.int64)
    sizes = np.diff(ends, prepend=0)
    if sizes.min() < 1:
        raise UsageError(
            f"{rows} rows leave a cell of modality and task empty at imbalance {imbalance:g}; "
            "ask for more images, or less imbalance",
            code="phantom_cells_empty",
            rows=rows,
        )
    return dict(zip(CELLS, sizes.tolist(), strict=True))


def _orders(seed: int) -> tuple[list[str], list[str]]:
    """Return modalities and tasks by falling size.

    Every picture has a single question on presence, so that task is never the most frequent one.
    The first and the last cell exist, so that the ratio is the one asked for.
    """
    known = (MODALITIES, TASKS)
    draws = (np.random.default_rng([seed, draw, POOL]) for draw in count())
    orders = (
        ([drawn[place] for place in rng.permutation(len(drawn)).tolist()] for drawn in known)
        for rng in draws
    )
    return next(
        (modalities, tasks)
        for modalities, tasks in orders
        if tasks[0] != "presence"
        and ("us", "plane") not in ((modalities[0], tasks[0]), (modalities[-1], tasks[-1]))
    )


def _add_rows(plan: PhantomPlan, split: str, pictures: int, sizes: dict[Cell, int]) -> None:
    """Add the rows of a split: cell by cell, on the pictures that have the fewest rows so far."""
    rng = np.random.default_rng([plan.seed, len(split), ROWS])
    rows = np.array([sum(n for (own, _), n in sizes.items() if own == name) for name in MODALITIES])
    ends = np.floor(np.cumsum(rows / rows.sum()) * pictures + 0.5).astype(np.int64)
    for modality, number in zip(MODALITIES, np.diff(ends, prepend=0).tolist(), strict=True):
        cases = list(_cases(plan.seed, split, modality, number))
        questions = [draw_questions(case, plan.seed) for case in cases]
        chosen: list[list[int]] = [[] for _ in cases]
        own = {task: size for (name, task), size in sizes.items() if name == modality}
        for task in sorted(own, key=lambda name: (-own[name], name)):
            shuffled = rng.permutation(number).tolist()
            offered = [
                (rank, len(chosen[place]), order, place, row)
                for order, place in enumerate(shuffled)
                for rank, row in enumerate(
                    row for row, asked in enumerate(questions[place]) if asked.task == task
                )
            ]
            if len(offered) < own[task]:
                raise UsageError(
                    f"{pictures} {split} pictures give {len(offered)} rows of {modality} and "
                    f"{task}, and {own[task]} are needed; ask for another number of images",
                    code="phantom_cells_empty",
                    images=pictures,
                    cell=f"{modality}, {task}",
                )
            for _, _, _, place, row in sorted(offered)[: own[task]]:
                chosen[place].append(row)
        for case, asked, places in zip(cases, questions, chosen, strict=True):
            if places:
                used = tuple(asked[place] for place in sorted(places))
                path = plan.picture(case, "original", suffix(case))
                indexes = tuple(plan.row(case, path, question) for question in used)
                plan.bases.append(BasePicture(case, path, indexes, used, ()))


def _cases(seed: int, split: str, modality: str, number: int) -> Iterator[Case]:
    """Yield the first cases of a modality in a split."""
    indexes = count(MODALITIES.index(modality), len(MODALITIES))
    fitting = (case for index in indexes if (case := draw_case(seed, index)).split == split)
    for _, case in zip(range(number), fitting, strict=False):
        yield case


def _spoil_answers(plan: PhantomPlan, bases: list[BasePicture], share: float) -> None:
    """Give a share of rows a wrong answer; a larger share spoils the same rows and more."""
    rng = np.random.default_rng([plan.seed, 0, WRONG])
    rows = [line for base in bases for line in zip(base.rows, base.used, strict=True)]
    order: Indices = rng.permutation(len(rows))
    for place in order[: round(share * len(rows))].tolist():
        row, question = rows[place]
        plan.rows[row]["answer"] = other_answer(question, rng)
        plan.plant(row, WRONG_ANSWER, KEPT, None, f"the picture says {question.answer}")


def _add_copies(plan: PhantomPlan, base: BasePicture, copies: int) -> None:
    """Repeat a picture's rows, answers included, on altered pictures and in other words.

    Copy j shows picture j mod 4, the original or one of three alterations, and is worded so that
    no two copies are equal.
    """
    first = base.case.index % len(COPIES)
    kinds = [COPIES[(first + place) % len(COPIES)] for place in range(ALTERED_PICTURES)]
    paths: dict[int, str] = {0: base.path}
    for copy in range(1, copies):
        version = copy % (1 + ALTERED_PICTURES)
        kind = kinds[version - 1] if version else "paraphrase"
        if version not in paths:
            ending = ".jpg" if kind == "copy_jpeg" else ".png"
            paths[version] = plan.picture(base.case, kind, ending)
        shift = copy + copy // (1 + ALTERED_PICTURES)
        for original, question in zip(base.rows, base.used, strict=True):
            answer = plan.rows[original]["answer"]
            row = plan.row(base.case, paths[version], question.rephrased(shift), answer=answer)
            plan.plant(row, kind, DROPPED, original, f"copy of {base.path}")
