"""A benchmark's published files: in a folder, in the archives of it, or on the hub."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Final, Self

from medsift.errors import InputError, StorageError

HUB_NAME: Final = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True)
class Published:
    """Files of one folder and of the zip archives in it, all by their path from the folder.

    What an archive holds counts as lying next to the archive, and in a folder of the archive's
    name: it makes no difference whether archives were unpacked, or where. Unpacked files go
    before packed ones.
    """

    root: Path
    source: str = field(kw_only=True)
    """What the user named: the folder or the hub name."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for archive in {archive for archive, _ in self.__dict__.get("_packed", {}).values()}:
            archive.close()

    def names(self, *patterns: str) -> list[str]:
        """Names that match one of the patterns (`*` stays within a folder), sorted."""
        loose = {
            path.relative_to(self.root).as_posix()
            for pattern in patterns
            for path in self.root.glob(pattern)
            if path.is_file()
        }
        packed = {name for name in self._packed if any(_matches(name, one) for one in patterns)}
        return sorted(loose | packed)

    def has(self, name: str) -> bool:
        """Whether there is a file of this name."""
        return self.path(name) is not None or name in self._packed

    def path(self, name: str) -> Path | None:
        """Where a file lies, None where it is packed or not there."""
        path = self.root / name
        return path if _is_inside(name) and path.is_file() else None

    def read(self, name: str) -> bytes:
        """The bytes of a file.

        Raises:
            FileNotFoundError: there is no such file, or the name leads outside the folder.
            StorageError: the disk refuses, or the archive is damaged.
        """
        path = self.path(name)
        try:
            if path is not None:
                return path.read_bytes()
            archive, member = self._packed[name]
            return archive.read(member)
        except KeyError as error:
            raise FileNotFoundError(f"no {name} in {self.source}") from error
        except (OSError, zipfile.BadZipFile) as error:
            raise StorageError(
                f"cannot read {name} of {self.source}: {error}", code="benchmark_missing"
            ) from error

    @cached_property
    def _packed(self) -> dict[str, tuple[zipfile.ZipFile, str]]:
        found: dict[str, tuple[zipfile.ZipFile, str]] = {}
        for path in sorted(self.root.glob("*.zip"), reverse=True):
            try:
                archive = zipfile.ZipFile(path)
            except (OSError, zipfile.BadZipFile) as error:
                raise InputError(
                    f"{path} is no whole zip archive: {error}", code="benchmark_missing"
                ) from error
            for name in filter(lambda name: not name.endswith("/"), archive.namelist()):
                for alias in (name, name.removeprefix(f"{path.stem}/"), f"{path.stem}/{name}"):
                    found[alias] = (archive, name)
        return found


def open_published(source: str, revision: str | None, files: Sequence[str]) -> Published:
    """The published files at a folder, or of a hub name downloaded into the hub's own cache.

    Of a hub name, only `files` (glob patterns) are fetched. Raises InputError when there is
    neither such a folder nor such a data set within reach.
    """
    folder = Path(source)
    if folder.is_dir():
        return Published(folder.absolute(), source=source)
    if folder.exists() or not HUB_NAME.fullmatch(source):
        raise InputError(
            f"no folder at {source!r}: name one, or a hub name such as org/name",
            code="benchmark_missing",
        )
    return Published(_download(source, revision, files), source=source)


def _download(name: str, revision: str | None, files: Sequence[str]) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        folder = snapshot_download(
            name, repo_type="dataset", revision=revision, allow_patterns=list(files)
        )
    except (OSError, ValueError, HfHubHTTPError) as error:
        line = str(error).strip().split("\n")[0]
        raise InputError(
            f"data set {name!r} cannot be had: {line}; check the connection and your access, or "
            "set path to a folder that holds a copy",
            code="benchmark_missing",
        ) from error
    return Path(folder)


def _is_inside(name: str) -> bool:
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and "\0" not in name


def _matches(name: str, pattern: str) -> bool:
    return name.count("/") == pattern.count("/") and fnmatchcase(name, pattern)
