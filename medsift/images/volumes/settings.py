"""Settings of how the volumes that a source names become slices of a sample."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from medsift.config import Config
from medsift.images.volumes.choose_slices import parse_sampler
from medsift.images.volumes.windows import BY_BODY_PART, parse_window
from medsift.storage.local_paths import AnyPath

Plane = Literal["axial", "coronal", "sagittal"]


class VolumesConfig(Config):
    """Settings of how a volume that a row names as picture becomes several slices of one sample.

    A volume is a folder of DICOM slices, a DICOMDIR, a DICOM file or a NIfTI file; of a folder with
    several series, `folder#3` names the one with that SeriesNumber or SeriesInstanceUID. Chosen
    slices are stored in the run as 8-bit PNG. Pictures of other formats are read as without this.
    """

    slices: str = "uniform:8"
    """Which slices: `uniform:n` of equal parts, `every:5mm` along the normal, `middle`, or
    `around:z:n`, n (3 if not given) around slice z, which is a number from 1 or the name of a
    target under `columns` with such a number or a position like `-12.5 mm`."""
    plane: Plane = "axial"
    """Plane in which NIfTI volumes are cut; DICOM slices are shown in the plane of their scan."""
    window: str = "header"
    """Values from black to white: of the `header`, else the 0.1th to 99.9th percentile of the
    slices shown; always that `percentile`; a preset of CT by the `body_part` of row or header; one
    preset (`brain`, `lung`, `bone` …); or `centre/width`, as `40/400`."""
    rgb: tuple[str, str, str] | None = None
    """Three presets or `centre/width` as red, green and blue of one picture, for CT; `window`
    is then left out."""
    series: Literal["only", "largest"] = "only"
    """Which series of several, where the row does not say: none, and the row fails, or the one of
    the most slices."""
    max_slices: int = Field(64, ge=1)
    """Most slices of one sample; a row that would show more fails."""
    max_bytes: int = Field(2 << 30, ge=1)
    """Bytes of a file, and of what it inflates to, above which it is refused unread."""
    tags: bool = True
    """Whether the header fills tags that the row lacks: modality, body part, laterality, plane,
    patient, study, series, age class and sex."""
    patient_key: AnyPath | None = None
    """File with a secret of 16 bytes or more, outside the run: ids of patients, studies and series
    are HMAC-SHA256 under it. Without it patients are not named, and series and studies by a plain
    digest."""

    @field_validator("slices")
    @classmethod
    def _sampler_is_known(cls, words: str) -> str:
        parse_sampler(words)
        return words

    @field_validator("window")
    @classmethod
    def _window_is_known(cls, words: str) -> str:
        if words not in ("header", "percentile", BY_BODY_PART):
            parse_window(words)
        return words

    @field_validator("rgb")
    @classmethod
    def _windows_are_known(cls, words: tuple[str, str, str] | None) -> tuple[str, str, str] | None:
        for one in words or ():
            parse_window(one)
        return words
