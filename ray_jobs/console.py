"""Print the log, the error line and paths on the terminal; end a command that is interrupted."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import typer

from medsift import json_logs
from medsift.storage.mirror import is_mirrored, location, with_urls
from medsift.text import escaped

INTERRUPTED: Final = 130
"""Exit status after Ctrl-C, as in a shell: 128 + SIGINT."""
RESUME: Final = "interrupted: run the same command again to continue where it stopped"


class _LineHandler(logging.Handler):
    """Write each log record as one line on the current stderr, which a progress bar redirects."""

    def emit(self, record: logging.LogRecord) -> None:
        mark = "" if self.formatter is not None else f"{record.levelname.lower()}: "
        sys.stderr.write(f"{mark}{with_urls(self.format(record))}\n")


def show_logs(debug: bool) -> None:
    """Send the log to stderr: warnings, and with `debug` everything that MedSift logs."""
    root = logging.getLogger()
    if not any(isinstance(handler, _LineHandler) for handler in root.handlers):
        handler = _LineHandler()
        if json_logs.wanted():
            handler.setFormatter(json_logs.JsonFormatter())
        root.addHandler(handler)
    for room in json_logs.ROOMS:
        logging.getLogger(room).setLevel(logging.DEBUG if debug else logging.WARNING)


def one_line(error: BaseException) -> str:
    """Return the message of an error without line breaks; its class where there is no message."""
    return " ".join(str(error).split()) or type(error).__name__


def print_error(message: str, code: str = "") -> None:
    """Write `error[code]: message`, or `error: message` without a code, as one line on stderr."""
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True, highlight=False, soft_wrap=True, markup=False)
    mark = f"error[{code}]: " if code else "error: "
    console.print(Text().append(mark, "bold red").append(escaped(with_urls(message))))


def shown(path: Path) -> str:
    """Return a path for people: a store's URL, or relative where it is below the current folder."""
    if is_mirrored(path):
        return location(path)
    absolute, current = path.absolute(), Path.cwd()
    is_below = absolute.is_relative_to(current)
    return str(absolute.relative_to(current)) if is_below else str(absolute)


@contextmanager
def ignore_broken_pipe() -> Iterator[None]:
    """End quietly when the reader of stdout (`| head`) has seen enough."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        # Python flushes stdout once more on exit, which must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextmanager
def resumable() -> Iterator[None]:
    """Turn Ctrl-C into one line and exit status 130; work that is finished is not repeated."""
    try:
        yield
    except KeyboardInterrupt:
        sys.stderr.write(f"{RESUME}\n")
        raise typer.Exit(INTERRUPTED) from None
