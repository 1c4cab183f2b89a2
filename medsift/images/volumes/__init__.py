"""Read volumes (DICOM series, multi-frame DICOM, NIfTI) as a stated choice of their slices."""

from __future__ import annotations

from medsift.images.volumes.read import Volume, may_be_volume, read_volume
from medsift.images.volumes.settings import VolumesConfig

__all__ = ["Volume", "VolumesConfig", "may_be_volume", "read_volume"]
