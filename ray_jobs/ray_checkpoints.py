"""Report the checkpoints of a training to Ray Train, which one worker writes.

They are in the folder or store where Ray Train keeps its records of the run, in the layout of
`FolderCheckpointStore` and under its rule, so that a training started on Ray can be resumed without
it, and the other way round.

The files in storage are the truth, not Ray Train's records: a checkpoint is reported only after it
is written, so a crash in between leaves one that Ray does not know.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from medsift.storage.locations import filesystem
from medsift.storage.mirror import is_mirrored, location
from training.loop.checkpoint import FolderCheckpointStore, Snapshot, folder_name

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

SNAPSHOT: Final = "checkpoint_manager_snapshot.json"
"""Ray Train's record of the checkpoints that it knows. It fails if one of them is gone."""


@dataclass(frozen=True, slots=True)
class RayCheckpointStore:
    """Keep checkpoints by `files`, and report them on every worker: a report is a barrier."""

    files: FolderCheckpointStore

    def newest(self) -> Path | None:
        """Return the checkpoint of the largest step, on this machine; None without one."""
        return self.files.newest()

    def at(self, step: int) -> Path:
        """Return the checkpoint of a step, on this machine."""
        return self.files.at(step)

    def keep(self, snapshot: Snapshot) -> None:
        """Write a checkpoint, remove those no longer wanted, then report it."""
        import ray.train
        from ray.train.v2.api.report_config import CheckpointUploadMode

        checkpoint, state = None, snapshot.state
        self.files.keep(snapshot)
        if self.files.writes:
            store, root = ray_storage(self.files.folder / folder_name(state.step))
            checkpoint = ray.train.Checkpoint(root, store)
        metrics = {"step": state.step, "loss": state.loss, "held_out_loss": state.held_out_loss}
        ray.train.report(metrics, checkpoint, checkpoint_upload_mode=CheckpointUploadMode.NO_UPLOAD)


def ray_storage(folder: Path) -> tuple[FileSystem, str]:
    """Return the filesystem and the path in it by which Ray Train knows a folder or its store."""
    from pyarrow.fs import LocalFileSystem

    if is_mirrored(folder):
        store, root = filesystem(location(folder))
        return store, str(root)
    return LocalFileSystem(), str(folder)
