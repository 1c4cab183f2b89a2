"""A folder on any pyarrow filesystem, which every worker of a cluster reaches."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from medsift.errors import StorageError
from medsift.storage.locations import filesystem, is_remote, local_path
from training.checkpoint import PREFIX, STATE

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem


@dataclass(frozen=True, slots=True)
class Store:
    """A folder on a pyarrow filesystem. What is asked of it raises StorageError where it fails."""

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
        """Copy what is in a local folder here, `state.json` last."""
        from pyarrow.fs import LocalFileSystem, copy_files

        mark = folder / STATE
        last = mark.read_bytes() if mark.exists() else None
        mark.unlink(missing_ok=True)
        with _told("write", self.root):
            self.files.create_dir(self.root)
            copy_files(str(folder), self.root, LocalFileSystem(), self.files)
            if last is not None:
                with self.files.open_output_stream(f"{self.root}/{STATE}") as stream:
                    stream.write(last)

    def fetch(self, folder: Path) -> Path:
        """Copy what is here into a local folder."""
        folder.mkdir(parents=True, exist_ok=True)
        self._copy(self.root, folder)
        return folder

    def fetch_file(self, name: str, folder: Path) -> None:
        """Copy one file into a local folder."""
        self._copy(f"{self.root}/{name}", folder / name)

    def checkpoints(self) -> list[str]:
        """Names of whole checkpoints, by step."""
        from pyarrow.fs import FileSelector

        with _told("read", self.root):
            found = self.files.get_file_info(FileSelector(self.root, allow_not_found=True))
        names = [one.base_name for one in found if one.base_name.startswith(PREFIX)]
        return sorted(name for name in names if self.has(f"{name}/{STATE}"))

    def has(self, name: str) -> bool:
        """Whether there is a file of this name."""
        with _told("read", f"{self.root}/{name}"):
            return bool(self.files.get_file_info(f"{self.root}/{name}").is_file)

    def remove(self, name: str) -> None:
        """Remove a file or a folder in here."""
        place = f"{self.root}/{name}"
        with _told("remove", place):
            remove = self.files.delete_file if self.has(name) else self.files.delete_dir
            remove(place)

    def _copy(self, source: str, target: Path) -> None:
        from pyarrow.fs import LocalFileSystem, copy_files

        with _told("read", source):
            copy_files(source, str(target), self.files, LocalFileSystem())


@contextmanager
def _told(verb: str, place: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"cannot {verb} {place}: {error}; try again later",
            code="training_storage_failed",
            path=place,
        ) from error
