"""Bound how many requests are under way at once, by what the endpoint can take."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition
from typing import Final

GOOD_BEFORE_ONE_MORE: Final = 20
BUSY: Final = (429, 503)
"""Statuses by which an endpoint says that it has too much to do."""


class AdaptiveWindow:
    """Lets in one more request after 20 good ones, and half as many after a refusal.

    Requests that were under way together and are refused together halve it once.
    """

    def __init__(self, most: int, first: int = 8) -> None:
        self.most = most
        self.size = min(first, most)
        self._under_way = self._good = self._halvings = 0
        self._changed = Condition()

    @contextmanager
    def place(self) -> Iterator[int]:
        """Wait for a place, and keep it inside the block; yield what `refused` asks for."""
        with self._changed:
            self._changed.wait_for(lambda: self._under_way < self.size)
            self._under_way += 1
            begun = self._halvings
        try:
            yield begun
        finally:
            with self._changed:
                self._under_way -= 1
                self._changed.notify_all()

    def succeeded(self) -> None:
        """Count a good request."""
        with self._changed:
            self._good += 1
            if self._good >= GOOD_BEFORE_ONE_MORE and self.size < self.most:
                self.size += 1
                self._good = 0
                self._changed.notify_all()

    def refused(self, begun: int) -> None:
        """Count a request that the endpoint was too busy for."""
        with self._changed:
            if begun == self._halvings:
                self.size = max(1, self.size // 2)
                self._halvings += 1
            self._good = 0
