"""Stand-ins that several tests share: a kill, and an executor that dies at work."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from medsift.execution import LocalExecutor, Resources, Worker


class Killed(BaseException):
    """Takes the place of a kill signal: nothing catches it."""


class KilledExecutor:
    """Works like the local executor until `items` items of one stream are finished, then dies.

    `stream` is the folder that the stream writes to, without its fingerprint.
    """

    def __init__(self, items: int, stream: str) -> None:
        self.left = items
        self.deadly = stream

    def stream(
        self,
        items: Sequence[Any],
        make: Callable[[], Worker],
        out: Path,
        advance: Callable[[int], None],
        resources: Resources | None = None,
    ) -> None:
        def mortal() -> Worker:
            worker = make()

            def call(item):
                if self.left == 0:
                    raise Killed
                self.left -= 1
                yield from worker(item)

            return call

        dies = out.name.partition("-")[0] == self.deadly
        LocalExecutor().stream(items, mortal if dies else make, out, advance)

    def run(self, function, items):
        return LocalExecutor().run(function, items)
