"""Read a benchmark's published files: in a folder, in its archives, or from the hub."""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Final, Self

from medsift.errors import InputError, StorageError

HUB_NAME: Final = re.compile(r"[\w.-]+/[\w.-]+")
MOST_UNPACKED: Final = 1 << 30
"""Most bytes of one file in an archive, which is unpacked into memory."""


@dataclass(frozen=True)
class Published:
    """Files of one folder and of the zip archives in it, all by their path from the folder.

    A file in an archive is found as if it were next to the archive, and in a folder of the
    archive's name: it makes no difference whether archives were unpacked, or where. Unpacked
    files are preferred to packed ones.
    """

    root: Path
    source: str = field(kw_only=True)
    """The folder or hub name that the user gave."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for archive in {archive for archive, _ in self.__dict__.get("_packed", {}).values()}:
            archive.close()

    def names(self, *patterns: str) -> list[str]:
        """Return the names that match one of the patterns (`*` stays within a folder), sorted."""
        loose = {
            path.relative_to(self.root).as_posix()
            for pattern in patterns
            for path in self.root.glob(pattern)
            if path.is_file()
        }
        packed = {
            name
            for name in self._packed
            for pattern in patterns
            if name.count("/") == pattern.count("/") and fnmatchcase(name, pattern)
        }
        return sorted(loose | packed)

    def has(self, name: str) -> bool:
        """Return whether there is a file of this name."""
        return self.path(name) is not None or name in self._packed

    def path(self, name: str) -> Path | None:
        """Return the path of a file, None where it is packed or does not exist."""
        path, parts = self.root / name, PurePosixPath(name)
        inside = not parts.is_absolute() and ".." not in parts.parts and "\0" not in name
        return path if inside and path.is_file() else None

    def read(self, name: str) -> bytes:
        """Return the bytes of a file.

        Raises:
            FileNotFoundError: there is no such file, or the name leads outside the folder.
            InputError: a file in an archive unpacks to more than memory should hold.
            StorageError: the disk refuses, or the archive is damaged.
        """
        path = self.path(name)
        try:
            if path is not None:
                return path.read_bytes()
            archive, member = self._packed[name]
            size = archive.getinfo(member).file_size
            self._refuse_bomb(name, size)
            # Read without a size, a member is unpacked as a whole before it is cut to what the
            # archive's list says.
            with archive.open(member) as packed:
                return packed.read(size)
        except KeyError as error:
            raise FileNotFoundError(f"no {name} in {self.source}") from error
        # Of another compression, encrypted, or damaged in a way that only the decoder notices.
        except (OSError, zipfile.BadZipFile, zlib.error, RuntimeError, EOFError) as error:
            raise StorageError(
                f"cannot read {name} of {self.source}: {error}", code="benchmark_missing", path=name
            ) from error

    def _refuse_bomb(self, name: str, size: int) -> None:
        if size > MOST_UNPACKED:
            raise InputError(
                f"{name} of {self.source} unpacks to {size:,} bytes, at most {MOST_UNPACKED:,} are "
                "read out of an archive; unpack the archive if it is trusted",
                code="benchmark_unreadable",
                file=name,
                bytes=size,
            )

    @cached_property
    def _packed(self) -> dict[str, tuple[zipfile.ZipFile, str]]:
        members: dict[str, tuple[zipfile.ZipFile, str]] = {}
        for path in sorted(self.root.glob("*.zip"), reverse=True):
            try:
                archive = zipfile.ZipFile(path)
            except (OSError, zipfile.BadZipFile) as error:
                raise InputError(
                    f"{path} is no whole zip archive: {error}",
                    code="benchmark_missing",
                    path=str(path),
                ) from error
            for name in filter(lambda name: not name.endswith("/"), archive.namelist()):
                for alias in (name, name.removeprefix(f"{path.stem}/"), f"{path.stem}/{name}"):
                    members[alias] = (archive, name)
        return members


def open_published(source: str, revision: str | None, files: Sequence[str]) -> Published:
    """Open the published files of a folder, or of a hub name, fetched into the hub's own cache.

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
            path=source,
        )
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        fetched = snapshot_download(
            source, repo_type="dataset", revision=revision, allow_patterns=list(files)
        )
    except (OSError, ValueError, HfHubHTTPError) as error:
        line = str(error).strip().split("\n")[0]
        raise InputError(
            f"data set {source!r} cannot be fetched: {line}; check the connection and your "
            "access, or set path to a folder that holds a copy",
            code="benchmark_missing",
            path=source,
        ) from error
    return Published(Path(fetched), source=source)
