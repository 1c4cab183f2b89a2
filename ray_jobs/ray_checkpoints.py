"""Checkpoints of a training on Ray: written by the first worker, reported to Ray Train.

They lie where Ray Train keeps its notes about the run, in the layout of `FolderKeeper` and by its
rule, so that a training may be started on Ray and gone on with alone, or the other way round.
`state.json` comes last: a checkpoint without it is not whole.

What is there decides, not what Ray Train has noted: it hears of a checkpoint after it was written,
and never does when a worker is lost in between.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from medsift.errors import StorageError
from ray_jobs.remote_dir import Store
from training.checkpoint import Snapshot, folder_name, unwanted, whole_folder
from training.logs import STEPS

logger = logging.getLogger(__name__)

SNAPSHOT: Final = "checkpoint_manager_snapshot.json"


@dataclass(frozen=True, slots=True)
class RayKeeper:
    """Keeps checkpoints in a store and reports them, on every worker alike: a report is a barrier.

    The newest `count` stay, and the best. Those of a remote store are fetched into `scratch`.
    `curves` is a folder of the first worker whose ``steps.jsonl`` travels with such checkpoints;
    None where the store is the place of the curves itself.
    """

    store: Store
    count: int
    first: bool
    scratch: Path
    curves: Path | None

    def newest(self) -> Path | None:
        """The checkpoint of the largest step."""
        names = self.store.checkpoints()
        if not names:
            return None
        found = self._local(names[-1])
        if self.curves is not None and (found / STEPS).is_file():
            shutil.copyfile(found / STEPS, self.curves / STEPS)
        return found

    def keep(self, snapshot: Snapshot) -> None:
        """Write a checkpoint whole, remove those no longer wanted, then report it."""
        import ray.train
        from ray.train.v2.api.report_config import CheckpointUploadMode

        checkpoint = None
        if self.first:
            checkpoint = self._written(snapshot)
            self.clear(snapshot.state.best_step)
        ray.train.report(
            self._metrics(snapshot),
            checkpoint,
            checkpoint_upload_mode=CheckpointUploadMode.NO_UPLOAD,
        )

    def clear(self, best_step: int | None) -> None:
        """Remove checkpoints no longer wanted. Some stores refuse: no reason to end a training."""
        for name in unwanted(self.store.checkpoints(), self.count, best_step):
            try:
                self.store.remove(name)
            except StorageError as error:
                logger.warning("an old checkpoint stays: %s", error)

    def at(self, step: int) -> Path:
        """The checkpoint of a step, on this machine."""
        return self._local(folder_name(step))

    def _local(self, name: str) -> Path:
        if not self.store.remote:
            return Path(self.store.root) / name
        return self.store.child(name).fetch(self.scratch / name)

    def _written(self, snapshot: Snapshot) -> Any:
        import ray.train

        place = self.store.child(folder_name(snapshot.state.step))
        if not place.remote:
            with whole_folder(Path(place.root)) as partial:
                snapshot.write(partial)
        else:
            with tempfile.TemporaryDirectory(prefix="medsift-") as folder:
                snapshot.write(Path(folder))
                if self.curves is not None:
                    shutil.copyfile(self.curves / STEPS, Path(folder) / STEPS)
                place.put(Path(folder))
        return ray.train.Checkpoint(place.root, place.files)

    def _metrics(self, snapshot: Snapshot) -> dict[str, Any]:
        state = snapshot.state
        return {"step": state.step, "loss": state.loss, "held_out_loss": state.held_out_loss}


def forget_notes(store: Store) -> None:
    """Remove what Ray Train noted about a run before: it begins only where all that is there."""
    if store.has(SNAPSHOT):
        store.remove(SNAPSHOT)
