"""Keep files under keys in an object store: S3 and what speaks like it, Google's, or Azure's.

Requests that fail by a server's fault (5xx) or the connection are repeated by the client, with
growing pauses, for a minute in all. A refusal (401, 403) is never repeated.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from medsift.errors import StorageError
from medsift.storage.locations import without_secrets
from medsift.storage.refusals import named_refusals
from medsift.storage.store import Stored, Version

if TYPE_CHECKING:
    from obstore.store import ObjectStore as Client

RETRIES: Final[dict[str, Any]] = {
    "max_retries": 10,
    "retry_timeout": timedelta(seconds=60),
    "backoff": {
        "init_backoff": timedelta(milliseconds=100),
        "max_backoff": timedelta(seconds=10),
        "base": 2,
    },
}
PIECE: Final = 8 << 20
MOST_PARTS: Final = 9_000
_STATUS: Final = re.compile(r"status code: (\d{3} [A-Za-z ]+)")
_REASON: Final = re.compile(r"<Code>(\w+)</Code>")


@dataclass(frozen=True, slots=True)
class ObjectStore:
    """Keys under `prefix` of one bucket. `name` is the bucket's URL, without credentials."""

    client: Client
    name: str
    prefix: str = field(default="")

    @property
    def url(self) -> str:
        """The bucket and the prefix."""
        return f"{self.name}/{self.prefix}".rstrip("/")

    def read(self, key: str) -> Stored | None:
        """Return the content of a key, None where there is none."""
        import obstore

        with self._asking("read", key) as path:
            try:
                answer = obstore.get(self.client, path)
                data = bytes(answer.bytes())
            except FileNotFoundError:
                return None
        return Stored(data, _version(answer.meta))

    def download(self, key: str, path: Path) -> bool:
        """Write the content of a key to a local file piece by piece; False where there is none."""
        import obstore

        with self._asking("read", key) as source:
            try:
                pieces = iter(obstore.get(self.client, source).stream(min_chunk_size=PIECE))
            except FileNotFoundError:
                return False
        with named_refusals(path, "free some space"), path.open("wb") as file:
            while True:
                with self._asking("read", key):
                    piece = next(pieces, None)
                if piece is None:
                    return True
                file.write(piece)

    def size(self, key: str) -> int | None:
        """Return the bytes of a key, None where there is none."""
        facts = self._head(key)
        return None if facts is None else int(facts["size"])

    def write(self, key: str, data: bytes | Path) -> None:
        """Write bytes or a local file under a key, in several parts where it is large."""
        import obstore

        # A store takes no more than 10,000 parts.
        size = data.stat().st_size if isinstance(data, Path) else len(data)
        with self._asking("write", key) as path:
            obstore.put(self.client, path, data, chunk_size=max(PIECE, -(-size // MOST_PARTS)))

    def create(self, key: str, data: bytes) -> bool:
        """Write a key that is missing; False where it exists."""
        return self._put_if(key, data, "create")

    def swap(self, key: str, data: bytes, expected: Version) -> bool:
        """Replace a key that still has the expected version; False where it has not."""
        known = {name: value for name, value in expected._asdict().items() if value is not None}
        return self._put_if(key, data, known)

    def age(self, key: str) -> float | None:
        """Return the seconds since a key was written, by the store's clock.

        Another object is written for the store to say what time it is.
        """
        facts = self._head(key)
        if facts is None:
            return None
        clock = f"{key}.{uuid4().hex}.clock"
        self.write(clock, b"")
        now = self._head(clock)
        self.remove([clock])
        if now is None:
            return 0.0
        passed: timedelta = now["last_modified"] - facts["last_modified"]
        return max(0.0, passed.total_seconds())

    def remove(self, keys: Sequence[str]) -> None:
        """Remove keys; those that are missing are passed over."""
        import obstore

        if keys:
            with self._asking("remove", keys[0]):
                obstore.delete(self.client, [self._path(key) for key in keys])

    def keys(self, folder: str) -> list[str]:
        """Return every key that begins with ``folder/``, sorted."""
        import obstore

        with self._asking("list", folder) as path:
            found = [item["path"] for page in obstore.list(self.client, path) for item in page]
        start = len(self.prefix) + 1 if self.prefix else 0
        return sorted(name[start:] for name in found)

    def _head(self, key: str) -> Any:
        import obstore

        with self._asking("read", key) as path:
            try:
                return obstore.head(self.client, path)
            except FileNotFoundError:
                return None

    def _put_if(self, key: str, data: bytes, mode: Any) -> bool:
        import obstore
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        with self._asking("write", key) as path:
            try:
                obstore.put(self.client, path, data, mode=mode)
                return True
            except (AlreadyExistsError, PreconditionError, FileNotFoundError):
                pass
        # The answer to a first attempt may have been lost: what is there now says who wrote it.
        present = self.read(key)
        return present is not None and present.data == data

    def _path(self, key: str) -> str:
        return f"{self.prefix}/{key}" if self.prefix else key

    @contextmanager
    def _asking(self, verb: str, key: str) -> Iterator[str]:
        """Yield the key's path in the bucket; turn the client's errors into one line."""
        from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError

        path = self._path(key)
        place = f"{self.name}/{path}"
        began = time.monotonic()
        try:
            yield path
        except FileNotFoundError:
            raise
        except (PermissionDeniedError, UnauthenticatedError) as error:
            message = (
                f"the store refuses to {verb} {place} ({_in_short(error)}): check the credentials "
                "of the environment or the profile, and that they may read, write and list there"
            )
            raise StorageError(message, code="store_refused", location=place) from error
        # The client itself raises what Python calls a ValueError for settings that do not fit.
        except (BaseError, ValueError, OSError) as error:
            waited = time.monotonic() - began
            message = (
                f"cannot {verb} {place} ({_in_short(error)}; gave up after {waited:.0f} s): check "
                "the address and the connection, and run the same command again"
            )
            raise StorageError(message, code="store_unreachable", location=place) from error


def _version(facts: Any) -> Version:
    return Version(facts["e_tag"], facts["version"])


def _in_short(error: BaseException) -> str:
    """Return the status and reason of a server's answer, or the first line of another error."""
    text = str(error)
    status, reason = _STATUS.search(text), _REASON.search(text)
    if status is not None:
        return " ".join([status[1].strip(), *([reason[1]] if reason else [])])
    first = text.partition("Debug source")[0]
    return without_secrets(" ".join(first.split()))[:300] or type(error).__name__
