"""Read and write a folder on any pyarrow filesystem, local or remote."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from medsift.errors import StorageError
from medsift.storage.locations import filesystem, is_remote, local_path
from training.loop.checkpoint import PREFIX, STATE

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem


@dataclass(frozen=True, slots=True)
class RemoteDir:
    """A folder on a pyarrow filesystem, `remote` or on a disk here; methods raise StorageError."""

    files: FileSystem
    root: str
    remote: bool

    @classmethod
    def at(cls, location: str) -> RemoteDir:
        """Open a folder or URL. Raises InputError for a URL that pyarrow does not support."""
        from pyarrow.fs import LocalFileSystem

        if is_remote(location):
            files, root = filesystem(location)
            return cls(files, root, True)
        return cls(LocalFileSystem(), str(local_path(location).absolute()), False)

    def child(self, name: str) -> RemoteDir:
        """Return a folder inside."""
        return RemoteDir(self.files, f"{self.root}/{name}", self.remote)

    def put(self, folder: Path) -> None:
        """Copy the content of a local folder here; `state.json`, which marks it whole, is last."""
        from pyarrow.fs import LocalFileSystem, copy_files

        state = folder / STATE
        last = state.read_bytes() if state.exists() else None
        state.unlink(missing_ok=True)
        with explained("write", self.root):
            self.files.create_dir(self.root)
            copy_files(str(folder), self.root, LocalFileSystem(), self.files)
            if last is not None:
                with self.files.open_output_stream(f"{self.root}/{STATE}") as stream:
                    stream.write(last)

    def fetch(self, folder: Path) -> Path:
        """Copy the content into a local folder, and return that."""
        folder.mkdir(parents=True, exist_ok=True)
        self._copy(self.root, folder)
        return folder

    def fetch_file(self, name: str, folder: Path) -> None:
        """Copy one file into a local folder."""
        self._copy(f"{self.root}/{name}", folder / name)

    def checkpoints(self) -> list[str]:
        """Return the names of complete checkpoints, by step."""
        from pyarrow.fs import FileSelector

        with explained("read", self.root):
            entries = self.files.get_file_info(FileSelector(self.root, allow_not_found=True))
        names = [entry.base_name for entry in entries if entry.base_name.startswith(PREFIX)]
        return sorted(name for name in names if self.has(f"{name}/{STATE}"))

    def has(self, name: str) -> bool:
        """Return whether there is a file of this name."""
        with explained("read", f"{self.root}/{name}"):
            return bool(self.files.get_file_info(f"{self.root}/{name}").is_file)

    def remove(self, name: str) -> None:
        """Remove a file or folder inside."""
        path = f"{self.root}/{name}"
        with explained("remove", path):
            remove = self.files.delete_file if self.has(name) else self.files.delete_dir
            remove(path)

    def _copy(self, source: str, target: Path) -> None:
        from pyarrow.fs import LocalFileSystem, copy_files

        with explained("read", source):
            copy_files(source, str(target), self.files, LocalFileSystem())


@contextmanager
def explained(verb: str, path: str) -> Iterator[None]:
    """Turn an OSError inside the block into a StorageError: `path` cannot be read or written."""
    try:
        yield
    except OSError as error:
        message = f"cannot {verb} {path}: {error}; try again later"
        raise StorageError(message, code="training_storage_failed", path=path) from error
