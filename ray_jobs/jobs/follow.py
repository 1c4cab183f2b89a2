"""Follow a job to its end: its status is the truth, and its log comes as far as it can be read."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from medsift.errors import UsageError
from ray_jobs.console import INTERRUPTED
from ray_jobs.jobs.server import ServerLostError

if TYPE_CHECKING:
    from ray.job_submission import JobDetails

QUIET_SECONDS: Final = 2.0
"""A log that is quiet for so long says nothing about the job, so its status is asked for."""
FIRST_WAIT_SECONDS: Final = 0.5
LONGEST_WAIT_SECONDS: Final = 10.0
PATIENCE_SECONDS: Final = 600.0
"""How long a job server may be silent before following ends."""

Write = Callable[[str], object]


class Server(Protocol):
    """What following needs of a job server."""

    def details(self, job: str) -> JobDetails:
        """Return what the cluster knows of a job."""

    def log(self, job: str) -> str:
        """Return a job's whole log."""

    def log_pieces(self, job: str) -> AsyncIterator[str]:
        """Yield a job's log from its beginning as it grows."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of a job: Ray's status, its message, and the exit status of the command."""

    status: str
    message: str
    exit_code: int


def outcome(details: JobDetails) -> Outcome:
    """Return how a job ended: as its command did, or 130 where it was stopped."""
    status = str(details.status)
    codes = {"SUCCEEDED": 0, "STOPPED": INTERRUPTED}
    code = codes.get(status, details.driver_exit_code or 1)
    # Ray appends the log to the message, and the log is shown already.
    message = (details.message or "").partition(", last available logs")[0]
    return Outcome(status, " ".join(message.split()), code)


@dataclass(slots=True)
class Follower:
    """Follows one job; `shown` counts the characters of its log that were written."""

    server: Server
    job: str
    write: Write
    note: Write
    patience: float = PATIENCE_SECONDS
    shown: int = 0

    def follow(self) -> Outcome:
        """Write the log until the job ends, and return how.

        A stream that breaks or ends is begun again behind what was written.

        Raises:
            UsageError: the job server stays silent, or is another that does not know the job.
        """
        wait, silent_since = FIRST_WAIT_SECONDS, None
        while True:
            before = self.shown
            try:
                details = self.server.details(self.job)
            except ServerLostError as lost:
                silent_since = self._note_silence(lost, silent_since)
            else:
                if silent_since is not None:
                    self.note(f"the job server answers again; job {self.job} {details.status}")
                    silent_since = None
                if details.status.is_terminal():
                    self._write_rest()
                    return outcome(details)
                # What a broken stream means is asked of the job's status.
                with suppress(ServerLostError):
                    asyncio.run(self._write_stream())
            wait = FIRST_WAIT_SECONDS if self.shown > before else min(2 * wait, self._longest())
            time.sleep(wait)

    def _longest(self) -> float:
        return min(LONGEST_WAIT_SECONDS, self.patience)

    def _note_silence(self, lost: ServerLostError, since: float | None) -> float:
        """Return since when the server is silent; say so once. Raises UsageError when too long."""
        now = time.monotonic()
        if since is None:
            self.note(f"the job server does not answer ({str(lost)[:200]}): trying again")
            return now
        if now - since > self.patience:
            raise UsageError(
                f"the job server of {self.job} has been silent for {now - since:.0f} s: the job "
                "may continue; `medsift attach` follows it once the head is back, and "
                "`medsift status RUN_DIR` tells from the run directory",
                code="job_server_lost",
                job=self.job,
            ) from lost
        return since

    async def _write_stream(self) -> None:
        """Write what is new of the log until the stream ends, or the job does."""
        stream = aiter(self.server.log_pieces(self.job))
        seen = 0
        pending: asyncio.Future[str | None] | None = None
        try:
            while True:
                pending = pending or asyncio.ensure_future(anext(stream, None))
                done, _ = await asyncio.wait({pending}, timeout=QUIET_SECONDS)
                if not done:
                    # A dead connection is as quiet as a busy job.
                    if self.server.details(self.job).status.is_terminal():
                        return
                    continue
                piece, pending = pending.result(), None
                if piece is None:
                    return
                seen += len(piece)
                self._write_new(piece, seen)
        finally:
            if pending is not None:
                pending.cancel()

    def _write_new(self, piece: str, end: int) -> None:
        """Write the part of a piece that was not written before; it ends at character `end`."""
        if end > self.shown:
            self.write(piece[-(end - self.shown) :])
            self.shown = end

    def _write_rest(self) -> None:
        """Write the end of the log, which the stream may have missed."""
        try:
            log = self.server.log(self.job)
        except ServerLostError as lost:
            self.note(f"the end of the log cannot be read: {lost}")
            return
        self._write_new(log, len(log))
