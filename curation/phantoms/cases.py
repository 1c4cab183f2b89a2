"""Draw the facts of a phantom, which decide its questions, before any pixel is painted."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

MODALITIES: Final = ("ct", "xray", "mr", "us")
ORGANS: Final = ("brain", "lungs", "liver", "kidney")
MR_PLANES: Final = ("axial", "sagittal", "coronal")
MAX_LESIONS: Final = 4
LESION_ODDS: Final = (0.28, 0.30, 0.18, 0.14, 0.10)
LESION_U: Final = {"brain": (0.28, 0.55), "lungs": (0.34, 0.62)}
LESION_V: Final = {"brain": (-0.5, 0.5), "lungs": (-0.6, 0.3)}
FACTS, PIXELS = 1, 2
TEST_PATIENT: Final = 3
PATIENTS_PER_TEST: Final = 7


@dataclass(frozen=True, slots=True)
class Lesion:
    """A round finding in body coordinates: `u` right on the screen, `v` down, both in [-1, 1].

    `radius` has the same unit: half the body's extent on each axis.
    """

    u: float
    v: float
    radius: float


@dataclass(frozen=True, slots=True)
class Case:
    """The facts of one picture. `index` seeds its pixels; `level` picks a slice of the organ.

    Sides follow the radiological convention: in axial, coronal and frontal pictures the screen's
    left is the patient's right. In sagittal and ultrasound pictures a side is one of the picture.
    """

    index: int
    patient: int
    modality: str
    plane: str
    body_part: str
    organ: str
    level: int
    lesions: tuple[Lesion, ...]

    @property
    def patient_sides(self) -> bool:
        """Whether sides are those of the patient, not of the picture."""
        return self.plane in ("axial", "coronal", "frontal")

    @property
    def sides(self) -> frozenset[str]:
        """Sides with at least one lesion, in the convention of the class."""
        on_left = {lesion.u < 0 for lesion in self.lesions}
        return frozenset("left" if left != self.patient_sides else "right" for left in on_left)

    @property
    def patient_id(self) -> str:
        """Name of the synthetic patient."""
        return f"P{self.patient:06d}"

    @property
    def split(self) -> str:
        """The split of the patient: one in seven is held out."""
        return "test" if self.patient % PATIENTS_PER_TEST == TEST_PATIENT else "train"


def draw_case(seed: int, index: int) -> Case:
    """Draw the facts of picture `index`; every third pair of indexes shares a patient."""
    rng = np.random.default_rng([seed, index, FACTS])
    modality = MODALITIES[index % len(MODALITIES)]
    plane, body_part, organ = _view(modality, rng)
    return Case(
        index=index,
        patient=index - index % 2 if (index // 2) % 3 == 0 else index,
        modality=modality,
        plane=plane,
        body_part=body_part,
        organ=organ,
        level=int(rng.integers(3)),
        lesions=_draw_lesions(organ, rng),
    )


def other_patient(case: Case, index: int) -> Case:
    """Return the same view, slice and findings in another body of the same split."""
    patient = index * PATIENTS_PER_TEST + (TEST_PATIENT if case.split == "test" else 0)
    return replace(case, index=index, patient=patient)


def mirrored(case: Case) -> Case:
    """Return the facts of the left-right mirrored picture: the same body, sides exchanged."""
    return replace(case, lesions=tuple(replace(lesion, u=-lesion.u) for lesion in case.lesions))


def lesion_stretches(rng: np.random.Generator) -> list[float]:
    """Draw height by width of each possible lesion, whatever the number of lesions."""
    stretches: list[float] = rng.uniform(0.85, 1.15, MAX_LESIONS).tolist()
    return stretches


def _view(modality: str, rng: np.random.Generator) -> tuple[str, str, str]:
    if modality == "us":
        return "sector", "abdomen", "liver" if rng.random() < 0.5 else "kidney"
    if modality == "mr":
        return MR_PLANES[int(rng.integers(len(MR_PLANES)))], "head", "brain"
    return ("axial", "head", "brain") if modality == "ct" else ("frontal", "chest", "lungs")


def _draw_lesions(organ: str, rng: np.random.Generator) -> tuple[Lesion, ...]:
    """Draw up to four lesions that neither touch each other nor are near the midline."""
    count = int(rng.choice(MAX_LESIONS + 1, p=LESION_ODDS))
    sign = (-1.0, 1.0, 0.0)[int(rng.integers(3))]
    lesions: list[Lesion] = []
    while len(lesions) < count:
        side = sign or (-1.0, 1.0)[int(rng.integers(2))]
        radius = float(rng.uniform(0.055, 0.11))
        u = side * float(rng.uniform(*LESION_U.get(organ, (0.22, 0.6))))
        v = float(rng.uniform(*LESION_V.get(organ, (-0.45, 0.5))))
        if all(
            np.sqrt((u - other.u) ** 2 + (v - other.v) ** 2) > 1.35 * (radius + other.radius)
            for other in lesions
        ):
            lesions.append(Lesion(u, v, radius))
    return tuple(lesions)
