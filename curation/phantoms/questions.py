"""Questions that a phantom's picture decides, each in several wordings of one meaning."""

from __future__ import annotations

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


def _presence(case: Case) -> Question:
    wordings = (
        "Is there a lesion in this image?",
        "Does this image show a lesion?",
        "Is a lesion present in this image?",
    )
    return Question("presence", "closed", wordings, YES if case.lesions else NO)


def _modality(case: Case, rng: np.random.Generator) -> list[Question]:
    which = (
        "Which imaging modality was used?",
        "What imaging modality was used for this image?",
        "Which modality of imaging is this?",
    )
    name = MODALITY_NAMES[case.modality]
    guess = _guess(name, [MODALITY_NAMES[key] for key in MODALITIES], rng)
    is_it = (
        f"Is this image made with {guess}?",
        f"Was this image made with {guess}?",
        f"Was {guess} used to make this image?",
    )
    names = tuple(MODALITY_NAMES.values())
    return [
        _which("modality", which, name, names, rng),
        _closed("modality", is_it, guess == name),
    ]


def _plane(case: Case, rng: np.random.Generator) -> list[Question]:
    if case.plane not in PLANE_NAMES:
        return []
    which = (
        "In which plane is this image?",
        "What plane is this image in?",
        "Which plane does this image show?",
    )
    guess = _guess(case.plane, list(PLANE_NAMES), rng)
    is_it = (
        f"Is this a {guess} view?".replace("a axial", "an axial"),
        f"Is this image a {guess} view?".replace("a axial", "an axial"),
        f"Is the view in this image {guess}?",
    )
    return [
        _which("plane", which, case.plane, PLANE_NAMES, rng),
        _closed("plane", is_it, guess == case.plane),
    ]


def _organ(case: Case, rng: np.random.Generator) -> list[Question]:
    which = (
        "Which organ is shown in this image?",
        "What organ is shown in this image?",
        "Which organ does this image show?",
    )
    # A chest radiograph also shows the upper edge of the liver: nobody is asked to deny it.
    asked = [organ for organ in ORGANS if (organ, case.organ) != ("liver", "lungs")]
    guess = _guess(case.organ, asked, rng)
    shows = (
        f"Does this image show the {guess}?",
        f"Is the {guess} shown in this image?",
        f"Is the {guess} visible in this image?",
    )
    return [
        _which("organ", which, case.organ, ORGANS, rng),
        _closed("organ", shows, guess == case.organ),
    ]


def _side(case: Case, rng: np.random.Generator) -> list[Question]:
    of = "the patient" if case.patient_sides else "the image"
    side = ("left", "right")[int(rng.integers(2))]
    on_it = (
        f"Is there a lesion on the {side} side of {of}?",
        f"Does the {side} side of {of} show a lesion?",
        f"Is a lesion present on the {side} side of {of}?",
    )
    closed = _closed("side", on_it, side in case.sides)
    if not case.lesions:
        return [closed]
    which = (
        f"On which side of {of} are lesions seen?",
        f"Which side of {of} shows lesions?",
        f"On what side of {of} are the lesions?",
    )
    answer = "both sides" if len(case.sides) == 2 else next(iter(case.sides))
    return [_which("side", which, answer, SIDE_NAMES, rng), closed]


def _count(case: Case, rng: np.random.Generator) -> list[Question]:
    how_many = (
        "How many lesions are there?",
        "How many lesions are visible?",
        "What is the number of lesions?",
    )
    number = str(len(case.lesions))
    limit = int(rng.integers(1, MAX_LESIONS))
    verb, noun = ("Is", "lesion") if limit == 1 else ("Are", "lesions")
    more = (
        f"{verb} there more than {limit} {noun}?",
        f"Does the image show more than {limit} {noun}?",
        f"{verb} more than {limit} {noun} visible?",
    )
    numbers = tuple(str(value) for value in range(MAX_LESIONS + 1))
    return [
        _which("count", how_many, number, numbers, rng),
        _closed("count", more, len(case.lesions) > limit),
    ]


def _guess(truth: str, names: list[str], rng: np.random.Generator) -> str:
    """The true name in half of the cases, otherwise a wrong one."""
    wrong = [name for name in names if name != truth]
    return truth if rng.random() < 0.5 else wrong[int(rng.integers(len(wrong)))]


def _closed(task: str, wordings: tuple[str, ...], holds: bool) -> Question:
    return Question(task, "closed", wordings, YES if holds else NO)


def _which(
    task: str,
    wordings: tuple[str, ...],
    answer: str,
    names: tuple[str, ...],
    rng: np.random.Generator,
) -> Question:
    """An open question, or the same as a choice whose answer is the option's letter."""
    options = tuple(names[int(place)] for place in rng.permutation(len(names)))
    if rng.random() < 0.6:
        return Question(task, "open", wordings, answer)
    letter = LETTERS[options.index(answer)]
    return Question(task, "choice", wordings, letter, options)
