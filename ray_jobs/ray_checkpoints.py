"""Keep the checkpoints of a training on Ray: written by one worker, reported to Ray Train.

They are in the folder where Ray Train keeps its records of the run, in the layout of
`FolderCheckpointStore` and under its rule, so that a training started on Ray can be resumed without
it, and the other way round. `state.json` is written last: a checkpoint without it is incomplete.

The files in storage are the truth, not Ray Train's records: a checkpoint is reported only after it
is written, so a crash in between leaves one that Ray does not know.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from medsift.errors import StorageError
from medsift.storage.atomic import atomic_folder
from ray_jobs.remote_dir import RemoteDir
from training.loop.checkpoint import OTHER_STORAGE, Snapshot, folder_name, unwanted
from training.loop.logs import STEPS

logger = logging.getLogger(__name__)

SNAPSHOT: Final = "checkpoint_manager_snapshot.json"
"""Ray Train's record of the checkpoints that it knows."""


@dataclass(frozen=True, slots=True)
class RayCheckpointStore:
    """Keep checkpoints in a folder and report them on every worker: a report is a barrier.

    The newest `count` stay, and the best. Those of a remote folder are fetched into `scratch`.
    `curves` is a folder of the first worker whose ``steps.jsonl`` is copied with such checkpoints;
    None where the curves are written next to the checkpoints.
    """

    store: RemoteDir
    count: int
    first: bool
    scratch: Path
    curves: Path | None

    def newest(self) -> Path | None:
        """Return the checkpoint of the largest step, on this machine; None without one."""
        names = self.store.checkpoints()
        if not names:
            return None
        checkpoint = self._local(names[-1])
        if self.curves is not None and (checkpoint / STEPS).is_file():
            shutil.copyfile(checkpoint / STEPS, self.curves / STEPS)
        return checkpoint

    def keep(self, snapshot: Snapshot) -> None:
        """Write a checkpoint, remove those no longer wanted, then report it."""
        import ray.train
        from ray.train.v2.api.report_config import CheckpointUploadMode

        checkpoint = None
        if self.first:
            checkpoint = self._write(snapshot)
            self.clear(snapshot.state.best_step)
        state = snapshot.state
        metrics = {"step": state.step, "loss": state.loss, "held_out_loss": state.held_out_loss}
        ray.train.report(metrics, checkpoint, checkpoint_upload_mode=CheckpointUploadMode.NO_UPLOAD)

    def clear(self, best_step: int | None) -> None:
        """Remove checkpoints no longer wanted. A store that refuses does not end the training."""
        for name in unwanted(self.store.checkpoints(), self.count, best_step):
            try:
                self.store.remove(name)
            except StorageError as error:
                logger.warning("an old checkpoint stays: %s", error)

    def at(self, step: int) -> Path:
        """Return the checkpoint of a step, on this machine."""
        return self._local(folder_name(step))

    def _local(self, name: str) -> Path:
        if not self.store.remote:
            return Path(self.store.root) / name
        return self.store.child(name).fetch(self.scratch / name)

    def _write(self, snapshot: Snapshot) -> Any:
        """Write a checkpoint so that it appears complete or not at all; return Ray's handle."""
        import ray.train

        target = self.store.child(folder_name(snapshot.state.step))
        if not target.remote:
            with atomic_folder(Path(target.root), OTHER_STORAGE) as partial:
                snapshot.write(partial)
        else:
            with tempfile.TemporaryDirectory(prefix="medsift-") as folder:
                snapshot.write(Path(folder))
                if self.curves is not None:
                    shutil.copyfile(self.curves / STEPS, Path(folder) / STEPS)
                target.put(Path(folder))
        return ray.train.Checkpoint(target.root, target.files)


def remove_ray_notes(store: RemoteDir) -> None:
    """Remove Ray Train's record of an earlier start: it fails if a recorded checkpoint is gone."""
    if store.has(SNAPSHOT):
        store.remove(SNAPSHOT)
