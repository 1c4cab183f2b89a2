"""Stand-ins that several tests share: a kill, and an executor that dies at work."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from medsift.execution import LocalExecutor, Resources, Worker


class Killed(BaseException):
    """Takes the place of a kill signal: nothing catches it."""


class KilledExecutor:
    """Works like the local executor until `items` items are finished, then dies."""

    def __init__(self, items: int) -> None:
        self.left = items

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

        LocalExecutor().stream(items, mortal, out, advance)

    def run(self, function, items):
        return LocalExecutor().run(function, items)
