"""Read `done.json` in a stage's folder, which says that the stage is complete, and its files."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pydantic import ValidationError

from medsift.config import Config
from medsift.storage.seals import Seal

MARKER: Final = "done.json"


class StageMarker(Config):
    """Identity, row balance and timings of a stage, and every file with its seal."""

    fingerprint: str
    """Digest of settings, version and everything upstream: the stage's whole identity."""
    rows_in: int
    kept: int
    dropped: int
    failed: int
    seconds: float
    operators: tuple[tuple[str, float, int], ...]
    files: dict[str, Seal]


def read_marker(folder: Path) -> StageMarker | None:
    """Return the marker of a stage; None where it is gone, damaged or of another version."""
    try:
        return StageMarker.model_validate_json((folder / MARKER).read_bytes())
    except (OSError, ValidationError):
        return None
