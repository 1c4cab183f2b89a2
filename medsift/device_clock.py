"""Count how long a worker's model works, and how long its device waits for the worker."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

WORKED: Final = "device works"
WAITED: Final = "device waits"


def waiting_share(spent: Mapping[str, float]) -> float | None:
    """Return the share of its time that a device waited; None where it did not work."""
    worked, waited = spent.get(WORKED, 0.0), spent.get(WAITED, 0.0)
    return waited / (worked + waited) if worked else None


class DeviceClock:
    """Divide the time of an item into that of the model and that without it.

    Loading the model counts for neither. An item that needs no model, as everything is in a cache,
    counts for nothing at all.
    """

    def __init__(self) -> None:
        self.spent: Mapping[str, float] = {}
        """The seconds of the last item that ended."""
        self._worked = self._loaded = 0.0

    @contextmanager
    def item(self) -> Iterator[None]:
        """Count from here to the end of the block."""
        start, self._worked, self._loaded = time.perf_counter(), 0.0, 0.0
        yield
        waited = time.perf_counter() - start - self._worked - self._loaded
        self.spent = {WORKED: self._worked, WAITED: waited} if self._worked else {}

    @contextmanager
    def working(self) -> Iterator[None]:
        """Count the block as work of the model."""
        start = time.perf_counter()
        yield
        self._worked += time.perf_counter() - start

    @contextmanager
    def loading(self) -> Iterator[None]:
        """Leave the block out of the item's time."""
        start = time.perf_counter()
        yield
        self._loaded += time.perf_counter() - start
