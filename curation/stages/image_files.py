"""Hash the file of every image reference, or record why that is not possible."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from curation.joins import files_sql
from curation.stage_outputs import StageOutputs
from curation.stages.work_files import WorkFile, WorkFolder
from medsift.errors import StorageError
from medsift.execution import Tables
from medsift.images.references import TooManyBytes, digest_bytes
from medsift.storage.locations import is_remote

FILES: Final = pa.schema(
    [pa.field("ref", pa.string(), nullable=False)]
    + [pa.field(name, pa.string()) for name in ("byte_hash", "content_id", "error", "detail")]
)
SEEN: Final = pa.schema(
    [
        pa.field("ref", pa.string(), nullable=False),
        pa.field("size", pa.int64(), nullable=False),
        pa.field("modified", pa.float64(), nullable=False),
    ]
)
"""Every reference with the size of its file in bytes, -1 for none, and its time of change."""
HASHED: Final = "hashed.parquet"
"""The file, in the folder of hashes, with those of every reference."""
Seen = tuple[str, int]
"""A reference and its size in bytes on the machine that began the run; -1 for no file."""


@dataclass(frozen=True, slots=True)
class HashFiles:
    """Hash referenced files on a worker, as a `files` table.

    `most_bytes` limits a file. A file that the machine which began the run saw, and that this node
    does not see or sees with another size, is on a disk that is not shared: an error is raised, and
    nothing is stored about the picture.
    """

    most_bytes: int
    work: WorkFolder

    def __call__(self, item: WorkFile) -> Iterator[Tables]:
        """Yield `files` of a file of ``SEEN``. Raises StorageError as `hash_all` does."""
        seen = self.work.read(item)
        listed = zip(seen["ref"].to_pylist(), seen["size"].to_pylist(), strict=True)
        yield {"files": self.hash_all(list(listed))}

    def hash_all(self, files: Sequence[Seen]) -> pa.Table:
        """Return FILES of files. Raises StorageError where this node does not see what it should.

        `files` are references, each with the size that the machine which began the run saw.
        """
        return pa.Table.from_pylist([self._hash(ref, size) for ref, size in files], schema=FILES)

    def _hash(self, ref: str, size: int) -> dict[str, Any]:
        line: dict[str, Any] = {"ref": ref}
        try:
            byte_hash, read = digest_bytes(ref, self.most_bytes)
        except FileNotFoundError as error:
            if size >= 0:
                raise misplaced(ref, "is not there") from error
            return line | {"error": "image_missing", "detail": f"no file at {ref}"}
        except TooManyBytes as error:
            return line | {"error": "image_too_large", "detail": str(error)}
        except StorageError as error:
            if is_remote(ref):
                # A fault of the store says nothing about the picture: the next run tries again.
                raise
            return line | {"error": "image_unreadable", "detail": str(error)}
        if size >= 0 and read != size and not is_remote(ref):
            raise misplaced(ref, f"has {read} bytes instead of {size}")
        # The suffix is part of the identity because a note says when it does not fit the content.
        content = byte_hash + PurePosixPath(ref).suffix
        return line | {"byte_hash": byte_hash, "content_id": content}


def hashed_before_sql(earlier: StageOutputs | None, seen: str, most_bytes: int) -> str:
    """Return the SQL of the FILES that an earlier run hashed and that are now as they were then.

    Size and time of change decide, as they do when the stage itself is reused. What could not be
    read is tried again.

    Args:
        earlier: The stage `images` of that run; None without one.
        seen: The SQL name of ``SEEN`` of the references now.
        most_bytes: The most bytes of a file.
    """
    hashed = None if earlier is None else earlier.folder / "hash" / HASHED
    before = [] if earlier is None else earlier.seen.parts()
    if hashed is None or not hashed.exists() or not before:
        return f"SELECT {', '.join(f'NULL::VARCHAR AS {name}' for name in FILES.names)} LIMIT 0"
    return (
        f"SELECT h.* FROM {files_sql([hashed])} h JOIN {files_sql(before)} b USING (ref) "
        f"JOIN {seen} s USING (ref) WHERE h.content_id IS NOT NULL AND s.size <= {most_bytes} "
        "AND s.size = b.size AND s.modified = b.modified"
    )


def misplaced(ref: str, what: str) -> StorageError:
    """Return the error of a node that sees another file than the machine which began the run."""
    folder = ref.rpartition("/")[0] or "/"
    return StorageError(
        f"{ref} {what} on node {socket.gethostname()}, but the machine that began the run saw it: "
        f"put {folder} on a disk that every node shares, leave the images alone while the run "
        "looks at them, and run the same command again",
        code="nodes_see_other_files",
        ref=ref,
    )


def check_unreadable(files: pa.Table, most_bytes: int) -> None:
    """Raise StorageError where this machine reads a file that a worker could not read."""
    unreadable = files.filter(pc.equal(files["error"], "image_unreadable"))
    for ref in unreadable["ref"].to_pylist():
        try:
            digest_bytes(ref, most_bytes)
        except (FileNotFoundError, StorageError, TooManyBytes):
            continue
        message = (
            f"{ref} could not be read on a worker, but the machine that began the run reads it: "
            "give every node the same access, remove the unfinished stage, and run again"
        )
        raise StorageError(message, code="nodes_see_other_files", ref=ref)
