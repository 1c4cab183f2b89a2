"""Run native decoders in a child process, so that bytes which crash one fail alone.

Decoders are native code over bytes that anyone may have made: a segmentation fault or an endless
loop in one of them would otherwise end the run, and end it again at each repetition. The child
does one piece of work at a time, so that it is known which one it was lost with; that piece is
tried once more, in a new process, and then is lost. The kernel ends a child that takes
too long, also when the process that started it is gone.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import traceback
import weakref
from collections.abc import Callable
from typing import IO, Any, Final

from medsift.errors import ModelError

CRASHED: Final = "image_decoder_crashed"
STALLED: Final = "image_decoder_stalled"
LOST: Final = (CRASHED, STALLED)
"""Reasons that tell of a process and not only of the picture's bytes: no cache keeps them."""
ATTEMPTS: Final = 2
READY: Final = "ready"
# The child finds modules where this process does, whatever folder it starts in.
START: Final = """\
import pickle, sys
sys.path[:] = pickle.load(sys.stdin.buffer)
from medsift.own_packages import put_first
put_first()
from medsift.child_process import serve
serve()
"""


Work = Callable[..., Any]


class Lost(Exception):
    """Signal that two processes in a row were lost with a piece of work: error code and ending."""

    def __init__(self, status: int) -> None:
        stalled = status == -signal.SIGALRM
        super().__init__(_ending(status))
        self.error = STALLED if stalled else CRASHED


class ChildProcess:
    """A child process that does one piece of work after the other, for one thread at a time.

    It starts at once, in the background, and ends with this object.

    Args:
        work: A function of a module, called in the child with what is asked and with `settings`.
        settings: Its last argument.
        seconds: Most time that a piece of work may take.

    Raises ModelError when it cannot be started.
    """

    def __init__(self, work: Work, settings: Any, seconds: float) -> None:
        self.work, self.settings, self.seconds = work, settings, seconds
        self.ready = False
        self._start()

    def ask(self, *asked: Any) -> Any:
        """Return what the work returns. Raises what it raises, and Lost."""
        status = 0
        for _ in range(ATTEMPTS):
            self._await_ready()
            try:
                reply = self._ask(asked)
            except (EOFError, BrokenPipeError, pickle.UnpicklingError):
                status = self._lost()
                self._start()
                continue
            if isinstance(reply, Exception):
                raise reply
            return reply
        raise Lost(status)

    def _ask(self, asked: tuple[Any, ...]) -> Any:
        requests, replies = _pipes(self.process)
        pickle.dump(asked, requests)
        requests.flush()
        return pickle.load(replies)

    def _start(self) -> None:
        self.ready = False
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-c", START],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                # Ctrl-C in a terminal is for the process that answers to people.
                start_new_session=True,
            )
        except OSError as error:
            raise _not_started(str(error)) from error
        self._stop = weakref.finalize(self, _end, self.process)
        requests, _ = _pipes(self.process)
        try:
            for order in (sys.path, (self.work, self.settings, self.seconds)):
                pickle.dump(order, requests)
            requests.flush()
        except BrokenPipeError:
            pass  # `_await_ready` says so

    def _await_ready(self) -> None:
        """Wait until the child has loaded its modules: only then is a loss that of a picture."""
        if self.ready:
            return
        try:
            self.ready = pickle.load(_pipes(self.process)[1]) == READY
        except (EOFError, pickle.UnpicklingError) as error:
            raise _not_started(f"it {_ending(self._lost())}") from error

    def _lost(self) -> int:
        """Close the pipes of a child that ended by itself; return its exit status."""
        self._stop()
        return self.process.returncode


def serve() -> None:
    """Do the work that comes on stdin until it ends, and answer on stdout."""
    requests, replies = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not come between the replies
    for number in (signal.SIGALRM, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    # The thread that started this process may block signals, and a child inherits that.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGALRM, signal.SIGPIPE))
    work, settings, seconds = pickle.load(requests)
    reply: Any = READY
    while True:
        pickle.dump(reply, replies)
        replies.flush()
        try:
            asked = pickle.load(requests)
        except EOFError:
            return
        signal.setitimer(signal.ITIMER_REAL, seconds)
        try:
            reply = work(*asked, settings)
        except Exception as error:  # noqa: BLE001 - it is raised again where the work is asked for
            error.add_note(traceback.format_exc())
            reply = error
        signal.setitimer(signal.ITIMER_REAL, 0)


def _pipes(process: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes]]:
    assert process.stdin is not None
    assert process.stdout is not None
    return process.stdin, process.stdout


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for pipe in _pipes(process):
        pipe.close()


def _ending(status: int) -> str:
    """Return how a process ended, in words."""
    if status >= 0:
        return f"ended with exit status {status}"
    return f"was ended by {signal.Signals(-status).name}"


def _not_started(what: str) -> ModelError:
    message = (
        f"the process that decodes pictures does not start: {what}; read what it wrote above, and "
        "check memory, limits on processes and `medsift doctor`"
    )
    return ModelError(message, code="decoder_not_started")
