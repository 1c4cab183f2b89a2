"""Plan a phantom set: base rows, planted defects and the truth about each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np

from curation.phantoms.alterations import burned_name
from curation.phantoms.cases import Case, draw_case, mirrored, other_patient
from curation.phantoms.images import suffix
from curation.phantoms.questions import NO, YES, Question, ask
from medsift.manifest.table import tables

QUESTIONS, TARGETS = 3, 4
BASE_QUESTIONS: Final = 6
KEPT, DROPPED, FAILED, FLAGGED = "kept", "dropped", "failed", "flagged"
COPIES: Final = ("copy_jpeg", "copy_resize", "copy_brightness", "copy_crop", "copy_rotation")
BROKEN: Final = ("truncated_file", "empty_file", "not_an_image", "decompression_bomb")
# Defects planted on pictures of the base set, at most one on each, as shares of the base pictures.
# Leaks come first, because only pictures of some patients may be leaked.
ON_BASE: Final = {
    "leak_same_image": 0.01,
    "leak_copy": 0.01,
    "exact_row": 0.02,
    **dict.fromkeys(COPIES, 0.02),
    "mirrored": 0.02,
    "other_patient": 0.02,
    "paraphrase": 0.03,
    "conflict": 0.02,
    "control_characters": 0.01,
    "empty_answer": 0.0025,
    "whitespace_answer": 0.0025,
}
# Defects that have a picture of their own.
ON_OWN: Final = {
    **dict.fromkeys((*BROKEN, "missing_image"), 0.0025),
    "blank_image": 0.005,
    "wrong_extension": 0.005,
    "burned_in_name": 0.01,
}
OWN_ROWS: Final = {"blank_image": 2, "wrong_extension": 2, "burned_in_name": BASE_QUESTIONS}
OWN_EXPECTED: Final = dict.fromkeys(OWN_ROWS, FLAGGED) | {"blank_image": DROPPED}
MIN_IMAGES: Final = 16
SMALL_SET: Final = 40

[_TRUTH] = tables("""
TABLE truth | what was planted, one line per defect
row_index* BIGINT | row of samples.jsonl
kind* VARCHAR | the defect
expected* VARCHAR | what a run should do with the row
original_row_index BIGINT | row that it repeats or contradicts
detail* VARCHAR | more about the defect, as text
""")
TRUTH: Final = _TRUTH.arrow_schema()


class Job(NamedTuple):
    """One file to write: `path` under the image folder, a case and its alteration."""

    path: str
    case: Case
    alteration: str


class BasePicture(NamedTuple):
    """A picture of the base set with the rows and questions that use it, and spare questions."""

    case: Case
    path: str
    rows: tuple[int, ...]
    used: tuple[Question, ...]
    spare: tuple[Question, ...]


@dataclass(slots=True)
class PhantomPlan:
    """The rows of samples.jsonl in order, the files to write, and the lines of truth."""

    seed: int
    bases: list[BasePicture] = field(default_factory=list)
    rows: list[dict[str, str]] = field(default_factory=list)
    jobs: list[Job] = field(default_factory=list)
    truth: list[dict[str, Any]] = field(default_factory=list)
    paths: int = 0

    def path(self, case: Case, ending: str) -> str:
        """Return the next free file name, which names the modality and nothing else."""
        self.paths += 1
        return f"{case.modality}/{self.paths - 1:06d}{ending}"

    def picture(self, case: Case, alteration: str, ending: str) -> str:
        """Plan a picture's file and return its path."""
        path = self.path(case, ending)
        self.jobs.append(Job(path, case, alteration))
        return path

    def row(self, case: Case, path: str, question: Question, /, **changes: str) -> int:
        """Add a row and return its index; `changes` replace columns."""
        row = {
            "id": f"phantom-{len(self.rows):07d}",
            "image": path,
            "question": question.text,
            "answer": question.answer,
            "answer_type": question.answer_type,
            "modality": case.modality,
            "plane": case.plane,
            "body_part": case.body_part,
            "task_type": question.task,
            "patient_id": case.patient_id,
            "split": case.split,
        }
        self.rows.append({**row, **changes})
        return len(self.rows) - 1

    def plant(
        self, row: int, kind: str, expected: str, original: int | None = None, detail: str = ""
    ) -> None:
        """Add a line of truth about a row.

        Args:
            row: Index of the row.
            kind: The defect.
            expected: What a run should do with the row.
            original: Index of the row that it repeats or contradicts.
            detail: More about the defect, as text.
        """
        line = (row, kind, expected, original, detail)
        self.truth.append(dict(zip(TRUTH.names, line, strict=True)))


def plan_set(images: int, seed: int) -> PhantomPlan:
    """Plan a set of `images` base pictures and its planted defects, without painting any."""
    plan = PhantomPlan(seed)
    for case in (draw_case(seed, index) for index in range(images)):
        path = plan.picture(case, "original", suffix(case))
        questions = draw_questions(case, seed)
        used, spare = questions[:BASE_QUESTIONS], questions[BASE_QUESTIONS:]
        rows = tuple(plan.row(case, path, question) for question in used)
        plan.bases.append(BasePicture(case, path, rows, tuple(used), tuple(spare)))
    for kind, base in _targets(plan.bases, seed):
        PLANTERS[kind](plan, kind, base)
    for kind, share in ON_OWN.items():
        for _ in range(_amount(share, images)):
            _plant_own(plan, kind, draw_case(seed, images + plan.paths))
    return plan


def _amount(share: float, images: int) -> int:
    return max(2 if images >= SMALL_SET else 1, int(share * images + 0.5))


def draw_questions(case: Case, seed: int) -> list[Question]:
    """Return every question that a case's picture decides, in the order that the seed draws."""
    return ask(case, np.random.default_rng([seed, case.index, QUESTIONS]))


def _targets(bases: list[BasePicture], seed: int) -> list[tuple[str, BasePicture]]:
    """Assign base pictures to defects at random, none to two of them."""
    order = np.random.default_rng([seed, 0, TARGETS]).permutation(len(bases))
    free = {bases[int(position)].path: bases[int(position)] for position in order}
    targets: list[tuple[str, BasePicture]] = []
    for kind, share in ON_BASE.items():
        # Only a training patient with one picture may leak, so that no other row leaks with it.
        chosen = [
            path
            for path, base in free.items()
            if not kind.startswith("leak")
            or (base.case.split == "train" and base.case.patient % 6 not in (0, 1))
        ][: _amount(share, len(bases))]
        targets += [(kind, free.pop(path)) for path in chosen]
    return targets


def _plant_exact(plan: PhantomPlan, kind: str, base: BasePicture) -> None:
    """Repeat the first and the last row."""
    for number in (0, -1):
        row = plan.row(base.case, base.path, base.used[number])
        plan.plant(row, kind, DROPPED, base.rows[number])


def _plant_copy(plan: PhantomPlan, kind: str, base: BasePicture) -> None:
    """Repeat all rows on an altered copy; every other copy also gets a new question."""
    path = plan.picture(base.case, kind, ".jpg" if kind == "copy_jpeg" else ".png")
    for original, question in zip(base.rows, base.used, strict=True):
        row = plan.row(base.case, path, question)
        plan.plant(row, kind, DROPPED, original, f"copy of {base.path}")
    if len(plan.jobs) % 2 == 0:
        row = plan.row(base.case, path, base.spare[0])
        plan.plant(row, "copy_new_question", KEPT, None, f"{kind} of {base.path}")


def _plant_mirrored(plan: PhantomPlan, kind: str, base: BasePicture) -> None:
    """Ask the same of the mirrored picture, with the sides in the answers exchanged."""
    case = mirrored(base.case)
    path = plan.picture(base.case, kind, ".png")
    questions = draw_questions(case, plan.seed)[: len(base.rows)]
    for original, question in zip(base.rows, questions, strict=True):
        row = plan.row(case, path, question)
        plan.plant(row, kind, KEPT, original, f"mirror of {base.path}")


def _plant_other_patient(plan: PhantomPlan, kind: str, base: BasePicture) -> None:
    """Ask the same, with the same answers, of another patient in the same view."""
    case = other_patient(base.case, len(plan.jobs))
    path = plan.picture(case, "original", suffix(case))
    for original, question in zip(base.rows, base.used, strict=True):
        row = plan.row(case, path, question)
        plan.plant(row, kind, KEPT, original, f"same view as {base.path}")


def _plant_paraphrase(plan: PhantomPlan, kind: str, base: BasePicture) -> None:
    number = base.case.index % len(base.rows)
    row = plan.row(base.case, base.path, base.used[number].rephrased())
    plan.plant(row, kind, DROPPED, base.rows[number], base.used[number].text)


def _plant_conflict(plan: PhantomPlan, kind: str, base: BasePicture) -> None:
    """Contradict the answer to the first question, which is a closed one."""
    opposite = NO if base.used[0].answer == YES else YES
    row = plan.row(base.case, base.path, base.used[0], answer=opposite)
    plan.plant(row, kind, FLAGGED, base.rows[0], f"the picture says {base.used[0].answer}")


def _plant_leak(plan: PhantomPlan, kind: str, base: BasePicture) -> None:
    """Ask a new question of a training picture, or of a copy of it, in the test split."""
    path = base.path if kind == "leak_same_image" else plan.picture(base.case, kind, ".jpg")
    row = plan.row(base.case, path, base.spare[0], split="test")
    plan.plant(row, kind, FLAGGED, base.rows[0], f"{base.path} is in train")


def _plant_control_characters(plan: PhantomPlan, kind: str, base: BasePicture) -> None:
    question = base.spare[0]
    text = question.text.replace(" ", " \x07", 1)
    row = plan.row(base.case, base.path, question, question=text, answer=question.answer + "\x1f")
    plan.plant(row, kind, FLAGGED, None, "U+0007 in the question, U+001F in the answer")


def _plant_no_answer(plan: PhantomPlan, kind: str, base: BasePicture) -> None:
    answer = "" if kind == "empty_answer" else " \t "
    row = plan.row(base.case, base.path, base.spare[0], answer=answer)
    plan.plant(row, kind, DROPPED)


def _plant_own(plan: PhantomPlan, kind: str, case: Case) -> None:
    """Add a picture that has a defect itself, with rows of its own."""
    if kind == "missing_image":
        path = plan.path(case, suffix(case))
    elif kind in ("truncated_file", "empty_file"):
        path = plan.picture(case, kind, suffix(case))
    else:
        path = plan.picture(case, kind, ".jpg" if kind == "wrong_extension" else ".png")
    detail = burned_name(case) if kind == "burned_in_name" else ""
    for question in draw_questions(case, plan.seed)[: OWN_ROWS.get(kind, 1)]:
        row = plan.row(case, path, question)
        plan.plant(row, kind, OWN_EXPECTED.get(kind, FAILED), None, detail)


PLANTERS: Final[dict[str, Callable[[PhantomPlan, str, BasePicture], None]]] = {
    "exact_row": _plant_exact,
    **dict.fromkeys(COPIES, _plant_copy),
    "mirrored": _plant_mirrored,
    "other_patient": _plant_other_patient,
    "paraphrase": _plant_paraphrase,
    "conflict": _plant_conflict,
    "leak_same_image": _plant_leak,
    "leak_copy": _plant_leak,
    "control_characters": _plant_control_characters,
    "empty_answer": _plant_no_answer,
    "whitespace_answer": _plant_no_answer,
}
