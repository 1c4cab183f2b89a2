"""Define what MedSift asks of a place for files: a folder of this machine, or an object store.

The interface is what every object store does atomically: write a key completely or not at all,
create it only where it is missing, and replace it only where it still has the version that was
read. Nothing renames, and nothing depends on a list of what there is: only a withdrawal asks for
one, to leave nothing behind. Everything else is built on these few calls:

- data lies under keys that are written once, and a marker that names it is written after it;
- what changes is a small pointer to data, which is swapped (`medsift.storage.pointer`);
- a lease keeps a second writer away (`medsift.storage.lease`).

`medsift.storage.mirror` gives the paths of a store's files on this machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol


class Version(NamedTuple):
    """What a store calls the present content of a key; stores use either field or both."""

    e_tag: str | None
    version: str | None


class Stored(NamedTuple):
    """The content of a key, and its version."""

    data: bytes
    version: Version


class Store(Protocol):
    """A place for files under keys such as ``stages/ingest/done.json``.

    Every method raises StorageError where the place refuses or cannot be reached.
    """

    @property
    def url(self) -> str:
        """The address of the place, without credentials."""
        ...

    def read(self, key: str) -> Stored | None:
        """Return the content of a key, None where there is none."""
        ...

    def download(self, key: str, path: Path) -> bool:
        """Write the content of a key to a local file piece by piece; False where there is none."""
        ...

    def size(self, key: str) -> int | None:
        """Return the bytes of a key, None where there is none."""
        ...

    def write(self, key: str, data: bytes | Path) -> None:
        """Write bytes or a local file under a key, completely or not at all."""
        ...

    def create(self, key: str, data: bytes) -> bool:
        """Write a key that is missing; False where it exists.

        `data` must differ from what any other writer would write: a request whose answer was lost
        is sent again, and the content then says whether the first one had succeeded.
        """
        ...

    def swap(self, key: str, data: bytes, expected: Version) -> bool:
        """Replace a key that still has the expected version; False where it has not.

        `data` is as for `create`.
        """
        ...

    def age(self, key: str) -> float | None:
        """Return the seconds since a key was written, by the store's own clock alone.

        The clocks of the machines that ask do not matter. None where there is no such key.
        """
        ...

    def remove(self, keys: Sequence[str]) -> None:
        """Remove keys; those that are missing are passed over."""
        ...

    def keys(self, folder: str) -> list[str]:
        """Return every key that begins with ``folder/``, sorted."""
        ...
