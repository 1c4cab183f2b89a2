"""Bring the events of Ray workers to the process that waits for them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Any, TypeVar

Result = TypeVar("Result")

POLL_SECONDS = 0.2


class EventQueue:
    """An actor that keeps events until they are fetched; `EventQueue.start` makes one."""

    def __init__(self) -> None:
        self.events: list[Any] = []

    @staticmethod
    def start() -> Any:
        """Return the handle of a new actor."""
        import ray

        # No CPU: the workers may need all of them.
        actor: Any = ray.remote(num_cpus=0)(EventQueue)
        return actor.remote()

    def push(self, event: Any) -> None:
        """Add an event."""
        self.events.append(event)

    def drain(self) -> list[Any]:
        """Return the events since the last call, in order, and forget them."""
        events, self.events = self.events, []
        return events


def listen_while(
    work: Callable[[], Result], events: Any, listener: Callable[[Any], None]
) -> Result:
    """Do `work` in another thread while this one passes events to the listener; return its result.

    The calling thread can be interrupted. Raises what `work` raises.
    """
    import ray

    result: Future[Result] = Future()

    def set_result() -> None:
        try:
            result.set_result(work())
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            result.set_exception(error)

    threading.Thread(target=set_result, daemon=True).start()
    while True:
        # Asked before draining: events that arrive between the two are fetched in the last round.
        is_done = bool(wait([result], POLL_SECONDS).done)
        for event in ray.get(events.drain.remote()):
            listener(event)
        if is_done:
            return result.result()
