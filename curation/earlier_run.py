"""Find the tables that the run before this one left in the same directory."""

from __future__ import annotations

import logging
from pathlib import Path

from curation.run_dir import open_run
from curation.stage_outputs import StageOutputs
from medsift.errors import InputError, ManifestError, StorageError
from medsift.vocabulary import MANIFEST_NAME

logger = logging.getLogger(__name__)


def earlier_outputs(run_dir: Path, stage: str) -> StageOutputs | None:
    """Return a stage of the newest run of a directory; None without one, or where it is damaged.

    What it found may save work, never decide anything: nothing of it is needed.
    """
    if not (run_dir / MANIFEST_NAME).exists():
        return None
    try:
        upstream = open_run(run_dir).upstream
        return upstream.get(stage)
    except (InputError, ManifestError, StorageError) as problem:
        logger.info("stage %s does not use the run before it: %s", stage, problem)
        return None
