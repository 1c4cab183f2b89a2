"""Checkpoints of a training on Ray: written by the first worker, reported to Ray Train.

They lie where Ray Train keeps its notes about the run, in the layout of `FolderKeeper` and by its
rule, so that a training may be started on Ray and gone on with alone, or the other way round.
`state.json` comes last: a checkpoint without it is not whole.

What is there decides, not what Ray Train has noted: it hears of a checkpoint after it was written,
and never does when a worker is lost in between.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from curation.errors import StorageError
from curation.sources.storage import filesystem, is_remote, local_path
from training.checkpoint import PREFIX, STATE, Snapshot, folder_name, unwanted, whole_folder
from training.logs import STEPS

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

SNAPSHOT: Final = "checkpoint_manager_snapshot.json"


@dataclass(frozen=True, slots=True)
class Store:
    """A folder on a pyarrow filesystem; every worker can reach it."""

    files: FileSystem
    root: str
    remote: bool

    @classmethod
    def at(cls, place: str) -> Store:
        """The store of a folder or URL. Raises InputError for a URL that pyarrow does not serve."""
        from pyarrow.fs import LocalFileSystem

        if is_remote(place):
            files, root = filesystem(place)
            return cls(files, root, True)
        return cls(LocalFileSystem(), str(local_path(place).absolute()), False)

    def child(self, name: str) -> Store:
        """A folder inside."""
        return Store(self.files, f"{self.root}/{name}", self.remote)

    def put(self, folder: Path) -> None:
        """Copy what is in a local folder here, `state.json` last. Raises StorageError."""
        from pyarrow.fs import LocalFileSystem, copy_files

        mark = folder / STATE
        last = mark.read_bytes() if mark.exists() else None
        mark.unlink(missing_ok=True)
        try:
            self.files.create_dir(self.root)
            copy_files(str(folder), self.root, LocalFileSystem(), self.files)
            if last is not None:
                with self.files.open_output_stream(f"{self.root}/{STATE}") as stream:
                    stream.write(last)
        except OSError as error:
            raise StorageError(f"cannot write {self.root}: {error}; try again later") from error

    def fetch(self, folder: Path) -> Path:
        """Copy what is here into a local folder. Raises StorageError."""
        folder.mkdir(parents=True, exist_ok=True)
        _copy(self.files, self.root, folder)
        return folder

    def fetch_file(self, name: str, folder: Path) -> None:
        """Copy one file into a local folder. Raises StorageError."""
        _copy(self.files, f"{self.root}/{name}", folder / name)

    def checkpoints(self) -> list[str]:
        """Names of whole checkpoints, by step."""
        from pyarrow.fs import FileSelector

        found = self.files.get_file_info(FileSelector(self.root, allow_not_found=True))
        names = [one.base_name for one in found if one.base_name.startswith(PREFIX)]
        return sorted(name for name in names if self.has(f"{name}/{STATE}"))

    def has(self, name: str) -> bool:
        """Whether there is a file of this name."""
        return bool(self.files.get_file_info(f"{self.root}/{name}").is_file)

    def remove(self, name: str) -> None:
        """Remove a folder in here. Raises StorageError."""
        try:
            self.files.delete_dir(f"{self.root}/{name}")
        except OSError as error:
            raise StorageError(
                f"cannot remove {self.root}/{name}: {error}; try again later"
            ) from error


class RayKeeper:
    """Keeps checkpoints in a store and reports them, on every worker alike: a report is a barrier.

    The newest `count` stay, and the best. `curves` is a folder of the first worker whose
    ``steps.jsonl`` travels with the checkpoints of a remote store; None where the store is the
    place of the curves itself.
    """

    def __init__(self, store: Store, count: int, first: bool, curves: Path | None) -> None:
        self.store, self.count, self.first, self.curves = store, count, first, curves

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

        checkpoint = self._written(snapshot) if self.first else None
        ray.train.report(
            self._metrics(snapshot),
            checkpoint,
            checkpoint_upload_mode=CheckpointUploadMode.NO_UPLOAD,
        )

    def at(self, step: int) -> Path:
        """The checkpoint of a step, on this machine."""
        return self._local(folder_name(step))

    def _local(self, name: str) -> Path:
        if not self.store.remote:
            return Path(self.store.root) / name
        return self.store.child(name).fetch(Path(tempfile.mkdtemp(prefix="medsift-")) / name)

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
        for name in unwanted(self.store.checkpoints(), self.count, snapshot.state.best_step):
            self.store.remove(name)
        return ray.train.Checkpoint(place.root, place.files)

    def _metrics(self, snapshot: Snapshot) -> dict[str, Any]:
        state = snapshot.state
        return {"step": state.step, "loss": state.loss, "held_out_loss": state.held_out_loss}


def _copy(files: FileSystem, source: str, target: Path) -> None:
    from pyarrow.fs import LocalFileSystem, copy_files

    try:
        copy_files(source, str(target), files, LocalFileSystem())
    except OSError as error:
        raise StorageError(f"cannot read {source}: {error}; try again later") from error


def forget_notes(store: Store) -> None:
    """Remove what Ray Train noted about a run before: it begins only where all that is there."""
    if store.has(SNAPSHOT):
        store.files.delete_file(f"{store.root}/{SNAPSHOT}")
