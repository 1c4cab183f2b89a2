"""Ask questions that a phantom's picture decides, each in several wordings of one meaning."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from curation.phantoms.cases import MAX_LESIONS, ORGANS, Case

MODALITY_NAMES: Final = {"ct": "CT", "xray": "X-ray", "mr": "MRI", "us": "ultrasound"}
PLANE_NAMES: Final = ("axial", "sagittal", "coronal", "frontal")
SIDE_NAMES: Final = ("left", "right", "both sides")
YES, NO = "yes", "no"
LETTERS = "ABCDE"
NAMES: Final = {
    "modality": tuple(MODALITY_NAMES.values()),
    "plane": PLANE_NAMES,
    "organ": ORGANS,
    "side": SIDE_NAMES,
    "count": tuple(str(value) for value in range(MAX_LESIONS + 1)),
}
"""The answers to the open questions of each task, which a choice question offers."""
OPEN: Final = {
    "modality": (
        "Which imaging modality was used?",
        "What imaging modality was used for this image?",
        "Which modality of imaging is this?",
    ),
    "plane": (
        "In which plane is this image?",
        "What plane is this image in?",
        "Which plane does this image show?",
    ),
    "organ": (
        "Which organ is shown in this image?",
        "What organ is shown in this image?",
        "Which organ does this image show?",
    ),
    "side": (
        "On which side of {of} are lesions seen?",
        "Which side of {of} shows lesions?",
        "On what side of {of} are the lesions?",
    ),
    "count": (
        "How many lesions are there?",
        "How many lesions are visible?",
        "What is the number of lesions?",
    ),
}
CLOSED: Final = {
    "presence": (
        "Is there a lesion in this image?",
        "Does this image show a lesion?",
        "Is a lesion present in this image?",
    ),
    "modality": (
        "Is this image made with {guess}?",
        "Was this image made with {guess}?",
        "Was {guess} used to make this image?",
    ),
    "plane": (
        "Is this a {guess} view?",
        "Is this image a {guess} view?",
        "Is the view in this image {guess}?",
    ),
    "organ": (
        "Does this image show the {guess}?",
        "Is the {guess} shown in this image?",
        "Is the {guess} visible in this image?",
    ),
    "side": (
        "Is there a lesion on the {guess} side of {of}?",
        "Does the {guess} side of {of} show a lesion?",
        "Is a lesion present on the {guess} side of {of}?",
    ),
    "count": (
        "{verb} there more than {guess} {noun}?",
        "Does the image show more than {guess} {noun}?",
        "{verb} more than {guess} {noun} visible?",
    ),
}


@dataclass(frozen=True, slots=True)
class Question:
    """One question in several wordings; `wording` is the one in use.

    The `options` of a choice question have the same words and order in every wording.
    """

    task: str
    answer_type: str
    wordings: tuple[str, ...]
    answer: str
    options: tuple[str, ...] = ()
    wording: int = 0

    @property
    def text(self) -> str:
        """The question as asked, with its lettered options if it has any."""
        lettered = [
            f"({letter}) {name}" for letter, name in zip(LETTERS, self.options, strict=False)
        ]
        return " ".join([self.wordings[self.wording % len(self.wordings)], *lettered])

    def option(self, answer: str) -> str:
        """Return the letter under which an answer is offered."""
        return LETTERS[self.options.index(answer)]

    def rephrased(self, steps: int = 1) -> Question:
        """Return the same question in the wording that is `steps` further."""
        return replace(self, wording=(self.wording + steps) % len(self.wordings))


def ask(case: Case, rng: np.random.Generator) -> list[Question]:
    """Return every question that the picture decides, no two of one meaning, presence first.

    The others come in random order; an attribute is asked either openly or as a choice.
    """
    others: list[Question] = []
    for task in _tasks(case):
        guesses = _guesses(case, task)
        if task in ("side", "count"):
            guess = guesses[int(rng.integers(len(guesses)))]
        else:
            # The true name in half of the cases, otherwise a wrong one.
            wrong = [name for name in guesses if name != _truth(case, task)]
            right = rng.random() < 0.5
            guess = _truth(case, task) if right else wrong[int(rng.integers(len(wrong)))]
        if task != "side" or case.lesions:
            others.append(_as_choice(_open(case, task), rng))
        others.append(_closed(case, task, guess))
    shuffled = [others[int(position)] for position in rng.permutation(len(others))]
    return [
        replace(question, wording=int(rng.integers(3)))
        for question in [_closed(case, "presence"), *shuffled]
    ]


def answer_on(question: Question, case: Case) -> str | None:
    """Return the right answer to a question about another picture; None if it has none there."""
    possible = [_closed(case, "presence")]
    for task in _tasks(case):
        possible += [_closed(case, task, guess) for guess in _guesses(case, task)]
        if task != "side" or case.lesions:
            possible.append(_open(case, task))
    for asked in possible:
        if asked.wordings == question.wordings:
            return question.option(asked.answer) if question.options else asked.answer
    return None


def _tasks(case: Case) -> list[str]:
    """Return the tasks that the picture decides; the fan of ultrasound has no plane."""
    return [task for task in NAMES if task != "plane" or case.plane in PLANE_NAMES]


def _guesses(case: Case, task: str) -> tuple[str, ...]:
    """Return what closed questions of a task ask about."""
    if task == "side":
        return SIDE_NAMES[:2]
    if task == "count":
        return NAMES["count"][1:MAX_LESIONS]
    if task == "organ" and case.organ == "lungs":
        # A chest radiograph also shows the upper edge of the liver, so nobody must deny it.
        return tuple(organ for organ in ORGANS if organ != "liver")
    return NAMES[task]


def _truth(case: Case, task: str) -> str:
    """Return the answer to the open question of a task."""
    if task == "side":
        return "both sides" if len(case.sides) == 2 else next(iter(case.sides))
    if task == "count":
        return str(len(case.lesions))
    names = {"modality": MODALITY_NAMES[case.modality], "plane": case.plane, "organ": case.organ}
    return names[task]


def _open(case: Case, task: str) -> Question:
    return Question(task, "open", _fill(OPEN[task], case), _truth(case, task))


def _closed(case: Case, task: str, guess: str = "") -> Question:
    if task == "presence":
        holds = bool(case.lesions)
    elif task == "side":
        holds = guess in case.sides
    elif task == "count":
        holds = len(case.lesions) > int(guess)
    else:
        holds = guess == _truth(case, task)
    return Question(task, "closed", _fill(CLOSED[task], case, guess), YES if holds else NO)


def _fill(wordings: tuple[str, ...], case: Case, guess: str = "") -> tuple[str, ...]:
    """Return wordings with their guess, in correct grammar."""
    verb, noun = ("Is", "lesion") if guess == "1" else ("Are", "lesions")
    of = "the patient" if case.patient_sides else "the image"
    filled = (text.format(guess=guess, of=of, verb=verb, noun=noun) for text in wordings)
    return tuple(text.replace("a axial", "an axial") for text in filled)


def _as_choice(question: Question, rng: np.random.Generator) -> Question:
    """Return an open question as it is, or as a choice whose answer is the option's letter."""
    names = NAMES[question.task]
    options = tuple(names[int(position)] for position in rng.permutation(len(names)))
    if rng.random() < 0.6:
        return question
    offered = replace(question, answer_type="choice", options=options)
    return replace(offered, answer=offered.option(question.answer))
