"""End an interrupted command with a hint how to resume it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import typer

INTERRUPTED: Final = 130
"""Exit status after Ctrl-C, as in a shell: 128 + SIGINT."""
RESUME: Final = "interrupted: run the same command again to continue where it stopped"


@contextmanager
def resumable() -> Iterator[None]:
    """Turn Ctrl-C into one line and exit status 130; work that is finished is not repeated."""
    try:
        yield
    except KeyboardInterrupt:
        sys.stderr.write(f"{RESUME}\n")
        raise typer.Exit(INTERRUPTED) from None
