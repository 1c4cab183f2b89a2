"""Questions that a phantom's picture decides, each in several wordings of one meaning."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from curation.phantoms.cases import MAX_LESIONS, MODALITIES, ORGANS, Case

MODALITY_NAMES: Final = {"ct": "CT", "xray": "X-ray", "mr": "MRI", "us": "ultrasound"}
PLANE_NAMES: Final = ("axial", "sagittal", "coronal", "frontal")
SIDE_NAMES: Final = ("left", "right", "both sides")
YES, NO = "yes", "no"
LETTERS = "ABCDE"


@dataclass(frozen=True, slots=True)
class Question:
    """One question of one meaning with its wordings; `wording` is the one in use.

    `options`, of a choice question, are the same words in the same order in every wording.
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
        lettered = [f"({LETTERS[place]}) {name}" for place, name in enumerate(self.options)]
        return " ".join([self.wordings[self.wording % len(self.wordings)], *lettered])

    def option(self, answer: str) -> str:
        """The letter under which an answer is offered."""
        return LETTERS[self.options.index(answer)]

    def rephrased(self) -> Question:
        """The same question in its next wording."""
        return replace(self, wording=(self.wording + 1) % len(self.wordings))


def ask(case: Case, rng: np.random.Generator) -> list[Question]:
    """Every question the picture decides, no two of one meaning, presence first.

    The others come in random order; an attribute is asked either openly or as a choice.
    """
    others = [*_modality(case, rng), *_plane(case, rng), *_organ(case, rng)]
    others += [*_side(case, rng), *_count(case, rng)]
    shuffled = [others[int(place)] for place in rng.permutation(len(others))]
    return [replace(q, wording=int(rng.integers(3))) for q in [_presence(case), *shuffled]]


def answer_on(question: Question, case: Case) -> str | None:
    """The right answer to a question about another picture; None where it cannot be asked there."""
    for asked in _everything(case):
        if asked.wordings == question.wordings:
            return question.option(asked.answer) if question.options else asked.answer
    return None


def _everything(case: Case) -> Iterator[Question]:
    """Every question that could be asked of the picture, attributes openly."""
    yield _presence(case)
    yield _which_modality(case)
    yield from (_is_modality(case, name) for name in MODALITY_NAMES.values())
    if case.plane in PLANE_NAMES:
        yield _which_plane(case)
        yield from (_is_plane(case, name) for name in PLANE_NAMES)
    yield _which_organ(case)
    yield from (_is_organ(case, name) for name in _deniable(case))
    if case.lesions:
        yield _which_side(case)
    yield from (_is_side(case, side) for side in SIDE_NAMES[:2])
    yield _how_many(case)
    yield from (_are_more(case, limit) for limit in range(1, MAX_LESIONS))


def _presence(case: Case) -> Question:
    wordings = (
        "Is there a lesion in this image?",
        "Does this image show a lesion?",
        "Is a lesion present in this image?",
    )
    return _closed("presence", wordings, bool(case.lesions))


def _modality(case: Case, rng: np.random.Generator) -> list[Question]:
    name = MODALITY_NAMES[case.modality]
    guess = _guess(name, [MODALITY_NAMES[key] for key in MODALITIES], rng)
    names = tuple(MODALITY_NAMES.values())
    return [_as_choice(_which_modality(case), names, rng), _is_modality(case, guess)]


def _which_modality(case: Case) -> Question:
    wordings = (
        "Which imaging modality was used?",
        "What imaging modality was used for this image?",
        "Which modality of imaging is this?",
    )
    return Question("modality", "open", wordings, MODALITY_NAMES[case.modality])


def _is_modality(case: Case, guess: str) -> Question:
    wordings = (
        f"Is this image made with {guess}?",
        f"Was this image made with {guess}?",
        f"Was {guess} used to make this image?",
    )
    return _closed("modality", wordings, guess == MODALITY_NAMES[case.modality])


def _plane(case: Case, rng: np.random.Generator) -> list[Question]:
    if case.plane not in PLANE_NAMES:
        return []
    guess = _guess(case.plane, list(PLANE_NAMES), rng)
    return [_as_choice(_which_plane(case), PLANE_NAMES, rng), _is_plane(case, guess)]


def _which_plane(case: Case) -> Question:
    wordings = (
        "In which plane is this image?",
        "What plane is this image in?",
        "Which plane does this image show?",
    )
    return Question("plane", "open", wordings, case.plane)


def _is_plane(case: Case, guess: str) -> Question:
    wordings = (
        f"Is this a {guess} view?".replace("a axial", "an axial"),
        f"Is this image a {guess} view?".replace("a axial", "an axial"),
        f"Is the view in this image {guess}?",
    )
    return _closed("plane", wordings, guess == case.plane)


def _organ(case: Case, rng: np.random.Generator) -> list[Question]:
    guess = _guess(case.organ, _deniable(case), rng)
    return [_as_choice(_which_organ(case), ORGANS, rng), _is_organ(case, guess)]


def _which_organ(case: Case) -> Question:
    wordings = (
        "Which organ is shown in this image?",
        "What organ is shown in this image?",
        "Which organ does this image show?",
    )
    return Question("organ", "open", wordings, case.organ)


def _is_organ(case: Case, guess: str) -> Question:
    wordings = (
        f"Does this image show the {guess}?",
        f"Is the {guess} shown in this image?",
        f"Is the {guess} visible in this image?",
    )
    return _closed("organ", wordings, guess == case.organ)


def _deniable(case: Case) -> list[str]:
    """A chest radiograph also shows the upper edge of the liver: nobody is asked to deny it."""
    return [organ for organ in ORGANS if (organ, case.organ) != ("liver", "lungs")]


def _side(case: Case, rng: np.random.Generator) -> list[Question]:
    closed = _is_side(case, SIDE_NAMES[int(rng.integers(2))])
    if not case.lesions:
        return [closed]
    return [_as_choice(_which_side(case), SIDE_NAMES, rng), closed]


def _which_side(case: Case) -> Question:
    of = _side_of(case)
    wordings = (
        f"On which side of {of} are lesions seen?",
        f"Which side of {of} shows lesions?",
        f"On what side of {of} are the lesions?",
    )
    answer = "both sides" if len(case.sides) == 2 else next(iter(case.sides))
    return Question("side", "open", wordings, answer)


def _is_side(case: Case, side: str) -> Question:
    of = _side_of(case)
    wordings = (
        f"Is there a lesion on the {side} side of {of}?",
        f"Does the {side} side of {of} show a lesion?",
        f"Is a lesion present on the {side} side of {of}?",
    )
    return _closed("side", wordings, side in case.sides)


def _side_of(case: Case) -> str:
    return "the patient" if case.patient_sides else "the image"


def _count(case: Case, rng: np.random.Generator) -> list[Question]:
    limit = int(rng.integers(1, MAX_LESIONS))
    numbers = tuple(str(value) for value in range(MAX_LESIONS + 1))
    return [_as_choice(_how_many(case), numbers, rng), _are_more(case, limit)]


def _how_many(case: Case) -> Question:
    wordings = (
        "How many lesions are there?",
        "How many lesions are visible?",
        "What is the number of lesions?",
    )
    return Question("count", "open", wordings, str(len(case.lesions)))


def _are_more(case: Case, limit: int) -> Question:
    verb, noun = ("Is", "lesion") if limit == 1 else ("Are", "lesions")
    wordings = (
        f"{verb} there more than {limit} {noun}?",
        f"Does the image show more than {limit} {noun}?",
        f"{verb} more than {limit} {noun} visible?",
    )
    return _closed("count", wordings, len(case.lesions) > limit)


def _guess(truth: str, names: list[str], rng: np.random.Generator) -> str:
    """The true name in half of the cases, otherwise a wrong one."""
    wrong = [name for name in names if name != truth]
    return truth if rng.random() < 0.5 else wrong[int(rng.integers(len(wrong)))]


def _closed(task: str, wordings: tuple[str, ...], holds: bool) -> Question:
    return Question(task, "closed", wordings, YES if holds else NO)


def _as_choice(question: Question, names: tuple[str, ...], rng: np.random.Generator) -> Question:
    """An open question as it is, or as a choice whose answer is the option's letter."""
    options = tuple(names[int(place)] for place in rng.permutation(len(names)))
    if rng.random() < 0.6:
        return question
    offered = replace(question, answer_type="choice", options=options)
    return replace(offered, answer=offered.option(question.answer))
