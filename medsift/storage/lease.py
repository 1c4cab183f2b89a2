"""Keep a second writer away from a place that several machines reach.

A lease is one key that names its holder. It is taken by creating the key, and renewed and given
back by swapping it, so that two writers never both succeed. A holder renews it a few times in each
term; where it was not renewed for a whole term, anyone may take it over. Whether a term has passed
is answered by the store's clock alone: the clocks of the machines may be wrong. A holder that ended
on this very machine is found out at once.

A lease saves work; it is not what keeps results whole. A holder that slept for longer than a term
and wakes up finds at its next swap of a pointer that the pointer, or the lease, is another.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from medsift.errors import StorageError, UsageError
from medsift.storage.store import Store, Version

logger = logging.getLogger(__name__)

TERM: Final = 60.0
"""Seconds without renewal after which a lease may be taken over."""
RENEWALS: Final = 4
"""Renewals in a term."""
PAUSE: Final = 1.0
"""Seconds between two looks at a lease that somebody else has."""


@dataclass(slots=True)
class Lease:
    """A lease that this process has on one key of a store, until it is lost or given back."""

    store: Store
    key: str
    term: float = TERM
    token: str = field(default_factory=lambda: uuid4().hex)
    renewals: int = 0
    version: Version | None = None
    renewed: float = 0.0
    """When the store last confirmed it, by this machine's clock that never jumps."""
    lost: bool = False

    def take(self) -> dict[str, Any] | None:
        """Take the lease; return None, or else who has it. Raises StorageError."""
        if self.store.create(self.key, self._note()):
            self._confirm()
            return None
        present = self.store.read(self.key)
        if present is None:
            return {}  # it was removed just now: the next attempt creates it
        holder = _parsed(present.data)
        if self._is_over(holder) and self.store.swap(self.key, self._note(), present.version):
            if holder.get("token"):
                logger.warning("%s of %s was left behind: taken over", self.key, holder.get("host"))
            self._confirm()
            return None
        return holder

    def renew(self) -> None:
        """Confirm the lease; `lost` is set where somebody else has it by now."""
        self.renewals += 1
        try:
            note = self._note()
            if self.version is None or not self.store.swap(self.key, note, self.version):
                self.lost = True
                return
            self._confirm()
        except StorageError as error:
            logger.warning("cannot renew the lease %s: %s", self.key, error)
            self.lost = time.monotonic() - self.renewed > self.term

    def check(self) -> None:
        """Raise StorageError where the lease is lost, so that nothing more is written."""
        if self.lost:
            raise StorageError(
                f"another process took over {self.store.url}/{self.key}, because this one did not "
                f"renew it for {self.term:g} s; run the same command again when that one is done",
                code="lease_lost",
                key=self.key,
            )

    def give_back(self) -> None:
        """Mark the lease as free; where that fails it ends with its term."""
        if self.lost or self.version is None:
            return
        free = json.dumps({"token": None, "given_back_by": self.token}).encode()
        try:
            self.store.swap(self.key, free, self.version)
        except StorageError as error:
            logger.warning("cannot give back the lease %s: %s", self.key, error)

    def _confirm(self) -> None:
        present = self.store.read(self.key)
        if present is None or _parsed(present.data).get("token") != self.token:
            self.lost = True
            return
        self.version, self.renewed = present.version, time.monotonic()

    def _note(self) -> bytes:
        note = {
            "token": self.token,
            "host": socket.gethostname(),
            "process": _process(os.getpid()),
            "renewals": self.renewals,
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        return json.dumps(note, sort_keys=True).encode()

    def _is_over(self, holder: dict[str, Any]) -> bool:
        """Return whether nobody has the lease any more that this note was read from."""
        process = holder.get("process")
        if not holder.get("token") or _has_ended(process):
            return True
        age = self.store.age(self.key)
        return age is None or age > self.term


@contextmanager
def leased(store: Store, key: str, *, wait: bool, what: str, term: float = TERM) -> Iterator[Lease]:
    """Have the lease of a key inside the block, renewed by a thread.

    Args:
        store: Where the key is.
        key: The lease.
        wait: Wait for another holder instead of refusing.
        what: The work that another holder does, for messages.
        term: Seconds without renewal after which others may take it over.

    Raises:
        UsageError: another process has it, and `wait` is off.
        StorageError: the store refuses.
    """
    lease = Lease(store, key, term)
    warned = False
    while (holder := lease.take()) is not None:
        if holder and not wait:
            raise UsageError(
                f"another {what} is at work in {store.url}/{key.rpartition('/')[0]} on "
                f"{holder.get('host')} since its last sign of life at {holder.get('at')}: wait for "
                f"it, or for {term:g} s if it was killed",
                code="run_directory_busy",
                path=f"{store.url}/{key}",
            )
        if holder and not warned:
            logger.warning("another %s on %s is at work: waiting", what, holder.get("host"))
            warned = True
        time.sleep(PAUSE if holder else 0.0)
    ended = threading.Event()

    def renew() -> None:
        while not ended.wait(term / RENEWALS):
            lease.renew()
            if lease.lost:
                return

    renewer = threading.Thread(target=renew, name=f"lease {key}", daemon=True)
    renewer.start()
    try:
        yield lease
    finally:
        ended.set()
        renewer.join()
        lease.give_back()


def _parsed(data: bytes) -> dict[str, Any]:
    try:
        note = json.loads(data)
    except ValueError:
        return {}
    return note if isinstance(note, dict) else {}


def _process(number: int) -> list[str] | None:
    """Return what names a process of this machine for good; None where the system does not say.

    A number alone is used again by later processes, and by every container.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        space = str(Path("/proc/self/ns/pid").readlink())
        return [boot, space, str(number), _started(number)]
    except OSError:
        return None


def _started(number: int) -> str:
    """Return when a process of this machine started, in ticks since the machine did."""
    fields = Path(f"/proc/{number}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return fields[19]


def _has_ended(process: Any) -> bool:
    """Return whether a process that ran on this machine is known to have ended."""
    own = _process(os.getpid())
    if own is None or not isinstance(process, list) or len(process) != len(own):
        return False
    if process[:2] != own[:2] or not str(process[2]).isdigit():
        return False
    try:
        return _started(int(process[2])) != str(process[3])
    except FileNotFoundError:
        return True
    except OSError:
        return False
