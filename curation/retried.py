"""Note how often the stages of a run directory were asked to try failures again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from medsift.errors import StorageError
from medsift.storage.mirror import read_current
from medsift.storage.parts import write_json

FILE: Final = "retried.json"


def times_retried(run_dir: Path) -> Mapping[str, int]:
    """Return how often each stage of a run directory was asked to try failures again.

    A stage that is tried again has another fingerprint, so that it and those behind it run anew.

    Raises:
        StorageError: the note is damaged.
    """
    path = run_dir / FILE
    try:
        noted = json.loads(read_current(path))
        return {str(stage): int(count) for stage, count in noted.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError) as error:
        message = f"{path} is damaged: {error}; delete it and curate again"
        raise StorageError(message, code="stage_damaged", path=str(path)) from error


def note_retries(times: Mapping[str, int], run_dir: Path) -> None:
    """Write the number for each stage. Raises StorageError when the disk refuses."""
    write_json(times, run_dir / FILE)
