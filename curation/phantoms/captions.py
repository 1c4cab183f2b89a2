"""Write the caption that a phantom's picture would have in an article, from its facts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import numpy as np

from curation.phantoms.cases import Case
from curation.phantoms.defects import BasePicture
from curation.phantoms.questions import MODALITY_NAMES, PLANE_NAMES

CAPTIONS: Final = 11
COUNTS: Final = ("no lesion", "one lesion", "two lesions", "three lesions", "four lesions")
FORMS: Final = (
    "{view} of the {organ} with {finding}.",
    "{view} showing the {organ}. There is {finding}.",
    "{organ}, {view}: {finding}.",
)
LICENCE: Final = "CC0-1.0"


def caption(case: Case, seed: int) -> str:
    """Return one or two sentences that name modality, plane, organ, lesions and their sides."""
    modality = MODALITY_NAMES[case.modality]
    view = f"{case.plane} {modality}" if case.plane in PLANE_NAMES else modality
    finding = COUNTS[len(case.lesions)]
    if case.lesions:
        of = "the patient" if case.patient_sides else "the image"
        sides = "both sides" if len(case.sides) == 2 else f"the {next(iter(case.sides))} side"
        finding += f" on {sides} of {of}"
    form = FORMS[int(np.random.default_rng([seed, case.index, CAPTIONS]).integers(len(FORMS)))]
    text = form.format(view=view, organ=case.organ, finding=finding)
    if len(case.lesions) > 1:
        text = text.replace("There is", "There are")
    return text[0].upper() + text[1:]


def caption_rows(bases: Iterable[BasePicture], seed: int) -> Iterator[dict[str, str]]:
    """Yield one row a base picture; a patient is an article, whose pictures are its figures."""
    figures: dict[str, int] = {}
    for base in bases:
        article = base.case.patient_id
        figures[article] = figures.get(article, 0) + 1
        yield {
            "image": base.path,
            "text": caption(base.case, seed),
            "article": article,
            "figure": str(figures[article]),
            "licence": LICENCE,
            "modality": base.case.modality,
            "body_part": base.case.body_part,
            "patient_id": base.case.patient_id,
            "split": base.case.split,
        }
